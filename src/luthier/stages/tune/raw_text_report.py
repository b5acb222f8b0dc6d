"""What tuning on raw text says before it starts, and its report and card afterwards."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from luthier.core.budget import format_duration
from luthier.core.files import write_atomically
from luthier.core.run import RunDirectory
from luthier.core.types import Example
from luthier.evaluation.statistics import Scores
from luthier.reporting.blocks import Block, Heading, Row, Text
from luthier.reporting.html import write_html
from luthier.reporting.inline import escape
from luthier.reporting.markdown import to_markdown
from luthier.reporting.quantities import size
from luthier.stages.blocks import curves, reproduce
from luthier.stages.card import card_blocks
from luthier.stages.forgetting import forgetting_blocks, forgetting_sentence
from luthier.stages.glossary import GLOSSARY
from luthier.stages.raw_text import RawText, text_scores_table, unit_sentence
from luthier.stages.tune.recipe import Config, Outcome
from luthier.stages.tune.report import cost_block, scores_plot, verdict_block

_WHAT = (
    "Text of `{part}`, which nothing was learned from or chosen on, was read by the model before tuning and by the "
    "tuned one. Lower bits per byte and perplexities are better: the model is less surprised. Per byte and per word "
    "can be compared between all models, per token only between models with the same tokenizer."
)


def announce(run: RunDirectory, config: Config, text: RawText, examples: Sequence[Example]) -> None:
    """Show the corpus, its parts, iterations and the estimate of memory, before the first step."""
    manifest = run.manifest
    plan, windows = manifest["plan"], manifest["corpus"]
    run.listener.show(Row("run", f"`{escape(str(run.path))}`"))
    run.listener.show(data_row(text, examples))
    epochs, batch = config.training.epochs, config.batch.size_for(windows["windows"])
    cut = f", {windows['cut']:,} stretches are longer and cut" if windows["cut"] else ""
    lines = [
        f"{escape(manifest['model']['name'])}, {manifest['model']['precision']}, {escape(manifest['layout'])}; "
        f"{manifest['trained_parameters']:,} trained parameters ({escape(str(config.adapter.get('method', 'lora')))})",
        f"{windows['windows']:,} windows of up to {windows['window_tokens']:,} tokens{cut}; x {epochs:g} epochs / "
        f"batch {batch} = {plan['iterations']:,} iterations; about {format_duration(plan['seconds'])} and "
        f"{size(plan['memory_bytes'])} of memory",
    ]
    run.listener.show(Row("plan", lines))


def data_row(text: RawText, examples: Sequence[Example]) -> Row:
    """Say what was read, and how it is divided."""
    documents, tokens = text.parts.documents, text.tokens

    def part(name: str, does: str) -> str:
        return f"{documents[name]:,} documents, {tokens[name]:,} tokens to {does}"  # type: ignore[index]

    lines = [
        escape(text.description),
        f"{part('tune', 'tune')} | {part('choose', 'choose')} | **{part('confirm', 'confirm')}**, unseen until the end",
        *map(escape, text.parts.notes),
        unit_sentence(list(examples)),
    ]
    return Row("data", lines)


def write_reports(run: RunDirectory, config: Config, text: RawText, outcome: Outcome) -> None:
    """Show the result, and write report.html and card.md."""
    metric, part = outcome.after.names[0], config.prove_on
    entries: list[tuple[str, Scores | None]] = [("before", outcome.before), ("after", outcome.after)]
    table = text_scores_table([(name, scores) for name, scores in entries if scores is not None], part)
    verdict = verdict_block(outcome, metric)
    listener = run.listener
    listener.show(table)
    listener.show(verdict)
    forgotten: list[Block] = []
    if outcome.forgetting is not None:
        listener.show(Row("forgetting", escape(outcome.forgetting.sentence())))
        forgotten = [Heading("What was forgotten"), *forgetting_blocks(outcome.forgetting)]
    blocks: list[Block] = [verdict, scores_plot(entries, metric, part), table, Text(_WHAT.format(part=part))]
    if drawn := curves(run):
        blocks += [Heading("How it learned"), *drawn]
    blocks += [*forgotten, Heading("The data"), data_row(text, text.examples(part))]
    blocks += [Heading("Cost"), cost_block(run), *reproduce(run)]
    write_html(
        run.path / "report.html",
        f"Tuning {run.manifest['model']['name']} on raw text",
        blocks,
        subtitle=escape(str(run.path)),
        glossary=GLOSSARY,
    )
    results: list[Block] = [verdict, table]
    if outcome.forgetting is not None:
        results.append(Text(forgetting_sentence(outcome.forgetting)))
    write_atomically(run.path / "card.md", to_markdown(card_blocks(run, results, run.path)))
    listener.show(Row("report", f"`{escape(str(run.path / 'report.html'))}`"))
    path = shlex.quote(str(run.path))
    steps = [f"luthier evaluate {path} LATER_TEXT"]
    if config.adapter.get("method") != "full":
        steps.append(f"luthier merge {path}")
    listener.show(Row("next", [f"`{escape(step)}`" for step in steps]))
