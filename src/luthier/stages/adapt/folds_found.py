"""What a cross-validation finds: its folds, the ways of working that are compared, the proof, the model to use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from luthier.core.run import RunDirectory
from luthier.core.types import Answer
from luthier.data.splits import Parts
from luthier.evaluation.answering import stored_answers
from luthier.evaluation.comparison import Comparison
from luthier.evaluation.failures import Failures
from luthier.evaluation.retention import Forgetting
from luthier.evaluation.second_reading import SecondReading
from luthier.evaluation.statistics import Scores, TargetCheck
from luthier.stages.adapt.candidates import Candidate, Kind
from luthier.stages.adapt.choosing import Choice, Entry
from luthier.stages.adapt.plan import Plan
from luthier.stages.material import Material


@dataclass(frozen=True)
class Fold:
    """A finished bake-off on one fold."""

    number: int
    run: RunDirectory
    material: Material
    entries: tuple[Entry, ...]
    choice: Choice

    @property
    def confirmed(self) -> tuple[Entry, ...]:
        """The candidates that answered the fold's rows to confirm, the winner first."""
        return (self.choice.winner, *self.choice.rivals)

    def best_of_kind(self, kind: Kind) -> Entry | None:
        """Return the fold's best candidate of a kind, if there is one; it has answered the rows to confirm."""
        return next((entry for entry in self.confirmed if entry.candidate.kind == kind), None)

    def scores(self, entry: Entry) -> Scores:
        """Return an entry's scores on the rows to confirm."""
        return Scores.from_json(self.run.step(f"scores_confirm_{entry.name}"))

    def answers(self, entry: Entry) -> list[Answer]:
        """Return an entry's answers to the rows to confirm."""
        return stored_answers(self.run, f"confirm_{entry.name}")


@dataclass(frozen=True)
class Way:
    """A way of working: which candidate answers in which fold, and how that scores over all rows.

    Attributes:
        name: Its evaluation is `confirm_NAME`.
        phrase: The way within a sentence.
        picks: The candidate of each fold, in their order.
        scores: On all rows.
    """

    name: str
    phrase: str
    picks: tuple[Entry, ...]
    scores: Scores

    @property
    def picked(self) -> str:
        """Which candidates they are: "TF-IDF in 4 of 5 folds, most frequent answer in 1"."""
        counts = Counter(entry.title for entry in self.picks).most_common()
        parts = [f"{title} in {count}" for title, count in counts]
        parts[0] += f" of {len(self.picks)} folds"
        return ", ".join(parts)


@dataclass(frozen=True)
class PooledProof:
    """What all rows say, each answered by models that never saw it.

    Attributes:
        chosen: What adapt chooses.
        rivals: What it is held against.
        comparisons: With each rival, adjusted together.
        ended: How many of its answers ended their turn by themselves, and of how many; None without a model.
        form: What a second reading finds in its answers; None without a model, and for texts of no form.
        forgetting: What the last training cost in general ability, if that was looked at.
    """

    chosen: Way
    rivals: tuple[Way, ...]
    comparisons: tuple[Comparison, ...]
    target: TargetCheck | None
    failures: Failures
    ended: tuple[int, int] | None
    form: SecondReading | None = None
    forgetting: Forgetting | None = None

    def to_json(self, folds: Sequence[Fold], metric: str) -> dict[str, Any]:
        """Return the verdicts as JSON, and what each fold chose."""
        over = "examples and trainings"
        return {
            "comparisons": [comparison.to_json() | {"generalises_over": over} for comparison in self.comparisons],
            "target": self.target.to_json() if self.target else None,
            "failures": self.failures.counts,
            "ended": self.ended,
            "form": self.form.to_json() if self.form else None,
            "forgetting": self.forgetting.to_json() if self.forgetting else None,
            "metric": metric,
            "value": self.chosen.scores.value(metric),
            "evaluations": {way.name: [entry.name for entry in way.picks] for way in (self.chosen, *self.rivals)},
            "folds": [
                {
                    "run": str(fold.run.path.name),
                    "parts": fold.material.parts.sizes,
                    "chosen": fold.choice.winner.name,
                    "choose": fold.choice.winner.scores.value(metric),
                    "confirm": fold.scores(fold.choice.winner).value(metric),
                }
                for fold in folds
            ],
        }


@dataclass(frozen=True)
class Final:
    """The model (or rival without one) that answers for the run.

    Attributes:
        candidate: What it is.
        run: Its child run: "final", or a fold's winner.
        instead: Why it is a fold's winner; empty for the one trained on all rows.
        tuned: The run whose adapter it answers with, if it does.
        kept: Names of the child runs whose weights stay.
    """

    candidate: Candidate
    run: RunDirectory
    instead: str
    tuned: RunDirectory | None
    kept: set[str]


@dataclass(frozen=True)
class FoldsFound:
    """All that a cross-validation found, for the screen, the report and the card.

    `parts` are those of each fold; `material` has all rows as those to confirm.
    """

    material: Material
    parts: tuple[Parts, ...]
    plan: Plan
    folds: tuple[Fold, ...]
    proof: PooledProof
    final: Final
    seconds: float

    @property
    def metric(self) -> str:
        """The primary metric."""
        return self.material.task.metric

    @property
    def title(self) -> str:
        """The candidate that answers for the run."""
        return self.final.candidate.title
