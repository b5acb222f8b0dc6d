"""The values that travel between parts: examples, requests, completions, answers.

All are frozen and convert to JSON and back (`to_json`, `from_json`), because a run directory is the whole truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

JSON: TypeAlias = None | bool | int | float | str | list[Any] | dict[str, Any]
EMPTY: Mapping[str, Any] = MappingProxyType({})

Role = Literal["system", "user", "assistant", "tool"]
Finish = Literal["stop", "length", "refused", "failed"]
"""Why an answer ended: at its end-of-turn token or a stop string, at the output limit, refused, or failed."""

TaskKind = Literal["classification", "extraction", "summarization", "question_answering", "chat", "translation"]


@dataclass(frozen=True)
class Message:
    """One turn of a conversation. `weight` 0 keeps an assistant turn out of training."""

    role: str
    content: str
    weight: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the OpenAI form of the message."""
        out: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.weight is not None:
            out["weight"] = self.weight
        return out

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Message:
        """Read the OpenAI form of a message."""
        return cls(role=value["role"], content=value["content"], weight=value.get("weight"))


@dataclass(frozen=True)
class Example:
    """One row of a task: a conversation that ends before the answer, and the answers that count as right.

    Attributes:
        id: Stable name of the row, the same in every run on the same data.
        messages: The conversation up to and including the last user turn.
        references: Right answers; the first is the one trained on. Empty for unlabelled rows.
        cluster: Rows that belong together (one passage, one customer) share it; resampling keeps them together.
        fields: The row as it was in the file.
        line: Line (or row number) in the source file, counted from 1; 0 where there is none.
    """

    id: str
    messages: tuple[Message, ...]
    references: tuple[str, ...] = ()
    cluster: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    line: int = 0

    @property
    def reference(self) -> str:
        """The first right answer."""
        return self.references[0]

    @property
    def prompt(self) -> str:
        """The last user turn: what the model is asked."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")

    def to_json(self) -> dict[str, Any]:
        """Return the example as JSON."""
        return {
            "id": self.id,
            "messages": [m.to_json() for m in self.messages],
            "references": list(self.references),
            "cluster": self.cluster,
            "fields": dict(self.fields),
            "line": self.line,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Example:
        """Read an example back."""
        return cls(
            id=value["id"],
            messages=tuple(Message.from_json(m) for m in value["messages"]),
            references=tuple(value["references"]),
            cluster=value.get("cluster"),
            fields=value.get("fields", {}),
            line=value.get("line", 0),
        )


@dataclass(frozen=True)
class Ranking:
    """Completions of one prompt, in order of preference: a pair is two of them, a mark good or bad is one.

    Attributes:
        prompt: The example whose conversation is completed.
        completions: The texts.
        ranks: 1 is best, equal ranks are equally good; a single completion has 1 (good) or 2 (bad); None is not ranked.
        labeler: Who ranked them, where that is known.
    """

    prompt: Example
    completions: tuple[str, ...]
    ranks: tuple[int | None, ...]
    labeler: str | None = None


@dataclass(frozen=True)
class Usage:
    """What an answer cost. Seconds are kept apart from what is reproducible (see `Answer.to_json`)."""

    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Usage)))


@dataclass(frozen=True)
class Budget:
    """What may be spent; None means no limit."""

    seconds: float | None = None
    tokens: int | None = None
    calls: int | None = None


@dataclass(frozen=True)
class Constraint:
    """What a generated text may be: JSON that fits a schema, or one of some choices. Exactly one of the two is given.

    Attributes:
        schema: A JSON schema, as JSON text (so that equal constraints are equal and hashable).
        choices: The texts to choose from.
    """

    schema: str = ""
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.schema) == bool(self.choices):
            raise ValueError("a constraint is a schema or choices, one of the two")


@dataclass(frozen=True)
class Decoding:
    """How to generate.

    Attributes:
        max_tokens: Most completion tokens, end-of-turn included.
        temperature: 0 is greedy.
        top_p, top_k: Sample from the most probable tokens only; 1.0 and 0 from all.
        stop: Texts at which generation ends; they are not part of the answer.
        seed: Of sampling.
        constraint: What the text may be; None for anything.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    seed: int = 0
    constraint: Constraint | None = None


@dataclass(frozen=True)
class Request:
    """What a strategy asks a model: to generate, or, given `continuations`, to score them."""

    messages: tuple[Message, ...]
    decoding: Decoding = Decoding()
    continuations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Completion:
    """What a model gives back. For scoring requests `logps` has one summed log-probability a continuation (nats)."""

    text: str
    finish: Finish
    logps: tuple[float, ...] | None = None
    usage: Usage = Usage()


@dataclass(frozen=True)
class Answer:
    """An answerer's answer to one example; failures are answers too (`finish` says so)."""

    example_id: str
    text: str
    finish: Finish
    scores: Mapping[str, float] = field(default_factory=dict)
    usage: Usage = Usage()

    def to_json(self) -> dict[str, Any]:
        """Return the line of an answers file: what is reproducible, so no seconds."""
        out: dict[str, Any] = {"example_id": self.example_id, "text": self.text, "finish": self.finish}
        if self.scores:
            out["scores"] = dict(self.scores)
        usage = {f.name: getattr(self.usage, f.name) for f in fields(Usage) if f.name != "seconds"}
        if any(usage.values()):
            out["usage"] = usage
        return out

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Answer:
        """Read a line of an answers file."""
        return cls(
            example_id=str(value["example_id"]),
            text=value["text"],
            finish=value.get("finish", "stop"),
            scores=value.get("scores", {}),
            usage=Usage(**value.get("usage", {})),
        )

    def timed(self, seconds: float) -> Answer:
        """Return the same answer with its time."""
        return replace(self, usage=replace(self.usage, seconds=seconds))


def user(*contents: str) -> tuple[Message, ...]:
    """Return user messages; the shortest way to write a conversation of one turn."""
    return tuple(Message("user", content) for content in contents)


def chat_turns(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Return what chat templates take: a list of role and content."""
    return [{"role": m.role, "content": m.content} for m in messages]
