"""What it cost, and how to do it again."""

from __future__ import annotations

import shlex
from datetime import datetime

from luthier.core.budget import format_duration
from luthier.core.run import RunDirectory
from luthier.reporting.blocks import Block, Cell, CellLike, Code, Column, Heading, KeyValues, Table, Text
from luthier.reporting.quantities import size
from luthier.stages.adapt.findings import Findings
from luthier.stages.adapt.recipe import Config
from luthier.stages.adapt.report.learning import tuned_candidate
from luthier.stages.adapt.screen import next_steps
from luthier.stages.blocks import environment_block, recipe_block
from luthier.stages.glossary import GLOSSARY


def cost_section(found: Findings, config: Config) -> list[Block]:
    """Show time planned and taken, memory and latency."""
    columns = [
        Column("candidate"),
        Column("planned", "right", help="Time that the plan set aside for the candidate, before anything was run."),
        Column("taken", "right", help="Time from its start to its end, with loading the model."),
        *(Column(name, "right", help=GLOSSARY[name]) for name in ("ready in", "latency", "memory")),
    ]
    rows: list[list[CellLike]] = [
        [
            Cell(entry.title, emphasis=entry is found.choice.winner),
            format_duration(entry.candidate.seconds),
            format_duration(taken_seconds(entry.run)),
            format_duration(entry.prepared_seconds),
            f"{entry.latency_seconds:.2f} s",
            size(entry.memory_bytes),
        ]
        for entry in found.entries
    ]
    pairs: list[tuple[str, CellLike]] = [
        ("time, allowed", format_duration(config.budget_seconds)),
        ("time, planned", f"{format_duration(found.plan.seconds)}, {format_duration(found.plan.confirm_seconds)} of it "
         "for the unseen rows and the rest after the choice"),
        ("time, taken", format_duration(found.seconds)),
    ]  # fmt: skip
    if found.plan.calibration.memory_bytes:
        pairs.append(("memory, estimated for tuning", size(found.plan.calibration.memory_bytes)))
    most = max(entry.memory_bytes for entry in found.entries)
    pairs.append(("memory, measured at most", f"{size(most)}, the whole process"))
    caption = _waited(found)
    return [Heading("Cost"), KeyValues(pairs), Table(columns, rows, caption=caption)]


def taken_seconds(run: RunDirectory) -> float:
    """Return the seconds from a candidate's start to its end, whole seconds only."""
    start, end = (datetime.fromisoformat(run.manifest[key]) for key in ("created_at", "finished_at"))
    return (end - start).total_seconds()


def _waited(found: Findings) -> str:
    """Say so where candidates took longer than the whole: the run was interrupted, or took some over."""
    if sum(taken_seconds(entry.run) for entry in found.entries) <= found.seconds + len(found.entries):
        return ""
    return "Times taken include interruptions, and candidates that an earlier run had finished."


def reproduce_section(found: Findings, run: RunDirectory, config: Config) -> list[Block]:
    """Say how to use the winner, and how to do all of it again."""
    manifest = run.manifest
    steps = "\n".join(_steps(found, run, config))
    command = manifest.get("command") or []
    blocks: list[Block] = [Heading("To do it again"), Text("What to do next:"), Code(steps)]
    if command and not config.redact:
        blocks += [Text("How this was made:"), Code(shlex.join(["luthier", *command]))]
    digest = f"SHA-256 `{manifest['data']['sha256']}`"
    blocks.append(
        Text(f"The same data ({digest}), recipe and versions give the same answers on the same machine; times differ.")
    )
    blocks.append(recipe_block(run, redact=config.redact))
    if (tuned := tuned_candidate(found)) is not None:
        blocks.append(recipe_block(tuned.run, f"Recipe of {tuned.title}", redact=config.redact))
    return [*blocks, environment_block(run)]


def _steps(found: Findings, run: RunDirectory, config: Config) -> list[str]:
    """Return the commands of the screen; in a redacted report without how prompts are made."""
    if config.redact:
        read = config.data.read.model_copy(update=dict.fromkeys(("prompt", "answer", "system")))
        config = config.model_copy(update={"data": config.data.model_copy(update={"read": read})})
    return next_steps(run, config, found.choice, found.plan)
