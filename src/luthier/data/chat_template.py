"""The model's own chat template, rendered for training and for inference by the same code.

How a template ends an assistant's turn is found out once, by rendering a probe conversation and looking at what stands
*after* the answer; text is never searched for marker strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from luthier.core.errors import DataError, GuardError, ModelError
from luthier.core.types import Message, chat_turns
from luthier.data.template_sandbox import render_template

_PROBE_QUESTION = "Which day is it?"
_PROBE_ANSWER = "Monday"


@dataclass(frozen=True)
class ChatTemplate:
    """Renders conversations for one tokenizer."""

    tokenizer: Any

    def prompt(self, messages: Sequence[Message]) -> str:
        """Return the text of a conversation up to where the assistant begins to speak."""
        return self._render(messages, add_generation_prompt=True)

    def with_answer(self, messages: Sequence[Message], answer: str) -> tuple[str, str]:
        """Return the prompt and what follows it: the answer and the template's end of turn.

        Raises:
            GuardError: if the template writes the conversation differently once an answer follows; the prompt of
                training would not be that of inference.
        """
        prompt = self.prompt(messages)
        whole = self._render([*messages, Message("assistant", answer)], add_generation_prompt=False)
        if not whole.startswith(prompt):
            raise GuardError(
                "This model's chat template renders the conversation differently when an answer follows it, so the "
                "prompt "
                "of training would not be the prompt of inference. Choose a model with a prefix-stable template."
            )
        return prompt, whole[len(prompt) :]

    @cached_property
    def end_of_turn(self) -> int:
        """The id that ends an assistant's turn: the first special token after a probe answer, else the end token."""
        _, rest = self.with_answer((Message("user", _PROBE_QUESTION),), _PROBE_ANSWER)
        if not rest.startswith(_PROBE_ANSWER):
            raise ModelError(
                "This model's chat template does not write answers as they are; Luthier cannot train on it."
            )
        after = self.tokenizer(rest[len(_PROBE_ANSWER) :], add_special_tokens=False)["input_ids"]
        special = [token for token in after if token in self._special_ids]
        end = special[0] if special else self.tokenizer.eos_token_id
        if end is None:
            raise ModelError(
                "This model has no token that ends a turn (neither in its chat template nor as eos_token)."
            )
        return int(end)

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Ids at which generation stops."""
        eos = self.tokenizer.eos_token_id
        return frozenset({self.end_of_turn} | ({int(eos)} if eos is not None else set()))

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        return frozenset(i for i, token in self.tokenizer.added_tokens_decoder.items() if token.special)

    @cached_property
    def _special_texts(self) -> tuple[str, ...]:
        return tuple(t.content for t in self.tokenizer.added_tokens_decoder.values() if t.special)

    def check_text(self, text: str, where: str) -> None:
        """Refuse text that contains a special token: it would end a turn in the middle of a message.

        Raises:
            DataError: naming the token and the place.
        """
        for special in self._special_texts:
            if special in text:
                raise DataError(
                    f"{where} contains the model's special token {special!r}; remove or rewrite it in the data."
                )

    def _render(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        seen = {
            **self.tokenizer.special_tokens_map,
            "messages": chat_turns(messages),
            "tools": None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
        }
        return render_template(self.tokenizer.get_chat_template(), seen)
