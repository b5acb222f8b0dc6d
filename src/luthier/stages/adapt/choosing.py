"""Choosing on `choose`, claiming on `confirm`: no candidate sees `confirm` before the choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from luthier.core.run import RunDirectory
from luthier.core.types import Answer
from luthier.data.mapping import PartName
from luthier.data.tasks import Task
from luthier.evaluation.answering import collect_answers, stored_answers
from luthier.evaluation.comparison import Comparison, adjust_for_claims, compare
from luthier.evaluation.failures import Failures, sort_failures
from luthier.evaluation.failures import Kind as FailureKind
from luthier.evaluation.opening import open_answerer, open_model
from luthier.evaluation.retention import Forgetting, compare_retention, ended, retention, retention_of_base
from luthier.evaluation.second_reading import SecondReading, read_again
from luthier.evaluation.statistics import Scores, TargetCheck, against_target
from luthier.generation.local import LocalModel
from luthier.models.memory import release_memory
from luthier.stages.adapt.candidates import Candidate, Kind
from luthier.stages.material import Material

_ILL_FORMED: tuple[FailureKind, ...] = ("failed", "empty", "cut", "format")


@dataclass(frozen=True)
class Entry:
    """A candidate that was run, with its scores on `choose`."""

    candidate: Candidate
    run: RunDirectory
    scores: Scores
    material: Material

    @property
    def name(self) -> str:
        """The candidate's name."""
        return self.candidate.name

    @property
    def title(self) -> str:
        """The candidate's title."""
        return self.candidate.title

    @property
    def phrase(self) -> str:
        """The candidate within a sentence."""
        return f"the model {self.title}" if self.title.startswith(("as it is", "told", "held")) else self.title

    @cached_property
    def answers(self) -> list[Answer]:
        """Its answers on `choose`."""
        return stored_answers(self.run, "choose")

    @cached_property
    def failures(self) -> Failures:
        """Its wrong answers on `choose`, sorted."""
        return failures_of(self.scores, self.answers, self.material, "choose")

    @property
    def valid_share(self) -> float:
        """Share of its answers on `choose` that have the right form and their end."""
        return valid_share(self.failures, self.material.task)

    @property
    def prepared_seconds(self) -> float:
        """Seconds of learning before it could answer; a prompted model needs none."""
        learned = self.run.manifest.get("measured", {}).get("prepared_seconds")
        return float(learned or sum(line["seconds"] for line in self.run.timings()))

    @property
    def latency_seconds(self) -> float:
        """Median seconds of a single request."""
        return float(self.run.manifest["measured"]["latency_seconds"])

    @property
    def memory_bytes(self) -> int:
        """Highest memory of the process while it was prepared and answered."""
        return int(self.run.manifest["measured"]["memory_bytes"])


def failures_of(scores: Scores, answers: Sequence[Answer], material: Material, part: PartName) -> Failures:
    """Sort the wrong answers on a part of the rows."""
    metric = material.task.metric
    return sort_failures(material.parts[part], answers, scores.frame()[metric].tolist(), material.task)


def form_of(answers: Sequence[Answer], material: Material, by: Sequence[Entry]) -> SecondReading | None:
    """Read the answers to the rows to confirm a second time; None if no model gave them."""
    if not any(entry.candidate.uses_model for entry in by):
        return None
    return read_again(material.parts.confirm, answers, material.metrics[0])


def valid_share(failures: Failures, task: Task) -> float:
    """Share of answers that have the right form and their end, right or wrong."""
    return 1 - sum(failures.counts.get(kind, 0) for kind in _ILL_FORMED) / failures.rows


@dataclass(frozen=True)
class Choice:
    """The winner on `choose`, and its rivals on `confirm`: the best candidate of each other kind."""

    winner: Entry
    rivals: tuple[Entry, ...]
    tuned: Entry | None = None
    """The tuned candidate whose adapter the winner answers with."""


@dataclass(frozen=True)
class Proof:
    """What `confirm` says: scores by candidate name, the winner against each rival, and the target.

    Attributes:
        failures: The winner's wrong answers.
        ended: How many of the winner's answers ended their turn by themselves, and of how many; None without a model.
        form: What a second reading finds in the winner's answers; None without a model, and for texts of no form.
        forgetting: What tuning cost in general ability; None where nothing was tuned, or it was not looked at.
    """

    scores: dict[str, Scores]
    comparisons: tuple[Comparison, ...]
    target: TargetCheck | None
    failures: Failures
    ended: tuple[int, int] | None
    form: SecondReading | None
    forgetting: Forgetting | None

    def to_json(self) -> dict[str, Any]:
        """Return the verdicts as JSON."""
        return {
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
            "target": self.target.to_json() if self.target else None,
            "failures": self.failures.counts,
            "ended": self.ended,
            "form": self.form.to_json() if self.form else None,
            "forgetting": self.forgetting.to_json() if self.forgetting else None,
        }


def ranked(entries: Sequence[Entry], metric: str) -> list[Entry]:
    """Order entries by a metric, the best first; of equals, the cheaper one, which comes first."""
    sign = 1 if entries[0].scores.metric(metric).higher_is_better else -1
    return sorted(entries, key=lambda entry: -sign * entry.scores.value(metric))


def _strength(entry: Entry) -> tuple[float, ...]:
    """Sort key by which a rival is strong: the primary metric, and where that is equal the others, in their order."""
    scores = entry.scores
    return tuple(
        scores.value(name) if scores.metric(name).higher_is_better else -scores.value(name)
        for name in entry.material.task.metrics
    )


def best_tuned(entries: Sequence[Entry], metric: str) -> Entry | None:
    """Return the best candidate that was trained."""
    tuned = [entry for entry in entries if entry.candidate.stage == "tune"]
    return ranked(tuned, metric)[0] if tuned else None


def choose(entries: Sequence[Entry], metric: str) -> Choice:
    """Pick the winner by the primary metric, and the best of each other kind to hold it against.

    A tuned model is held against the best prompt and the best rival without a model: that is what people will ask.
    Where only one kind was tried, the second best is the rival.
    """
    winner = ranked(entries, metric)[0]
    others = [entry for entry in entries if entry is not winner]
    best: dict[Kind, Entry] = {}
    for entry in sorted(others, key=_strength, reverse=True):
        best.setdefault(entry.candidate.kind, entry)
    own = best.pop(winner.candidate.kind, None)
    rivals = tuple(best.values()) or ((own,) if own else ())
    return Choice(winner, rivals, best_tuned(entries, metric) if winner.candidate.kind == "tuned" else None)


def confirm(
    choice: Choice, material: Material, run: RunDirectory, *, target: float | None, look_at_retention: bool
) -> Proof:
    """Score winner and rivals on the rows nothing has seen, and compare; claims are adjusted together (Holm)."""
    metric = material.task.metric
    scores = {}
    for entry in (choice.winner, *choice.rivals):
        name = f"confirm_{entry.name}"
        scores[entry.name] = run.once(f"scores_{name}", partial(_score, entry, name, material, run), Scores.from_json)
        release_memory()
    winner = scores[choice.winner.name]
    winner_answers = stored_answers(run, f"confirm_{choice.winner.name}")
    comparisons = [compare(scores[rival.name], winner, metric) for rival in choice.rivals]
    check = None
    if target is not None:
        check = against_target(winner.interval(metric), target, winner.metric(metric).higher_is_better)
    forgetting = None
    if look_at_retention and choice.tuned is not None:
        precision = str(choice.tuned.candidate.recipe.get("precision", "auto"))
        forgetting = forgetting_of(choice.tuned.run, precision, run)
    return Proof(
        scores,
        tuple(adjust_for_claims(comparisons)),
        check,
        failures_of(winner, winner_answers, material, "confirm"),
        ended(winner_answers) if choice.winner.candidate.uses_model else None,
        form_of(winner_answers, material, [choice.winner]),
        forgetting,
    )


def _score(entry: Entry, name: str, material: Material, run: RunDirectory) -> Scores:
    precision = str(entry.candidate.recipe.get("precision", "auto"))
    answerer = open_answerer(str(entry.run.path), precision=precision)
    answers = collect_answers(answerer, material.parts.confirm, run, name)
    return Scores.measure(answerer.identity, material.parts.confirm, answers, material.metrics)


def forgetting_of(tuned: RunDirectory, precision: str, run: RunDirectory) -> Forgetting:
    """Ask the general questions with a run's adapter, and without it (remembered from an earlier run on that model)."""

    def ask() -> Forgetting:
        model = open_model(str(tuned.path), precision)
        after = retention(model, run, "retention_after")
        return compare_retention(retention_of_base(LocalModel(model.model, model.renderer, None), run), after)

    found = run.once("forgetting", ask, Forgetting.from_json)
    release_memory()
    return found
