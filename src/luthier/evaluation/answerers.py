"""Answerers: whatever can be compared. Models with a strategy, finished answers, and rivals without a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from luthier.core.errors import DataError
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
        self.path = path
        self._answers: dict[str, Answer] = {}
        for answer in read_answers(path):
            if answer.example_id in self._answers:
                raise DataError(
                    f"{path} has two answers to the example '{answer.example_id}'. Give one answer an example."
                )
            self._answers[answer.example_id] = answer
        self.identity = sha256_text(*(f"{a.example_id}\t{a.text}" for a in self._answers.values()))

    def answer(self, examples: Sequence[Example], budget: Budget = Budget()) -> Iterator[Answer]:
        """Look the answers up."""
        for example in examples:
            yield self._answers.get(example.id) or Answer(example.id, "", "failed")

    def check_fits(self, examples: Sequence[Example]) -> str:
        """Hold the answers against the examples; returns what is missing or surplus in a sentence, or nothing.

        Raises:
            DataError: if not one answer is to one of the examples.
        """
        known = {example.id for example in examples}
        answered = len(known & self._answers.keys())
        if not answered:
            raise DataError(
                f"None of the {len(self._answers):,} answers in {self.path} is to one of the {len(known):,} rows: its "
                f"ids are like '{min(self._answers)}', the rows' like '{min(known)}'. Were they made from another "
                "file? The column with the rows' ids is named with --id."
            )
        missing, surplus = len(known) - answered, len(self._answers) - answered
        parts = [f"{missing:,} rows have no answer and count as failed"] if missing else []
        parts += [f"{surplus:,} answers are to no row"] if surplus else []
        return f"{self.path}: {' and '.join(parts)}." if parts else ""
