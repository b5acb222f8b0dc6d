"""What the tune stage says before it starts, and its report and card afterwards."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from luthier.core.budget import format_duration
from luthier.core.files import write_atomically
from luthier.core.run import RunDirectory
from luthier.evaluation.answering import stored_answers
from luthier.evaluation.metrics import title_of
from luthier.evaluation.statistics import Scores
from luthier.reporting.blocks import Block, CellLike, Heading, IntervalPlot, KeyValues, Row, Table, Verdict
from luthier.reporting.blocks import Column as _Column
from luthier.reporting.html import write_html
from luthier.reporting.inline import escape
from luthier.reporting.markdown import to_markdown
from luthier.reporting.quantities import size
from luthier.stages.blocks import (
    curves,
    data_row,
    examples_block,
    form_rows,
    judgements,
    lengths_table,
    other_forms,
    reproduce,
    sample_rows,
    score_cell,
)
from luthier.stages.card import card_blocks
from luthier.stages.forgetting import forgetting_blocks
from luthier.stages.glossary import GLOSSARY
from luthier.stages.material import Lengths, Material
from luthier.stages.tune.recipe import Config, Outcome

_TONES: dict[str, Any] = {
    "better": "good",
    "worse": "bad",
    "as good within the margin": "neutral",
    "not shown": "unknown",
}


def announce(run: RunDirectory, config: Config, material: Material, lengths: Lengths) -> None:
    """Show data, lengths, iterations and the estimate of memory, before the first step."""
    manifest = run.manifest
    plan = manifest["plan"]
    run.listener.show(Row("run", f"`{escape(str(run.path))}`"))
    run.listener.show(data_row(material, material.parts))
    rows = len(material.parts.tune)
    epochs, batch = config.training.epochs, config.batch.size_for(rows)
    tokens, sequences = manifest["training_tokens"], manifest["sequences"]
    lines = [
        f"{escape(manifest['model']['name'])}, {manifest['model']['precision']}, {escape(manifest['layout'])}; "
        f"{manifest['trained_parameters']:,} trained parameters ({escape(str(config.adapter.get('method', 'lora')))})",
        f"{rows:,} rows x {epochs:g} epochs / batch {batch} = {plan['iterations']:,} iterations; "
        f"about {format_duration(plan['seconds'])} and {size(plan['memory_bytes'])} of memory; "
        f"answers up to {lengths.limit} tokens",
        f"{100 * tokens['trained'] / tokens['all']:.0f} % of {tokens['all']:,} tokens are trained; the end of the turn "
        f"is trained in {sequences['trained_to_their_end']} of {sequences['all']} sequences",
    ]
    run.listener.show(Row("plan", lines))


def write_reports(run: RunDirectory, config: Config, material: Material, outcome: Outcome) -> None:
    """Show the result, and write report.html and card.md."""
    metric = material.task.metric
    entries = [("before", outcome.before), ("after", outcome.after)]
    part = config.prove_on
    table = scores_table(entries, f"Scores on {part} ({len(outcome.after)} rows)")
    verdict = verdict_block(outcome, metric)
    listener = run.listener
    listener.show(table)
    listener.show(verdict)
    form = form_rows(run, outcome.form)
    for row in form:
        listener.show(row)
    blocks: list[Block] = [verdict, scores_plot(entries, metric, part), table, *form, *other_forms(outcome.form)]
    if outcome.forgetting is not None:
        listener.show(Row("forgetting", escape(outcome.forgetting.sentence())))
        blocks += [Heading("What was forgotten"), *forgetting_blocks(outcome.forgetting)]
    if examples := _examples(run, config, material, outcome):
        blocks += [Heading("Answers side by side"), *examples]
    if drawn := curves(run):
        blocks += [Heading("How it learned"), *drawn]
    blocks += [Heading("The data"), data_row(material, material.parts), *sample_rows(material)]
    blocks += [lengths_table(run.manifest["lengths"]), Heading("Cost"), cost_block(run), *reproduce(run)]
    write_html(
        run.path / "report.html",
        f"Tuning {run.manifest['model']['name']}",
        blocks,
        subtitle=escape(str(run.path)),
        glossary=GLOSSARY,
    )
    write_atomically(run.path / "card.md", to_markdown(card_blocks(run, [verdict, table], run.path)))
    listener.show(Row("report", f"`{escape(str(run.path / 'report.html'))}`"))
    path = shlex.quote(str(run.path))
    steps = (f"luthier chat {path}", f"luthier answer {path} NEW_ROWS.csv", f"luthier evaluate {path} LATER_ROWS.csv")
    listener.show(Row("next", [f"`{escape(step)}`" for step in steps]))


def scores_table(entries: Sequence[tuple[str, Scores | None]], title: str) -> Table:
    """Tabulate scores by all their metrics."""
    there = [(name, scores) for name, scores in entries if scores is not None]
    names = there[0][1].names
    columns = [_Column(), *(_Column(title_of(name), "right") for name in names)]
    rows: list[list[CellLike]] = [[entry, *(score_cell(scores, name) for name in names)] for entry, scores in there]
    return Table(columns, rows, title=title)


def scores_plot(entries: Sequence[tuple[str, Scores | None]], metric: str, part: str) -> IntervalPlot:
    """Draw the scores by one metric with their intervals."""
    rows: list[tuple[str, CellLike]] = [
        (f"{name} tuning", score_cell(scores, metric, name == "after"))
        for name, scores in entries
        if scores is not None
    ]
    return IntervalPlot(rows, f"{title_of(metric)} on {part}, with 95 % intervals", title_of(metric))


def verdict_block(outcome: Outcome, metric: str) -> Verdict:
    """Return what is shown about the tuned model."""
    comparison = outcome.comparison
    if comparison is None:
        value = outcome.after.interval(metric)
        return Verdict(
            f"{title_of(metric)} {value.value:.3f} [{value.low:.3f}, {value.high:.3f}] after tuning.", "neutral"
        )
    return Verdict(escape(comparison.sentence("the model before", "the tuned model")), _TONES[comparison.verdict])


def _examples(run: RunDirectory, config: Config, material: Material, outcome: Outcome) -> list[Block]:
    if outcome.before is None:
        return []
    metric = material.task.metric
    gains = outcome.after.frame()[metric] - outcome.before.frame()[metric]
    before, after = (stored_answers(run, name) for name in (f"before_{config.prove_on}", config.prove_on))
    judged = judgements(outcome.before, metric), judgements(outcome.after, metric)
    return examples_block(material.parts[config.prove_on], before, after, gains.tolist(), judged=judged)


def cost_block(run: RunDirectory) -> KeyValues:
    """Return time and memory, estimated and measured."""
    manifest, timings = run.manifest, run.timings()
    seconds = sum(line["seconds"] for line in timings)
    memory = manifest.get("measured", {}).get("memory_bytes", 0)
    tokens = sum(line["seconds"] * line["tokens_per_second"] for line in timings)
    pairs = [
        ("training time, estimated", format_duration(manifest["plan"]["seconds"])),
        ("training time, measured", f"{format_duration(seconds)}{_error(seconds, manifest['plan']['seconds'])}"),
        ("speed", f"{tokens / max(seconds, 1e-9):.0f} tokens/s"),
        ("memory, estimated", size(manifest["plan"]["memory_bytes"])),
        ("memory, measured (whole process)", f"{size(memory)}{_error(memory, manifest['plan']['memory_bytes'])}"),
        ("trained parameters", f"{manifest['trained_parameters']:,}"),
    ]
    return KeyValues(pairs)


def _error(measured: float, planned: float) -> str:
    """Say by how much a plan was wrong."""
    return f" ({measured / planned:.2f} times the plan)" if planned and measured else ""
