"""The only maker of targets: from an example to tokens with a weight each.

It guarantees, or stops: the prompt tokens of training are those of inference, for each trained turn of a conversation;
the end-of-turn token of each trained turn is a target, by position and never by its id; at most one
beginning-of-sequence token, at index 0; no example without a target; nothing is truncated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from luthier.core.errors import DataError, GuardError
from luthier.core.types import Example, Message
from luthier.data.chat_template import ChatTemplate
from luthier.data.thinking import length_of_thoughts
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
class _Sequence:
    """One training sequence on its way: turn after turn is added."""

    tokens: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    prompt_length: int = 0
    moved: bool = False

    def add(self, prompt: list[int], trained: list[int], weights: list[float], moved: bool) -> None:
        """Go on to the end of a turn, whose prompt begins with what is there."""
        if not self.tokens:
            self.prompt_length = len(prompt)
        self.weights += [0.0] * (len(prompt) - len(self.tokens)) + weights
        self.tokens = prompt + trained
        self.moved = self.moved or moved


@dataclass
class Renderer:
    """Renders examples with a model's tokenizer and chat template.

    Attributes:
        tokenizer: The model's tokenizer.
        context: Longest sequence the model takes, in tokens.
        train_thoughts: Whether `<think>…</think>` before an answer is learned with it.
    """

    tokenizer: Any
    context: int
    train_thoughts: bool = True
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
        """Render an example with its first reference; the last sequence of `render_turns`.

        Raises:
            DataError: if it holds a special token, has an empty answer, or is longer than the model's context.
            GuardError: if the tokenizer or template would break one of the guarantees.
        """
        return self.render_turns(example)[-1]

    def render_turns(self, example: Example) -> list[Rendered]:
        """Render all trained turns of an example: its reference, and earlier assistant turns whose weight is not 0.

        They make one sequence where every prompt begins with the tokens of the turns before it. A template that writes
        earlier turns differently from the last one (without their thoughts, say) makes more: at inference, it does so
        too.

        Raises:
            DataError: if it holds a special token, has an empty answer, or is longer than the model's context.
            GuardError: if the tokenizer or template would break one of the guarantees.
        """
        where = f"line {example.line}" if example.line else f"example {example.id}"
        sequences = [_Sequence()]
        for before, answer, weight in _trained_turns(example):
            prompt, trained, learned, moved = self._turn(before, answer, where)
            if prompt[: len(sequences[-1].tokens)] != sequences[-1].tokens:
                sequences.append(_Sequence())
            sequences[-1].add(prompt, trained, [weight * share for share in learned], moved)
        return [self._checked(sequence, example.id, where) for sequence in sequences]

    def _turn(
        self, before: Sequence[Message], answer: str, where: str
    ) -> tuple[list[int], list[int], list[float], bool]:
        """Return a turn's prompt, what follows through its end, the share of each token in the loss, if one moved."""
        self.template.check_text(answer, f"{where}: the answer")
        prompt_text, rest = self.template.with_answer(before, answer)
        prompt = self.prompt_ids(before)
        whole = self._encode(prompt_text + rest)
        moved = whole[: len(prompt)] != prompt
        after = self._encode(rest) if moved else whole[len(prompt) :]
        trained = self._through_end_of_turn(after, where)
        thoughts = 0 if self.train_thoughts else length_of_thoughts(answer)
        skipped = self._tokens_within(prompt_text, rest, answer, thoughts, moved, where) if thoughts else 0
        return prompt, trained, [float(position >= skipped) for position in range(len(trained))], moved

    def _tokens_within(self, prompt: str, rest: str, answer: str, characters: int, moved: bool, where: str) -> int:
        """Return how many tokens of an answer begin within its first characters.

        Raises:
            GuardError: if the template does not write the answer as it is, so that its characters cannot be found.
        """
        if not rest.startswith(answer):
            raise GuardError(
                f"{where}: this model's chat template rewrites answers with thoughts, so they cannot be left out of "
                "the loss. Train on them (data.thoughts=train), or take them out of the data."
            )
        text, first = (rest, 0) if moved else (prompt + rest, len(prompt))
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        starts = [begin for begin, _ in encoded["offset_mapping"]]
        return sum(first <= begin < first + characters for begin in starts)

    def _checked(self, sequence: _Sequence, name: str, where: str) -> Rendered:
        tokens = np.array(sequence.tokens, dtype=np.int64)
        if len(tokens) > self.context:
            raise DataError(
                f"{where} has {len(tokens)} tokens, the model takes {self.context}. Shorten the row, or choose a "
                "model with a longer context; Luthier does not cut examples."
            )
        self._check_beginning(tokens, where)
        weights = np.array(sequence.weights, dtype=np.float32)
        return Rendered(name, tokens, weights, sequence.prompt_length, sequence.moved)

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


def _trained_turns(example: Example) -> Iterator[tuple[Sequence[Message], str, float]]:
    """Yield what is before a trained turn, its text and its weight; the reference comes last."""
    for place, message in enumerate(example.messages):
        asked = any(earlier.role == "user" for earlier in example.messages[:place])
        if message.role == "assistant" and message.weight != 0 and asked:
            yield example.messages[:place], message.content, 1.0 if message.weight is None else message.weight
    yield example.messages, example.reference, 1.0
