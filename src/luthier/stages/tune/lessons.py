"""Lessons: what is learned, and how it is proved. One for each material that an objective may name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy.typing as npt

from luthier.core.registry import Table
from luthier.data.render import Renderer
from luthier.evaluation.statistics import Scores
from luthier.generation.local import LocalModel
from luthier.segments import Batch
from luthier.stages.tune.recipe import Outcome
from luthier.training.source import Sequences


class Lesson(Protocol):
    """What a tuning run learns from and is measured on; made from its recipe and its run, before a model is looked for.

    Attributes:
        renderer: How conversations are put to the model.
        sequences: What is learned from.
        held_out: What the loss is watched on.
        tokens: Of all sequences, once.
        metric: What the verdict is about.
    """

    renderer: Renderer
    sequences: Sequences | Sequence[Batch]
    held_out: Sequence[Batch]
    tokens: int
    metric: str

    def prepare(self, tokenizer: Any, context: int) -> None:
        """Turn the material into tokens, before any weight is read.

        Raises:
            DataError, GuardError: for what the model cannot take.
        """
        ...

    def record(self) -> dict[str, Any]:
        """Return what the manifest says of it."""
        ...

    def announce(self) -> None:
        """Show what is learned, and the plan, before the first step."""
        ...

    def token_rows(self) -> Iterator[npt.NDArray[Any]]:
        """Yield the tokens of every row or document, of all parts."""
        ...

    def name_of(self, position: int) -> str:
        """Return the name of the sequence at a position."""
        ...

    def scores(self, model: LocalModel, when: str) -> Scores:
        """Measure a model on the part to prove on, "before" or "after"."""
        ...

    def latency_seconds(self, model: LocalModel) -> float | None:
        """Return the time of one answer; None where nothing is answered."""
        ...

    def report(self, outcome: Outcome) -> None:
        """Show the result, and write report.html and card.md."""
        ...


LESSONS: Table[Any] = Table(
    "material",
    {
        "examples": "luthier.stages.tune.examples:ExamplesLesson",
        "corpus": "luthier.stages.tune.raw_text:RawTextLesson",
    },
)
"""Material -> class of the lesson."""
