"""Answerers: whatever can be compared. Models with a strategy, finished answers, and rivals without a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from luthier.core.files import sha256_text
from luthier.core.protocols import LanguageModel, PromptStrategy
from luthier.core.types import Answer, Budget, Example
from luthier.evaluation.answering import read_answers
from luthier.generation.drive import drive


class Prompted:
    """A language model asked by a strategy: the usual answerer."""

    def __init__(self, model: LanguageModel, strategy: PromptStrategy) -> None:
        self.model = model
        self.strategy = strategy
        self.identity = sha256_text(model.identity, strategy.identity)

    def answer(self, examples: Sequence[Example], budget: Budget = Budget()) -> Iterator[Answer]:
        """Advance all examples' strategies together."""
        return drive(self.strategy, self.model, examples)


class FinishedAnswers:
    """Answers that exist already, from whatever tool made them; an example without one gets a failed answer."""

    def __init__(self, path: Path) -> None:
        self._answers = {answer.example_id: answer for answer in read_answers(path)}
        self.identity = sha256_text(*(f"{a.example_id}\t{a.text}" for a in self._answers.values()))

    def answer(self, examples: Sequence[Example], budget: Budget = Budget()) -> Iterator[Answer]:
        """Look the answers up."""
        for example in examples:
            yield self._answers.get(example.id) or Answer(example.id, "", "failed")
