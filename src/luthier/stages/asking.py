"""What evaluate, answer and compare share: rows read the way a run read its own, its task, an opened answerer."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from luthier.core.errors import DataError
from luthier.core.listener import Listener
from luthier.core.protocols import Answerer, Metric
from luthier.core.run import RunDirectory
from luthier.core.types import Answer, Example
from luthier.data.lengths import output_limit
from luthier.data.mapping import RowMapping
from luthier.data.options import ReadOptions
from luthier.data.overlap import remove_overlap
from luthier.data.sources import Dataset, read_examples
from luthier.data.tasks import Task, guess_task
from luthier.evaluation.answerers import FinishedAnswers, Prompted
from luthier.evaluation.metrics.fitting import fitting_metrics
from luthier.evaluation.opening import (
    answers_file,
    examples_of,
    mapping_of,
    open_answerer,
    open_model,
    require_there,
    winner_of,
)
from luthier.prompting.strategies.zero_shot import ZeroShot, ZeroShotConfig
from luthier.reporting.inline import escape
from luthier.stages.material import DataConfig
from luthier.stages.stored_rows import learned_from

_MOST_NAMED = 5


def read_for(answerer: str, data: DataConfig, *, need_answers: bool = True) -> Dataset:
    """Read rows the way the answerer's run read its own, unless the user says otherwise."""
    mapping: RowMapping | None = None
    if RunDirectory.is_run(Path(answerer)) and data.read == ReadOptions():
        mapping = mapping_of(RunDirectory(Path(answerer)))
    return read_examples(data.path, data.read, mapping=mapping, need_answers=need_answers)


def warn_of_learned_rows(answerer: str, examples: Sequence[Example], listener: Listener) -> None:
    """Say how many rows a run has learned from or chosen on: a score on them says little about new rows.

    Rows are compared by what they ask, exactly and nearly, whatever they are called; with rows that a run has read from
    disk exactly, and nearly with the sample that it keeps of them.
    """
    path = Path(answerer)
    if not RunDirectory.is_run(path):
        return
    run = winner_of(RunDirectory(path))
    known = [example for part in ("tune", "choose") for example in examples_of(run, part)]
    nearly = remove_overlap(examples, known).removed if known else ()
    seen = {row.id: row for row in (*learned_from(run, examples), *(row for row, _ in nearly))}
    if seen:
        lines = sorted(row.line for row in seen.values() if row.line)[:_MOST_NAMED]
        where = f" (lines {', '.join(map(str, lines))}{', …' * (len(seen) > len(lines))})" if lines else ""
        listener.say(
            f"**{len(seen)} of these {len(examples)} rows were learned from or chosen on** by {escape(answerer)}, word "
            f"for word or nearly{where}: its score on them is too good. Rows that it has not seen say more."
        )


def task_for(answerer: str, examples: Sequence[Example], kind: str | None) -> Task:
    """Return the task of the answerer's run, else what the rows look like."""
    if kind is None and RunDirectory.is_run(Path(answerer)):
        directory = winner_of(RunDirectory(Path(answerer)))
        if known := examples_of(directory, "tune"):
            return guess_task(known, directory.recipe["data"]["kind"])
    return guess_task(examples, kind)


def metrics_for(task: Task, names: Sequence[str], examples: Sequence[Example]) -> list[Metric]:
    """Build the metrics asked for, or the task's own and how answers end, with settings that fit the rows."""
    chosen = names or [*task.metrics, "empty", "cut", "failed"]
    return fitting_metrics(chosen, task.labels, [text for example in examples for text in example.references])


def open_for(spec: str, examples: Sequence[Example], precision: str, listener: Listener) -> Answerer:
    """Open an answerer; a plain model gets its output limit from the rows' references, in its own tokens.

    Raises:
        DataError: for finished answers none of which is to one of the rows.
    """
    require_there(spec)
    references = [text for example in examples for text in example.references]
    if answers_file(spec) or RunDirectory.is_run(Path(spec)) or not references:
        answerer = open_answerer(spec, precision=precision, listener=listener)
        if isinstance(answerer, FinishedAnswers) and (note := answerer.check_fits(examples)):
            listener.say(escape(note))
        return answerer
    model = open_model(spec, precision, listener)
    limit = output_limit([len(model.renderer.answer_ids(text)) + 1 for text in references])
    return Prompted(model, ZeroShot(ZeroShotConfig(max_tokens=limit)))


def require_measurable(examples: Sequence[Example], metrics: Sequence[Metric]) -> None:
    """Measure an empty answer to every row, so that a metric that cannot is known before anything is answered.

    Raises:
        DataError: if a metric does not fit the rows' right answers.
    """
    for example in examples:
        for metric in metrics:
            metric.measure(example, Answer(example.id, "", "stop", {"confidence": 0.0, "grade": 0.0}))


def require_confidence(answerer: Answerer, examples: Sequence[Example], metrics: Sequence[Metric]) -> None:
    """Let the first row be answered, where a metric needs a confidence, so that all others are not in vain.

    Raises:
        DataError: if the answer comes without one.
    """
    asked = [metric for metric in metrics if getattr(metric, "needs_confidence", False)]
    for answer in answerer.answer(examples[:1]) if asked else ():
        asked[0].measure(examples[0], answer)


def require_some_answer(answers: Sequence[Answer], run: RunDirectory) -> str:
    """Say how many answers failed, and why the first did; an empty text if none did.

    Raises:
        DataError: if all did; the answers are removed, since they are of no use.
    """
    failed = [answer for answer in answers if answer.finish == "failed"]
    if not failed:
        return ""
    reason = f" The first: {failed[0].text}" if failed[0].text else ""
    if len(failed) == len(answers):
        shutil.rmtree(run.path / "evaluation")
        raise DataError(f"None of the {len(answers):,} rows could be answered.{reason}")
    rows = ", ".join(answer.example_id for answer in failed[:_MOST_NAMED]) + ", …" * (len(failed) > _MOST_NAMED)
    return f"{len(failed):,} of {len(answers):,} answers failed and count as wrong.{reason} Their rows: {rows}."
