"""Choosing on `choose`, claiming on `confirm`: no candidate sees `confirm` before the choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from luthier.core.run import RunDirectory
from luthier.evaluation.answering import collect_answers
from luthier.evaluation.comparison import Comparison, adjust_for_claims, compare
from luthier.evaluation.opening import open_answerer
from luthier.evaluation.statistics import Scores, TargetCheck, against_target
from luthier.stages.adapt.plan import Candidate
from luthier.stages.material import Material


@dataclass(frozen=True)
class Entry:
    """A candidate that was run, with its scores on `choose`."""

    candidate: Candidate
    run: RunDirectory
    scores: Scores

    @property
    def title(self) -> str:
        """The candidate's title."""
        return self.candidate.title

    @property
    def phrase(self) -> str:
        """The candidate within a sentence."""
        return f"the model {self.title}" if self.title.startswith(("as it is", "told")) else self.title


@dataclass(frozen=True)
class Choice:
    """The winner on `choose`, and its rivals on `confirm`: the best other one and the best of the other kind."""

    winner: Entry
    rivals: tuple[Entry, ...]


@dataclass(frozen=True)
class Proof:
    """What `confirm` says: scores by candidate name, the winner against each rival, and the target."""

    scores: dict[str, Scores]
    comparisons: tuple[Comparison, ...]
    target: TargetCheck | None

    def to_json(self) -> dict[str, Any]:
        """Return the verdicts as JSON."""
        return {
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
            "target": self.target.to_json() if self.target else None,
        }


def choose(entries: Sequence[Entry], metric: str) -> Choice:
    """Pick the winner by the primary metric; of equals, the cheaper one, which comes first."""
    sign = 1 if entries[0].scores.metric(metric).higher_is_better else -1
    ranked = sorted(entries, key=lambda entry: -sign * entry.scores.value(metric))
    winner, others = ranked[0], ranked[1:]
    # A model is held against the best rival without one, and the other way round: that is what people will ask.
    other_kind = [entry for entry in others if entry.candidate.uses_model != winner.candidate.uses_model]
    best = {entry.candidate.name: entry for entry in [*others[:1], *other_kind[:1]]}
    return Choice(winner, tuple(best.values()))


def confirm(choice: Choice, material: Material, run: RunDirectory, target: float | None) -> Proof:
    """Score winner and rivals on the rows nothing has seen, and compare; claims are adjusted together (Holm)."""
    metric = material.task.metric
    scores = {}
    for entry in (choice.winner, *choice.rivals):
        name = f"confirm_{entry.candidate.name}"
        measure = partial(_score, entry, name, material, run)
        scores[entry.candidate.name] = run.once(f"scores_{name}", measure, Scores.from_json)
    winner = scores[choice.winner.candidate.name]
    comparisons = [compare(scores[rival.candidate.name], winner, metric) for rival in choice.rivals]
    check = None
    if target is not None:
        check = against_target(winner.interval(metric), target, winner.metric(metric).higher_is_better)
    return Proof(scores, tuple(adjust_for_claims(comparisons)), check)


def _score(entry: Entry, name: str, material: Material, run: RunDirectory) -> Scores:
    precision = str(entry.candidate.recipe.get("precision", "auto"))
    answerer = open_answerer(str(entry.run.path), precision=precision)
    answers = collect_answers(answerer, material.parts.confirm, run, name)
    return Scores.measure(answerer.identity, material.parts.confirm, answers, material.metrics)
