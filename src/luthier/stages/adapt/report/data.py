"""The rows: what was read, how it is divided, how long texts are, three of them."""

from __future__ import annotations

from luthier.data.labels import label_notes
from luthier.data.tasks import count_words
from luthier.reporting.blocks import Block, CellLike, Heading, Histogram, Portion, Row, StackedBars
from luthier.reporting.inline import escape
from luthier.stages.adapt.findings import Findings
from luthier.stages.blocks import (
    advice_sentence,
    lengths_table,
    power_sentence,
    read_sentence,
    sample_rows,
    task_sentence,
)

_PARTS = (
    Portion("to tune", "blue", "Rows that were learned from."),
    Portion("to choose", "purple", "Rows on which the candidates were compared and the winner chosen."),
    Portion("to confirm", "green", "Rows that nothing was learned from or chosen on; the claim rests on them alone."),
)


def data_section(found: Findings, *, redact: bool) -> list[Block]:
    """Show what was read, how it is divided, lengths, and three rows."""
    material = found.material
    sizes = material.parts.sizes
    spellings = [escape(note) for note in label_notes(material.parts)] if material.task.labels and not redact else []
    counts = (sizes["tune"], sizes["choose"], sizes["confirm"])
    rows: list[tuple[CellLike, tuple[int, ...]]] = [("", counts)]
    blocks: list[Block] = [
        Heading("The data"),
        Row("read", f"{read_sentence(material, redact=redact).replace(' <- ', ' ← ')}."),
        Row("task", [task_sentence(material, redact=redact), *spellings]),
        Row("size", f"{advice_sentence(material, sizes['tune'])} {power_sentence(sizes['confirm'])}."),
    ]
    if material.parts.notes:
        blocks.append(Row("division", [escape(note) for note in material.parts.notes]))
    blocks.append(StackedBars(rows, _PARTS, f"{sum(counts):,} rows in three parts"))
    blocks += _lengths(found)
    if not redact:
        blocks += [Heading("Three rows", 3), *sample_rows(material)]
    return blocks


def _lengths(found: Findings) -> list[Block]:
    """Draw lengths in words, and tabulate them in tokens where a model was asked."""
    parts = found.material.parts
    rows = (*parts.tune, *parts.choose, *parts.confirm)
    prompts = [float(count_words(example.prompt)) for example in rows]
    answers = [float(count_words(example.reference)) for example in rows]
    blocks: list[Block] = [
        Heading("Lengths", 3),
        Histogram({"prompts": prompts}, "words", "Length of prompts"),
        Histogram({"right answers": answers}, "words", "Length of right answers"),
    ]
    asked = next((entry for entry in found.entries if entry.candidate.uses_model), None)
    return blocks if asked is None else [*blocks, lengths_table(asked.run.manifest["lengths"])]
