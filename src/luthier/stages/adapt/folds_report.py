"""The report and the card of a cross-validation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from luthier.core.budget import format_duration
from luthier.core.files import write_atomically
from luthier.core.run import RunDirectory
from luthier.evaluation.answering import stored_answers
from luthier.evaluation.metrics import title_of
from luthier.reporting.blocks import Block, CellLike, Column, Heading, Interval, KeyValues, Row, Table, Text
from luthier.reporting.html import write_html
from luthier.reporting.inline import escape
from luthier.reporting.markdown import to_markdown
from luthier.stages.adapt.folds_found import FoldsFound
from luthier.stages.adapt.folds_screen import (
    final_row,
    fold_data_row,
    fold_mistakes_row,
    fold_next_steps,
    fold_verdict,
    folds_row,
    pooled_row,
)
from luthier.stages.adapt.recipe import Config
from luthier.stages.blocks import curves, examples_block, judgements, reproduce, sample_rows
from luthier.stages.card import card_blocks
from luthier.stages.glossary import GLOSSARY


def write_fold_reports(run: RunDirectory, config: Config, found: FoldsFound) -> None:
    """Show folds, proof, verdict and model, and write report.html and card.md."""
    folds, pooled, final = folds_row(found), pooled_row(found), final_row(found, run)
    verdict, mistakes = fold_verdict(found), fold_mistakes_row(found)
    for block in (folds, pooled, replace(verdict, details=()), mistakes, final):
        if block is not None:
            run.listener.show(block)
    blocks: list[Block] = [verdict, pooled, folds, *([mistakes] if mistakes else []), final]
    blocks += [Heading("Candidates"), _candidates_table(found), *_left_out(found)]
    if found.final.tuned is not None and (drawn := curves(found.final.tuned)):
        blocks += [Heading("Learning"), *drawn]
    if not config.redact:
        blocks += [Heading("Answers"), *_answers(run, found)]
    blocks += [Heading("Data"), fold_data_row(found.material, found.parts, redact=config.redact)]
    blocks += [] if config.redact else sample_rows(found.material)
    blocks += [Heading("Cost"), _cost(found), *reproduce(run, redact=config.redact)]
    title = f"What helps on {Path(config.data.path).name}"
    write_html(run.path / "report.html", title, blocks, subtitle=escape(str(run.path)), glossary=GLOSSARY)
    if found.final.candidate.uses_model:
        card = card_blocks(found.final.run, [verdict, pooled, folds, final], run.path, redact=config.redact)
        write_atomically(run.path / "card.md", to_markdown(card))
    report = escape(str(run.path / "report.html"))
    run.listener.show(Row("report", f"`{report}` (took {format_duration(found.seconds)})"))
    run.listener.show(Row("next", [f"`{escape(step)}`" for step in fold_next_steps(run, config, found)]))


def _candidates_table(found: FoldsFound) -> Table:
    """Tabulate every candidate's score on each fold's rows to choose."""
    titles = {entry.name: entry.title for fold in found.folds for entry in fold.entries}
    columns = [Column("candidate"), *(Column(f"fold {fold.number}", "right") for fold in found.folds)]
    rows: list[list[CellLike]] = []
    for candidate in found.plan.candidates:
        if candidate.name in titles:
            by_fold = [{entry.name: entry for entry in fold.entries}.get(candidate.name) for fold in found.folds]
            cells: list[CellLike] = [Interval(e.scores.value(found.metric)) if e else "not run" for e in by_fold]
            rows.append([candidate.title, *cells])
    caption = "Each fold chose by these scores; they flatter what they chose."
    return Table(columns, rows, title=f"{title_of(found.metric)} on the rows to choose", caption=caption)


def _left_out(found: FoldsFound) -> list[Block]:
    if not found.plan.left_out:
        return []
    return [Text("Not tried:\n\n" + "\n".join(f"- {escape(t)}: {escape(r)}" for t, r in found.plan.left_out))]


def _answers(run: RunDirectory, found: FoldsFound) -> list[Block]:
    """Answers on all rows: the first rival's beside those of what adapt chooses."""
    if not found.proof.rivals:
        return []
    ways = (found.proof.rivals[0], found.proof.chosen)
    base, chosen = (way.scores.frame()[found.metric] for way in ways)
    before, after = (stored_answers(run, f"confirm_{way.name}") for way in ways)
    titles = (ways[0].phrase.capitalize(), ways[1].phrase.capitalize())
    judged = (judgements(ways[0].scores, found.metric), judgements(ways[1].scores, found.metric))
    gains = (chosen - base).tolist()
    return examples_block(found.material.parts.confirm, before, after, gains, titles=titles, judged=judged)


def _cost(found: FoldsFound) -> KeyValues:
    folds = len(found.folds)
    return KeyValues([
        (f"time, planned for {folds} folds", format_duration(folds * found.plan.seconds)),
        ("time, taken", format_duration(found.seconds)),
    ])  # fmt: skip
