"""Adapt's report and card: for people who have never tuned a model, and who pass the page on.

A section a file, in the order of the page; each takes the findings and returns blocks. No figure is computed here that
the findings have: sections format, count and choose what to show.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from luthier.core.budget import format_duration
from luthier.core.files import write_atomically
from luthier.core.run import RunDirectory
from luthier.reporting.blocks import Block, Row, Text
from luthier.reporting.html import write_html
from luthier.reporting.inline import escape
from luthier.reporting.markdown import to_markdown
from luthier.stages.adapt.findings import Findings
from luthier.stages.adapt.recipe import Config
from luthier.stages.adapt.report.answers import answers_section
from luthier.stages.adapt.report.candidates import candidates_section
from luthier.stages.adapt.report.cost import cost_section, reproduce_section
from luthier.stages.adapt.report.data import data_section
from luthier.stages.adapt.report.learning import learning_section
from luthier.stages.adapt.report.mistakes import mistakes_section
from luthier.stages.adapt.report.proof import proof_section
from luthier.stages.adapt.report.skills import skills_section
from luthier.stages.adapt.report.summary import in_plain_words
from luthier.stages.adapt.screen import candidates_table, confirm_row, mistakes_row, next_steps, verdict_block
from luthier.stages.card import card_blocks
from luthier.stages.glossary import GLOSSARY

REDACTED = (
    "This report was redacted: rows, answers, labels and prompts were left out, and only figures remain. The run "
    "directory still has all of them."
)


def write_reports(run: RunDirectory, config: Config, found: Findings) -> None:
    """Show the proof and the verdict, and write report.html and card.md."""
    verdict = replace(verdict_block(found), details=())  # the rows around it say what it rests on
    for block in (confirm_row(found), verdict, mistakes_row(found)):
        if block is not None:
            run.listener.show(block)
    title = f"What helps on {Path(config.data.path).name}"
    blocks = report_blocks(run, config, found)
    write_html(run.path / "report.html", title, blocks, subtitle=_subtitle(run, config, found), glossary=GLOSSARY)
    _write_card(run, config, found)
    run.listener.show(
        Row("report", f"`{escape(str(run.path / 'report.html'))}` (took {format_duration(found.seconds)})")
    )
    run.listener.show(Row("next", [f"`{escape(step)}`" for step in next_steps(run, config, found.choice, found.plan)]))


def report_blocks(run: RunDirectory, config: Config, found: Findings) -> list[Block]:
    """Return the whole page: the verdict, what it rests on, and all else in the order of its weight."""
    redact = config.redact
    verdict = replace(verdict_block(found), details=in_plain_words(found))
    blocks: list[Block] = [verdict, *([Text(REDACTED)] if redact else [])]
    blocks += proof_section(found, config)
    blocks += candidates_section(found, redact=redact)
    blocks += mistakes_section(found, run, redact=redact)
    blocks += skills_section(found)
    if not redact:
        blocks += answers_section(found, run)
    blocks += learning_section(found)
    blocks += data_section(found, redact=redact)
    blocks += cost_section(found, config)
    return blocks + reproduce_section(found, run, config)


def _subtitle(run: RunDirectory, config: Config, found: Findings) -> str:
    manifest = run.manifest
    place = run.path.name if config.redact else str(run.path)
    made = datetime.fromisoformat(manifest["created_at"])
    rows = len(found.material.dataset)
    parts = [f"run {place}", f"{made.day} {made:%B %Y}", config.model, f"{rows:,} rows"]
    parts.append(f"Luthier {manifest['environment']['packages']['luthier']}")
    return escape(" · ".join(parts))


def _write_card(run: RunDirectory, config: Config, found: Findings) -> None:
    """Write the winner's model card; a rival without a model has none."""
    winner = found.choice.winner
    if not winner.candidate.uses_model:
        return
    table = candidates_table(found.material, found.entries, found.choice, all_metrics=True)
    verdict = replace(verdict_block(found), details=())
    results: list[Block] = [verdict, confirm_row(found), table]
    blocks = card_blocks(winner.run, results, run.path, redact=config.redact)
    write_atomically(run.path / "card.md", to_markdown(blocks))
