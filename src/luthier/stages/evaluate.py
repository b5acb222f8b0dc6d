"""Score a run, a model or a file of finished answers on labelled rows."""

from __future__ import annotations

from pydantic import Field

from luthier.core import config
from luthier.core.run import RunDirectory
from luthier.evaluation.answering import collect_answers
from luthier.evaluation.export import ExportFormat, evaluation_table, write_table
from luthier.evaluation.metrics import title_of
from luthier.evaluation.statistics import Scores
from luthier.reporting.blocks import Block, Column, Row, Table
from luthier.reporting.html import write_html
from luthier.reporting.inline import escape
from luthier.stages.asking import (
    metrics_for,
    open_for,
    read_for,
    require_confidence,
    require_measurable,
    require_some_answer,
    task_for,
    warn_of_learned_rows,
)
from luthier.stages.blocks import reproduce, score_cell, signature_rows
from luthier.stages.glossary import GLOSSARY
from luthier.stages.material import DataConfig, require_same_data


class Config(config.Config):
    """Recipe of an evaluation."""

    answerer: str = Field(description="a run directory, a model, or an answers file")
    data: DataConfig
    metrics: list[str] = Field(default_factory=list, description="names of metrics; the task's by default")
    precision: str = Field("auto", description="fp32, bf16, or auto: bf16 where the machine computes in it")
    export: ExportFormat | None = Field(
        None, description="write a table with a row an example, rows.csv or rows.parquet"
    )


def run(config: Config, run: RunDirectory) -> None:
    """Read, answer, score."""
    dataset = read_for(config.answerer, config.data)
    require_same_data(run, config.data.path, dataset.digest)
    examples = dataset.examples
    task = task_for(config.answerer, examples, config.data.kind)
    metrics = metrics_for(task, config.metrics, examples)
    require_measurable(examples, metrics)
    run.update(
        data={"path": config.data.path, "sha256": dataset.digest, "rows": len(dataset)},
        mapping=dataset.mapping.to_json(),
        task=task.to_json(),
        answers="evaluation/answers.jsonl",
    )
    run.listener.show(Row("run", f"`{escape(str(run.path))}`"))
    run.listener.show(
        Row("data", [f"{escape(dataset.description)}. {escape(dataset.mapping.explain())}", escape(task.reason)])
    )
    warn_of_learned_rows(config.answerer, examples, run.listener)
    answerer = open_for(config.answerer, examples, config.precision, run.listener)
    require_confidence(answerer, examples, metrics)
    answers = collect_answers(answerer, examples, run, "answers")
    if note := require_some_answer(answers, run):
        run.listener.say(escape(note))
    scores = run.once("scores", lambda: Scores.measure(answerer.identity, examples, answers, metrics), Scores.from_json)
    columns = [Column(f"{len(scores)} rows"), *(Column(title_of(name), "right") for name in scores.names)]
    table = Table(columns, [[config.answerer, *(score_cell(scores, name) for name in scores.names)]])
    shown: list[Block] = [table, *signature_rows(scores, scores.names)]
    for block in shown:
        run.listener.show(block)
    write_html(
        run.path / "report.html",
        f"{config.answerer} on {config.data.path}",
        [*shown, *reproduce(run)],
        glossary=GLOSSARY,
    )
    run.listener.show(Row("report", f"`{escape(str(run.path / 'report.html'))}`"))
    if config.export:
        path = write_table(evaluation_table(examples, answers, scores), run.path / f"rows.{config.export}")
        run.update(export=path.name)
        run.listener.show(Row("rows", f"`{escape(str(path))}`"))
    run.finish({"metric": scores.names[0], "value": scores.value(scores.names[0])})
