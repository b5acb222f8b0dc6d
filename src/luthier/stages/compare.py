"""Compare answerers on the same rows: each candidate against the first, paired, claims adjusted together.

What is compared is one answerer, or a group of runs of one method with different seeds, which stands for the method.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, TypeAlias

from luthier.core.errors import ConfigError, DataError, RunError
from luthier.core.listener import Listener
from luthier.core.run import RunDirectory
from luthier.evaluation.comparison import Comparison, adjust_for_claims, compare, rows_in_order
from luthier.evaluation.metrics import title_of
from luthier.evaluation.opening import answers_file, require_there, winner_of
from luthier.evaluation.statistics import Scores
from luthier.evaluation.statistics.over_seeds import score_over_seeds
from luthier.reporting.blocks import Cell, CellLike, Column, Interval, Row, Table
from luthier.reporting.inline import escape
from luthier.reporting.quantities import quantity
from luthier.stages.asking import (
    metrics_for,
    open_for,
    read_for,
    require_confidence,
    require_measurable,
    task_for,
    warn_of_learned_rows,
)
from luthier.stages.blocks import score_cell, signature_rows, unit_of
from luthier.stages.material import DataConfig
from luthier.stages.raw_text import is_raw_text
from luthier.stages.text_evaluation import metrics_of_text, text_scores

_BATCH = 64
Group: TypeAlias = tuple[str, ...]
"""One answerer, or the runs of a method with different seeds."""


def compare_all(
    written: Sequence[str | Path | Sequence[str | Path]],
    data: dict[str, Any] | None,
    metrics: Sequence[str],
    margin: float | None,
    precision: str,
    listener: Listener,
) -> list[Comparison]:
    """Compare each of `written[1:]` with `written[0]` by each metric; shows a table and the sentences.

    Raises:
        ConfigError: for a group with an empty place, or with a run that is there twice.
        DataError: if there is no data to compare on, the runs were proved on different rows, or two runs of a group are
            the same model.
    """
    groups = [group_of(one) for one in written]
    _require_apart(groups)
    specs = list(dict.fromkeys(spec for group in groups for spec in group))
    for spec in specs:
        require_there(spec)
    if data is None:
        scores = {spec: _stored(spec) for spec in specs}
        names = list(metrics) or [scores[specs[0]].names[0]]
    else:
        scores, names = _measured(specs, DataConfig.parse(data, "data"), metrics, precision, listener)
    for group in groups:
        _require_other_weights(group, scores, listener)
    measured = [[replace(scores[spec], answerer=spec) for spec in group] for group in groups]
    comparisons = [compare(measured[0], other, name, margin=margin) for name in names for other in measured[1:]]
    adjusted = adjust_for_claims(comparisons)
    _show(measured, names, adjusted, listener)
    return adjusted


def group_of(written: str | Path | Sequence[str | Path]) -> Group:
    """Return the answerers that are meant: "A1,A2" are two, unless a file or folder has that very name.

    Raises:
        ConfigError: for a group with an empty place, or with the same run twice.
    """
    if isinstance(written, (str, Path)):
        text = str(written)
        group = (text,) if "," not in text or os.path.exists(text) else tuple(part.strip() for part in text.split(","))
    else:
        group, text = tuple(map(str, written)), ",".join(map(str, written))
    if not group or not all(group):
        raise ConfigError(
            f"The group '{text}' has an empty place. A group is runs with one comma between each two: runs/1,runs/2."
        )
    if twice := next((one for one, other in combinations(group, 2) if _place(one) == _place(other)), None):
        raise ConfigError(
            f"The group '{text}' has {twice} twice. A group is runs with different seeds, each named once."
        )
    return group


def _require_apart(groups: Sequence[Group]) -> None:
    """Refuse a run that stands on both sides: the two would be more alike than their methods are."""
    base, *candidates = groups
    for candidate in candidates:
        both = [spec for spec in candidate if _place(spec) in set(map(_place, base))]
        if both and len(base) + len(candidate) > 2:
            raise ConfigError(
                f"{both[0]} stands in {','.join(base)} and in {','.join(candidate)}. "
                "Groups that are compared have no run in common."
            )


def _place(spec: str) -> str:
    """Return what tells two ways of writing the same run apart from two runs."""
    return os.path.realpath(spec) if os.path.exists(spec) else spec


def _require_other_weights(group: Group, scores: Mapping[str, Scores], listener: Listener) -> None:
    """Stop where two runs of a group are one model: seeds that were not changed would seem not to matter.

    Raises:
        DataError: if two runs have the same weights and prompt.
    """
    for one, other in combinations(group, 2):
        if scores[one].answerer != scores[other].answerer:
            continue
        if answers_file(one) and answers_file(other):
            listener.say(
                f"**{escape(one)} and {escape(other)} hold the same answers.** If one is a copy of the other, seeds "
                "seem to matter less than they do."
            )
            continue
        raise DataError(
            f"{one} and {other} are the same model. A group is runs of one method with different seeds: tune with "
            "--seed 1, --seed 2 and so on."
        )


def _measured(
    specs: Sequence[str], section: DataConfig, metrics: Sequence[str], precision: str, listener: Listener
) -> tuple[dict[str, Scores], list[str]]:
    """Let all answer the rows; returns their scores, and the metrics to compare by."""
    if any(is_raw_text(spec, section.kind) for spec in specs):
        of_text = metrics_of_text(metrics)
        return text_scores(specs, section, of_text, precision, listener), list(metrics) or [of_text[0].name]
    dataset = read_for(next((s for s in specs if RunDirectory.is_run(Path(s))), specs[0]), section)
    task = task_for(specs[0], dataset.examples, section.kind)
    built = metrics_for(task, metrics, dataset.examples)
    require_measurable(dataset.examples, built)
    scores = {}
    for spec in specs:
        warn_of_learned_rows(spec, dataset.examples, listener)
        answerer = open_for(spec, dataset.examples, precision, listener)
        require_confidence(answerer, dataset.examples, built)
        with listener.track(f"answering ({spec})", len(dataset), "rows") as progress:
            answers = []
            for chunk in _chunks(dataset.examples):
                answers += list(answerer.answer(chunk))
                progress.advance(len(chunk))
        scores[spec] = Scores.measure(answerer.identity, dataset.examples, answers, built)
    return scores, list(metrics) or [task.metric]


def _stored(spec: str) -> Scores:
    """Return a run's scores on the rows it was proved on."""
    path = Path(spec)
    if not RunDirectory.is_run(path):
        raise DataError(f"{spec} is not a run, so there are no stored scores: name the labelled rows with --data FILE.")
    run = RunDirectory(path)
    child = winner_of(run)
    names = [f"scores_confirm_{child.path.name}"] if child is not run else []
    for name in [*names, "scores_confirm", "scores", "scores_choose"]:
        if (stored := run.step(name)) is not None:
            return Scores.from_json(stored)
    raise RunError(f"{spec} has no scores (status {run.status}). Finish it: luthier resume {spec}.")


def _chunks(examples: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(examples), _BATCH):
        yield examples[start : start + _BATCH]


def _show(
    measured: Sequence[Sequence[Scores]], names: Sequence[str], comparisons: Sequence[Comparison], listener: Listener
) -> None:
    columns = [Column(f"{len(measured[0][0])} rows"), *(Column(title_of(name), "right") for name in names)]
    rows: list[list[CellLike]] = [
        [",".join(one.answerer for one in group), *(_cell(group, name) for name in names)] for group in measured
    ]
    listener.show(Table(columns, rows))
    for signature in signature_rows(measured[0][0], names):
        listener.show(signature)
    listener.show(Row("verdict", [escape(comparison.sentence()) for comparison in comparisons]))


def _cell(group: Sequence[Scores], metric: str) -> Cell:
    """Return a score with its interval; of a group the mean over its runs, with the range of their scores."""
    first = group[0]
    if len(group) == 1:
        return score_cell(first, metric)
    rows = [rows_in_order(first, one, metric) for one in group]
    found = score_over_seeds(first.metric(metric), rows, first.codes)
    values = [one.value(metric) for one in group]
    unit = unit_of(first, metric)
    note = f"{len(group)} seeds, {quantity(min(values), unit)} to {quantity(max(values), unit)}"
    return Cell(Interval(found.value, found.low, found.high, unit), note=note)
