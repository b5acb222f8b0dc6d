"""Score a run, a model or a file of finished answers on labelled rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pydantic import Field

from luthier.core import config
from luthier.core.errors import ConfigError
from luthier.core.protocols import Answerer, Metric
from luthier.core.run import RunDirectory
from luthier.core.types import Answer, Example
from luthier.data.tasks import Task
from luthier.evaluation.answerers import Prompted
from luthier.evaluation.answering import collect_answers
from luthier.evaluation.export import ExportFormat, samples_table, write_table
from luthier.evaluation.judges.judge import Judge, JudgeConfig, Kin, open_judge
from luthier.evaluation.metrics import title_of
from luthier.evaluation.metrics.fitting import fitting_metrics
from luthier.evaluation.metrics.grade import Grade
from luthier.evaluation.opening import layout_of
from luthier.evaluation.sampling import Sampled, all_alike, sampled_answerers, sampling_error
from luthier.evaluation.second_reading import read_again
from luthier.evaluation.statistics import Scores
from luthier.reporting.blocks import Block, Cell, Column, Row, Table
from luthier.reporting.html import write_html
from luthier.reporting.inline import escape
from luthier.reporting.quantities import number, quantity
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
from luthier.stages.blocks import form_rows, other_forms, reproduce, score_cell, signature_rows, unit_of
from luthier.stages.glossary import GLOSSARY
from luthier.stages.judging import criteria_table, grade_answers, judge_lines, judge_row
from luthier.stages.material import DataConfig, require_same_data
from luthier.stages.raw_text import is_raw_text
from luthier.stages.text_evaluation import evaluate_text


class SamplingConfig(config.Config):
    """How answers are sampled."""

    samples: int = Field(1, ge=1, description="answers to each row, whose mean counts")
    temperature: float | None = Field(
        None,
        ge=0,
        description="at which answers are sampled; null: the run's own, which is 0 (greedy) unless it says so",
    )
    seed: int = Field(0, description="seed of the first sample; each further one adds 1")

    @property
    def names(self) -> list[str]:
        """The files that answers are kept in, below `evaluation/`, without their ending."""
        return [f"sample_{n + 1}" for n in range(self.samples)] if self.samples > 1 else ["answers"]


class Config(config.Config):
    """Recipe of an evaluation."""

    answerer: str = Field(description="a run directory, a model, or an answers file")
    data: DataConfig
    metrics: list[str] = Field(default_factory=list, description="names of metrics; the task's by default")
    precision: str = Field("auto", description="fp32, bf16, or auto: bf16 where the machine computes in it")
    sampling: SamplingConfig = Field(SamplingConfig(), description="how answers are sampled")
    judge: JudgeConfig | None = Field(None, description="a model that grades the answers; null: none")
    export: ExportFormat | None = Field(
        None, description="write a table with a row an example, rows.csv or rows.parquet"
    )


def run(config: Config, run: RunDirectory) -> None:
    """Read, answer, score; raw text is read and not answered."""
    if is_raw_text(config.answerer, config.data.kind):
        _run_on_text(config, run)
        return
    dataset = read_for(config.answerer, config.data, need_answers=config.judge is None)
    require_same_data(run, config.data.path, dataset.digest)
    examples = dataset.examples
    task = _task(config, examples)
    metrics = _metrics(config, task, examples)
    require_measurable(examples, metrics)
    files = [f"evaluation/{name}.jsonl" for name in config.sampling.names]
    run.update(
        data={"path": config.data.path, "sha256": dataset.digest, "rows": len(dataset)},
        mapping=dataset.mapping.to_json(),
        task=task.to_json() if task else None,
        answers=files if len(files) > 1 else files[0],
    )
    run.listener.show(Row("run", f"`{escape(str(run.path))}`"))
    run.listener.show(
        Row("data", [f"{escape(dataset.description)}. {escape(dataset.mapping.explain())}", escape(_reason(task))])
    )
    warn_of_learned_rows(config.answerer, examples, run.listener)
    answerer = open_for(config.answerer, examples, config.precision, run.listener)
    require_confidence(answerer, examples, metrics)
    answerers = _sampled(answerer, config)
    samples = _collect(answerers, examples, config.sampling, run)
    run.update(layout=layout_of(answerer))
    judged = _judged(config, answerer, examples, samples, run)
    samples, metrics = judged.samples, [*metrics, *judged.metrics] if task else [*judged.metrics, *metrics]
    measured = [Scores.measure(a.identity, examples, s, metrics) for a, s in zip(answerers, samples, strict=True)]
    scores = run.once("scores", lambda: Scores.over_samples(measured), Scores.from_json)
    columns = [Column(f"{len(scores)} rows"), *(Column(title_of(name), "right") for name in scores.names)]
    table = Table(columns, [[config.answerer, *(_cell(scores, measured, name) for name in scores.names)]])
    sampling = _sampling_rows(answerers, samples, measured, run)
    reading = read_again(examples, samples[0], metrics[0])
    form = form_rows(run, reading)
    shown: list[Block] = [table, *judged.blocks, *sampling, *form, *signature_rows(scores, scores.names)]
    for block in shown:
        run.listener.show(block)
    write_html(
        run.path / "report.html",
        f"{config.answerer} on {config.data.path}",
        [*shown, *other_forms(reading), *reproduce(run)],
        glossary=GLOSSARY,
    )
    run.listener.show(Row("report", f"`{escape(str(run.path / 'report.html'))}`"))
    if config.export:
        table_of_rows = samples_table(examples, samples, measured)
        path = write_table(table_of_rows, run.path / f"rows.{config.export}")
        run.update(export=path.name)
        run.listener.show(Row("rows", f"`{escape(str(path))}`"))
    run.finish({"metric": scores.names[0], "value": scores.value(scores.names[0])})


def _run_on_text(config: Config, run: RunDirectory) -> None:
    if config.sampling != SamplingConfig():
        raise ConfigError("Raw text is read and not answered: sampling has no effect on it. Leave it out.")
    if config.judge is not None:
        raise ConfigError("Raw text is read and not answered: there is nothing that a judge could grade. Leave it out.")
    scores = evaluate_text(config.answerer, config.data, config.metrics, config.precision, run)
    if config.export:
        path = write_table(scores.frame(), run.path / f"rows.{config.export}")
        run.update(export=path.name)
        run.listener.show(Row("rows", f"`{escape(str(path))}`"))
    run.finish({"metric": scores.names[0], "value": scores.value(scores.names[0])})


def _task(config: Config, examples: Sequence[Example]) -> Task | None:
    """Return what kind of task the rows are; None where a judge grades rows without right answers."""
    if config.judge is not None and not any(example.references for example in examples):
        return None
    return task_for(config.answerer, examples, config.data.kind)


def _reason(task: Task | None) -> str:
    return task.reason if task else "no right answers: the judge's grade alone counts"


def _metrics(config: Config, task: Task | None, examples: Sequence[Example]) -> list[Metric]:
    """Build the metrics other than the judge's grade."""
    if config.judge is None and "grade" in config.metrics:
        raise ConfigError("The metric grade needs a judge. Name one: --judge MODEL.")
    names = [name for name in config.metrics if name != "grade"]
    if task is not None:
        return metrics_for(task, names, examples)
    return fitting_metrics(names or ["empty", "cut", "failed"], (), ())


@dataclass(frozen=True)
class _Judged:
    """Answers with what a judge adds to them, the metric that reads it, and what is said of the judge."""

    samples: list[list[Answer]]
    metrics: list[Metric] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)


def _judged(
    config: Config, answerer: Answerer, examples: Sequence[Example], samples: list[list[Answer]], run: RunDirectory
) -> _Judged:
    if config.judge is None:
        return _Judged(samples)
    judge: Judge = open_judge(config.judge, config.precision, run.listener)
    graded = [
        grade_answers(judge, examples, answers, run, name)
        for name, answers in zip(config.sampling.names, samples, strict=True)
    ]
    verdicts = [found for _, found in graded]
    failed = sum(verdict.finish == "failed" for found in verdicts for verdict in found)
    kin = Kin.of(config.answerer, answerer)
    lines = judge_lines(judge, "grades", [kin], failed, len(examples) * len(samples))
    run.update(judge={"identity": judge.identity, "model": judge.name, "failed": failed, "measured": judge.measured})
    blocks: list[Block] = [criteria_table(judge.rubric, verdicts), judge_row(lines)]
    return _Judged([answers for answers, _ in graded], [Grade(judge.identity)], blocks)


def _sampled(answerer: Answerer, config: Config) -> Sequence[Answerer]:
    """Return the answerer as often as its answers are to be sampled; as it is where nothing was said of sampling."""
    asked = config.sampling
    if asked == SamplingConfig():
        return [answerer]
    return sampled_answerers(answerer, config.answerer, asked.samples, asked.temperature, asked.seed)


def _collect(
    answerers: Sequence[Answerer], examples: Sequence[Example], sampling: SamplingConfig, run: RunDirectory
) -> list[list[Answer]]:
    """Return the answers to all examples, sample by sample; says once what failed."""
    samples, notes = [], []
    for name, answerer in zip(sampling.names, answerers, strict=True):
        samples.append(collect_answers(answerer, examples, run, name))
        notes.append(require_some_answer(samples[-1], run))
    for note in filter(None, dict.fromkeys(notes)):
        run.listener.say(escape(note))
    return samples


def _cell(scores: Scores, measured: Sequence[Scores], metric: str) -> Cell:
    """Return a score with its interval; of several samples the mean, with the range of the samples' scores."""
    cell = score_cell(scores, metric)
    if len(measured) == 1:
        return cell
    unit, values = unit_of(scores, metric), [one.value(metric) for one in measured]
    return replace(cell, note=f"samples {quantity(min(values), unit)} to {quantity(max(values), unit)}")


def _sampling_rows(
    answerers: Sequence[Answerer], samples: Sequence[Sequence[Answer]], measured: Sequence[Scores], run: RunDirectory
) -> list[Row]:
    """Record how answers were sampled, and say it; nothing where they were not."""
    strategies = [one.strategy for one in answerers if isinstance(one, Prompted) and isinstance(one.strategy, Sampled)]
    if not strategies:
        return []
    first, temperature, seeds = measured[0], strategies[0].temperature, [one.seed for one in strategies]
    errors = {name: sampling_error(measured, name) for name in first.names} if len(measured) > 1 else {}
    run.update(sampling={"temperature": temperature, "seeds": seeds, "standard_errors": errors})
    numbers = ", ".join(map(str, seeds))
    if len(seeds) == 1:
        greedy = "each row's likeliest answer (greedy)" if temperature == 0 else f"one answer a row, seed {numbers}"
        return [Row("sampling", f"temperature {temperature:g}, {greedy}")]
    lines = [f"{len(seeds)} answers a row at temperature {temperature:g}, seeds {numbers}; their mean counts"]
    if all_alike(samples):
        lines.append(
            f"**All {len(seeds)} samples of every row are alike**: at this temperature nothing is left to chance"
        )
    else:
        error, unit = errors[first.names[0]], unit_of(first, first.names[0])
        size = f"{100 * error:.1f} points" if unit == "share" else number(error)
        lines.append(
            f"sampling alone gives {title_of(first.names[0])} a standard error of {size}; the interval holds it"
        )
    return [Row("sampling", lines)]
