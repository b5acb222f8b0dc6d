"""The only maker of targets: from an example to tokens with a weight each.

It guarantees, or stops: the prompt tokens of training are those of inference; the end-of-turn token of the trained turn
is a target, by position and never by its id; at most one beginning-of-sequence token, at index 0; no example without a
target; nothing is truncated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from luthier.core.errors import DataError, GuardError
from luthier.core.types import Example, Message
from luthier.data.chat_template import ChatTemplate
from luthier.segments import Batch, sequence_batch


@dataclass(frozen=True)
class Rendered:
    """One training sequence: `tokens [n]`, and the `weights [n]` of each as a target (0: context)."""

    example_id: str
    tokens: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    prompt_length: int
    boundary_moved: bool = False

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def trained(self) -> int:
        """Number of target tokens."""
        return int(np.count_nonzero(self.weights))

    def batch(self) -> Batch:
        """Return the sequence as a batch of its own."""
        return sequence_batch(self.tokens, self.weights)


@dataclass
class Renderer:
    """Renders examples with a model's tokenizer and chat template.

    Attributes:
        tokenizer: The model's tokenizer.
        context: Longest sequence the model takes, in tokens.
    """

    tokenizer: Any
    context: int
    template: ChatTemplate = field(init=False)

    def __post_init__(self) -> None:
        self.template = ChatTemplate(self.tokenizer)

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Return the prompt's tokens, as inference sends them and as training begins with them."""
        for message in messages:
            self.template.check_text(message.content, f"a {message.role} message")
        return self._encode(self.template.prompt(messages))

    def answer_ids(self, text: str) -> list[int]:
        """Return the tokens of an answer alone, without its end of turn; for length statistics."""
        return self._encode(text)

    def render(self, example: Example) -> Rendered:
        """Render an example with its first reference.

        Raises:
            DataError: if it holds a special token, has an empty answer, or is longer than the model's context.
            GuardError: if the tokenizer or template would break one of the guarantees.
        """
        where = f"line {example.line}" if example.line else f"example {example.id}"
        answer = example.reference
        self.template.check_text(answer, f"{where}: the answer")
        prompt_text, rest = self.template.with_answer(example.messages, answer)
        prompt = self.prompt_ids(example.messages)
        whole = self._encode(prompt_text + rest)
        moved = whole[: len(prompt)] != prompt
        after = self._encode(rest) if moved else whole[len(prompt) :]
        trained = self._through_end_of_turn(after, where)
        tokens = np.array(prompt + trained, dtype=np.int64)
        if len(tokens) > self.context:
            raise DataError(
                f"{where} has {len(tokens)} tokens, the model takes {self.context}. Shorten the row, or choose a "
                "model with a "
                "longer context; Luthier does not cut examples."
            )
        self._check_beginning(tokens, where)
        weights = np.zeros(len(tokens), dtype=np.float32)
        weights[len(prompt) :] = 1.0
        return Rendered(example.id, tokens, weights, len(prompt), moved)

    def render_all(self, examples: Sequence[Example]) -> list[Rendered]:
        """Render examples, reporting all that cannot be rendered together."""
        rendered, problems = [], []
        for example in examples:
            try:
                rendered.append(self.render(example))
            except DataError as error:
                problems.append(str(error))
        if problems:
            shown = "\n".join(f"  {p}" for p in problems[:20])
            raise DataError(f"{len(problems)} of {len(examples)} examples cannot be used:\n{shown}")
        return rendered

    def pieces(self, rendered: Rendered) -> list[tuple[str, float]]:
        """Return (text, weight) of every token, for looking at what is trained."""
        return [
            (self.tokenizer.decode([int(token)]), float(weight))
            for token, weight in zip(rendered.tokens, rendered.weights, strict=True)
        ]

    def _through_end_of_turn(self, after: list[int], where: str) -> list[int]:
        """Cut what follows the prompt behind its end-of-turn token, adding the token where the template writes none.

        The answer itself holds no special token (checked before), so the first one is the end of the turn.
        """
        end = self.template.end_of_turn
        for position, token in enumerate(after):
            if token == end:
                if position == 0:
                    raise DataError(f"{where} has an empty answer; give it one, or remove the row.")
                return after[: position + 1]
        return [*after, end]

    def _check_beginning(self, tokens: npt.NDArray[np.int64], where: str) -> None:
        bos = self.tokenizer.bos_token_id
        if bos is None or bos in self.template.stop_ids or not self._bos_is_only_a_beginning:
            return
        places = np.flatnonzero(tokens == bos)
        if len(places) > 1 or (len(places) == 1 and places[0] != 0):
            raise GuardError(
                f"{where} has its beginning-of-sequence token at positions {places.tolist()}; only 0 is right."
            )

    @cached_property
    def _bos_is_only_a_beginning(self) -> bool:
        """Some models (ChatML) open every turn with their bos token: more turns have more, and it says nothing."""
        probe = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
        counts = [
            self._encode(self.template.prompt(turns)).count(self.tokenizer.bos_token_id) for turns in (probe[:1], probe)
        ]
        return counts[0] == counts[1]

    def _encode(self, text: str) -> list[int]:
        """Tokenize text that the template has rendered: it holds all the special tokens there should be."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids
