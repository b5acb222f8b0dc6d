"""Pooling a cross-validation: the out-of-fold answers of a way of working, measured over all rows at once.

Each fold confirms its winner and the best candidate of each other kind, chosen on its own rows to choose. So there are
out-of-fold answers not only of what adapt chooses, but also of what it would choose if it could only prompt, or had no
model: these are its rivals. Nothing is picked by a look at the rows that confirm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from luthier.core.files import sha256_text
from luthier.core.run import RunDirectory
from luthier.evaluation.answering import stored_answers
from luthier.evaluation.comparison import adjust_for_claims, compare
from luthier.evaluation.retention import ended
from luthier.evaluation.statistics import Scores, against_target
from luthier.stages.adapt.candidates import Candidate, Kind
from luthier.stages.adapt.choosing import Entry, failures_of, form_of
from luthier.stages.adapt.folds_found import Fold, PooledProof, Way
from luthier.stages.material import Material

_BEST: dict[Kind, str] = {
    "tuned": "the best tuned model",
    "prompted": "the best prompt",
    "without a model": "the best rival without a model",
}


def favourite_of(folds: Sequence[Fold], metric: str) -> Candidate:
    """Return the candidate that most folds chose; of equals, the one with the better mean score on rows to choose."""
    counts = Counter(fold.choice.winner.name for fold in folds)
    sign = 1 if folds[0].choice.winner.scores.metric(metric).higher_is_better else -1

    def mean(name: str) -> float:
        values = [entry.scores.value(metric) for fold in folds for entry in fold.entries if entry.name == name]
        return sum(values) / len(values)

    order = [entry.candidate for entry in folds[0].entries]  # of equals in that too, the cheaper one
    order += [fold.choice.winner.candidate for fold in folds]
    return max(order, key=lambda candidate: (counts[candidate.name], sign * mean(candidate.name)))


def pool(folds: Sequence[Fold], material: Material, run: RunDirectory, name: str, target: float | None) -> PooledProof:
    """Measure what adapt chooses and its rivals on all rows, and compare; claims are adjusted together (Holm).

    Args:
        folds: All folds.
        material: All rows as those to confirm.
        run: Where pooled answers and scores are stored.
        name: Name of the pooled answers of what adapt chooses: that of the child run which answers for this run.
        target: Score that would be good enough.
    """
    metric = material.task.metric
    favourite = favourite_of(folds, metric)
    picks = tuple(fold.choice.winner for fold in folds)
    chosen = _way(name, "what adapt chooses", picks, folds, material, run)
    rivals = tuple(
        _way(rival, phrase, entries, folds, material, run) for rival, phrase, entries in _rivals(folds, favourite)
    )
    comparisons = [compare(rival.scores, chosen.scores, metric) for rival in rivals]
    check = None
    if target is not None:
        higher = chosen.scores.metric(metric).higher_is_better
        check = against_target(chosen.scores.interval(metric), target, higher)
    answers = stored_answers(run, f"confirm_{name}")
    return PooledProof(
        chosen,
        rivals,
        tuple(adjust_for_claims(comparisons)),
        check,
        failures_of(chosen.scores, answers, material, "confirm"),
        ended(answers) if any(entry.candidate.uses_model for entry in picks) else None,
        form_of(answers, material, picks),
    )


def _rivals(folds: Sequence[Fold], favourite: Candidate) -> list[tuple[str, str, tuple[Entry, ...]]]:
    """Return name, phrase and picks of each rival: the best of each kind that is not the favourite's.

    Where only one kind was tried, the rivals are the single candidates that every fold has confirmed.
    """
    found = []
    for kind in _BEST:
        best = [entry for fold in folds if (entry := fold.best_of_kind(kind)) is not None]
        if kind != favourite.kind and len(best) == len(folds):
            found.append((f"best_{kind.replace(' ', '_')}", _BEST[kind], tuple(best)))
    if found:
        return found
    for other in folds[0].confirmed:
        same = [entry for fold in folds for entry in fold.confirmed if entry.name == other.name]
        if other.name != favourite.name and len(same) == len(folds):
            found.append((f"only_{other.name}", other.phrase, tuple(same)))
    return found


def _way(
    name: str, phrase: str, picks: tuple[Entry, ...], folds: Sequence[Fold], material: Material, run: RunDirectory
) -> Way:
    """Put the folds' answers together, in the order of the file, and measure them with the same metrics."""
    pairs = list(zip(folds, picks, strict=True))
    by_id = {answer.example_id: answer for fold, entry in pairs for answer in fold.answers(entry)}
    examples = material.parts.confirm
    answers = [by_id[example.id] for example in examples]
    run.files.write_lines(f"evaluation/confirm_{name}.jsonl", (answer.to_json() for answer in answers))
    identity = sha256_text("out of fold", *(fold.scores(entry).answerer for fold, entry in pairs))
    scores = run.once(
        f"scores_confirm_{name}",
        lambda: Scores.measure(identity, examples, answers, material.metrics),
        Scores.from_json,
    )
    return Way(name, phrase, picks, scores)
