"""Adapt's report and card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from luthier.core.budget import format_duration
from luthier.core.files import write_atomically
from luthier.core.run import RunDirectory
from luthier.evaluation.answering import read_answers
from luthier.evaluation.metrics import title_of
from luthier.reporting.blocks import Block, Heading, IntervalPlot, KeyValues, Row, Text
from luthier.reporting.html import write_html
from luthier.reporting.inline import escape
from luthier.reporting.markdown import to_markdown
from luthier.reporting.quantities import size
from luthier.stages.adapt.findings import Findings
from luthier.stages.adapt.recipe import Config
from luthier.stages.adapt.screen import candidates_table, confirm_row, mistakes_row, next_steps, verdict_block
from luthier.stages.blocks import (
    GLOSSARY,
    beside,
    curves,
    data_row,
    examples_block,
    lengths_table,
    reproduce,
    sample_rows,
    score_cell,
)
from luthier.stages.card import card_blocks


def write_reports(run: RunDirectory, config: Config, found: Findings) -> None:
    """Show the proof and the verdict, and write report.html and card.md."""
    material, choice = found.material, found.choice
    confirmed, verdict, mistakes = confirm_row(found), verdict_block(found), mistakes_row(found)
    shown = [confirmed, replace(verdict, details=()), mistakes]  # the screen has just said what the verdict rests on
    for block in shown:
        if block is not None:
            run.listener.show(block)
    table = candidates_table(material, found.entries, choice, all_metrics=True)
    blocks: list[Block] = [verdict, confirmed, *([mistakes] if mistakes else [])]
    blocks += [Heading("Candidates"), table, _plot(found), *_left_out(found)]
    tuned = choice.tuned or next((entry for entry in found.entries if entry.candidate.stage == "tune"), None)
    if tuned is not None and (drawn := curves(tuned.run)):
        blocks += [Heading("Learning"), *drawn]
    if not config.redact:
        blocks += [Heading("Answers"), *_one_example(found), *_answers(run, found)]
    blocks += [Heading("Data"), data_row(material, material.parts), *([] if config.redact else sample_rows(material))]
    model_run = next((entry.run for entry in found.entries if entry.candidate.uses_model), None)
    if model_run is not None:
        blocks.append(lengths_table(model_run.manifest["lengths"]))
    blocks += [Heading("Cost"), _cost(found), *reproduce(run)]
    if tuned is not None:
        blocks += reproduce(tuned.run)[1:2]
    write_html(
        run.path / "report.html",
        f"What helps on {Path(config.data.path).name}",
        blocks,
        subtitle=escape(str(run.path)),
        glossary=GLOSSARY,
    )
    if choice.winner.candidate.uses_model:
        write_atomically(
            run.path / "card.md", to_markdown(card_blocks(choice.winner.run, [verdict, confirmed, table], run.path))
        )
    run.listener.show(
        Row("report", f"`{escape(str(run.path / 'report.html'))}` (took {format_duration(found.seconds)})")
    )
    run.listener.show(Row("next", [f"`{escape(step)}`" for step in next_steps(run, config, choice)]))


def _plot(found: Findings) -> IntervalPlot:
    title = title_of(found.metric)
    rows = [(entry.title, score_cell(entry.scores, found.metric)) for entry in found.entries]
    return IntervalPlot(rows, title=f"{title} on the rows to choose, with 95 % intervals", axis=title)


def _left_out(found: Findings) -> list[Block]:
    if not found.plan.left_out:
        return []
    return [Text("Not tried:\n\n" + "\n".join(f"- {escape(t)}: {escape(r)}" for t, r in found.plan.left_out))]


def _one_example(found: Findings) -> list[Block]:
    """One row to choose: the model as it is beside the winner, preferably where the winner is right and it is not."""
    as_it_is, winner = found.entry("as_is"), found.choice.winner
    if as_it_is is None or as_it_is is winner:
        return []
    gains = winner.scores.frame()[found.metric] - as_it_is.scores.frame()[found.metric]
    row = int(gains.argmax())
    intro = Text(f"One row to choose. Before: the model as it is. After: {escape(winner.title)}.")
    return [intro, beside(found.material.parts.choose[row], as_it_is.answers[row], winner.answers[row])]


def _answers(run: RunDirectory, found: Findings) -> list[Block]:
    """Answers on `confirm`: the best rival's beside the winner's."""
    if not found.choice.rivals:
        return []
    winner, rival = found.choice.winner, found.choice.rivals[0]
    scores = found.proof.scores
    gains = scores[winner.name].frame()[found.metric] - scores[rival.name].frame()[found.metric]
    before, after = (read_answers(run.path / "evaluation" / f"confirm_{entry.name}.jsonl") for entry in (rival, winner))
    intro = Text(f"On the rows to confirm. Before: {escape(rival.title)}. After: {escape(winner.title)}.")
    return [intro, *examples_block(found.material.parts.confirm, before, after, gains.tolist())]


def _cost(found: Findings) -> KeyValues:
    pairs = [
        ("time, planned", format_duration(found.plan.seconds)),
        ("time, taken", format_duration(found.seconds)),
        ("memory, estimated", size(found.plan.calibration.memory_bytes)),
        ("memory, measured (whole process)", size(max(entry.memory_bytes for entry in found.entries))),
    ]
    return KeyValues(pairs)
