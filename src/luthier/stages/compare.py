"""Compare answerers on the same rows: each candidate against the first, paired, claims adjusted together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from luthier.core.errors import DataError, RunError
from luthier.core.files import read_json
from luthier.core.listener import Listener
from luthier.core.run import RunDirectory
from luthier.evaluation.comparison import Comparison, adjust_for_claims, compare
from luthier.evaluation.metrics import title_of
from luthier.evaluation.opening import require_there, winner_of
from luthier.evaluation.statistics import Scores
from luthier.reporting.blocks import CellLike, Column, Row, Table
from luthier.reporting.inline import escape
from luthier.stages.asking import metrics_for, open_for, read_for, require_measurable, task_for, warn_of_learned_rows
from luthier.stages.blocks import score_cell
from luthier.stages.material import DataConfig

_BATCH = 64


def compare_all(
    specs: Sequence[str],
    data: dict[str, Any] | None,
    metrics: Sequence[str],
    margin: float | None,
    precision: str,
    listener: Listener,
) -> list[Comparison]:
    """Compare each of `specs[1:]` with `specs[0]` by each metric; shows a table and the sentences.

    Raises:
        DataError: if there is no data to compare on, or the runs were proved on different rows.
    """
    for spec in specs:
        require_there(spec)
    if data is None:
        scores = [_stored(spec) for spec in specs]
        names = list(metrics) or [scores[0].names[0]]
    else:
        section = DataConfig.parse(data, "data")
        dataset = read_for(next((s for s in specs if RunDirectory.is_run(Path(s))), specs[0]), section)
        task = task_for(specs[0], dataset.examples, section.kind)
        built = metrics_for(task, metrics)
        require_measurable(dataset.examples, built)
        names = list(metrics) or [task.metric]
        scores = []
        for spec in specs:
            warn_of_learned_rows(spec, dataset.examples, listener)
            answerer = open_for(spec, dataset.examples, precision, listener)
            with listener.track(f"answering ({spec})", len(dataset), "rows") as progress:
                answers = []
                for chunk in _chunks(dataset.examples):
                    answers += list(answerer.answer(chunk))
                    progress.advance(len(chunk))
            scores.append(Scores.measure(answerer.identity, dataset.examples, answers, built))
    comparisons = [
        replace(compare(scores[0], other, name, margin=margin), base=specs[0], candidate=spec)
        for name in names
        for spec, other in zip(specs[1:], scores[1:], strict=True)
    ]
    adjusted = adjust_for_claims(comparisons)
    _show(specs, scores, names, adjusted, listener)
    return adjusted


def _stored(spec: str) -> Scores:
    """Return a run's scores on the rows it was proved on."""
    path = Path(spec)
    if not RunDirectory.is_run(path):
        raise DataError(f"{spec} is not a run, so there are no stored scores: name the labelled rows with --data FILE.")
    run = RunDirectory(path)
    child = winner_of(run)
    names = [f"scores_confirm_{child.path.name}"] if child is not run else []
    for name in [*names, "scores_confirm", "scores", "scores_choose"]:
        file = run.path / "steps" / f"{name}.json"
        if file.exists():
            return Scores.from_json(read_json(file))
    raise RunError(f"{spec} has no scores (status {run.status}). Finish it: luthier resume {spec}.")


def _chunks(examples: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(examples), _BATCH):
        yield examples[start : start + _BATCH]


def _show(
    specs: Sequence[str],
    scores: Sequence[Scores],
    names: Sequence[str],
    comparisons: Sequence[Comparison],
    listener: Listener,
) -> None:
    columns = [Column(f"{len(scores[0])} rows"), *(Column(title_of(name), "right") for name in names)]
    rows: list[list[CellLike]] = []
    for spec, found in zip(specs, scores, strict=True):
        rows.append([spec, *(score_cell(found, name) for name in names)])
    listener.show(Table(columns, rows))
    listener.show(Row("verdict", [escape(comparison.sentence()) for comparison in comparisons]))
