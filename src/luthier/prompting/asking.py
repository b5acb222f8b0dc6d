"""What all strategies share: the settings of an answer, how an instruction is told, and what a strategy may know."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field, field_validator

from luthier.core.config import Config
from luthier.core.files import sha256_text
from luthier.core.types import EMPTY, Answer, Completion, Constraint, Decoding, Example, Message, Request


class AskingConfig(Config):
    """Settings that every strategy has."""

    strategy: str
    instruction: str = Field("", description="put before the user's prompt; empty sends the prompt verbatim")
    max_tokens: int = Field(256, ge=1, description="output limit in tokens")
    temperature: float = Field(0.0, ge=0, description="0 is greedy")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus sampling")
    seed: int = Field(0, description="seed of sampling")
    constraint: dict[str, Any] = Field(
        default_factory=dict,
        description="what the answer may be: {schema: JSON schema} or {choices: list of texts}; empty allows any text",
    )

    @field_validator("constraint")
    @classmethod
    def _readable(cls, value: dict[str, Any]) -> dict[str, Any]:
        constraint_from(value)
        return value

    @property
    def decoding(self) -> Decoding:
        """How answers are generated."""
        return Decoding(
            self.max_tokens,
            self.temperature,
            self.top_p,
            seed=self.seed,
            constraint=constraint_from(self.constraint),
        )

    def identity(self, *more: str) -> str:
        """Return a SHA-256 over the settings and what else a strategy depends on.

        A schema counts with the order of its fields, which is the order that they are written in; `digest` sorts them.
        """
        return sha256_text(self.strategy, self.digest(), json.dumps(self.constraint, ensure_ascii=False), *more)


def constraint_from(value: Mapping[str, Any]) -> Constraint | None:
    """Return the constraint that settings ask for; None if they ask for none.

    Args:
        value: `{"schema": {…}}`, `{"choices": […]}`, or empty.

    Raises:
        ValueError: if it is anything else.
    """
    if not value:
        return None
    if value.keys() == {"schema"} and isinstance(value["schema"], dict) and value["schema"]:
        return Constraint(schema=json.dumps(value["schema"], ensure_ascii=False))
    if value.keys() == {"choices"} and isinstance(value["choices"], list) and value["choices"]:
        choices = value["choices"]
        if all(isinstance(choice, str) and choice for choice in choices):
            return Constraint(choices=tuple(choices))
        raise ValueError("choices are texts: put words that YAML reads as something else (yes, no, 1) in quotes")
    raise ValueError("a constraint is {schema: a JSON schema}, {choices: a list of texts}, or {} for none")


@dataclass(frozen=True)
class Known:
    """What a strategy is given beside its settings.

    Attributes:
        examples: The rows to learn from, and no others: what is shown to the model must not be proved on.
        count_tokens: Tokens of a conversation up to where the answer begins, by the model that will be asked.
        context: Most tokens that this model takes.
    """

    examples: tuple[Example, ...] = ()
    count_tokens: Callable[[Sequence[Message]], int] | None = None
    context: int | None = None


NOTHING_KNOWN = Known()


def instructed(message: Message, instruction: str) -> Message:
    """Return a turn with the instruction before it, a blank line between them."""
    return Message(message.role, f"{instruction}\n\n{message.content}") if instruction else message


def ask_once(
    example: Example, messages: Sequence[Message], decoding: Decoding, scores: Mapping[str, float] = EMPTY
) -> Generator[list[Request], list[Completion], Answer]:
    """Send one conversation and take the completion for the answer."""
    (completion,) = yield [Request(tuple(messages), decoding)]
    return Answer(example.id, completion.text, completion.finish, scores)
