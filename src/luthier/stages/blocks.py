"""Blocks that several stages show: data, power, curves, examples, environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from luthier.core.budget import format_duration
from luthier.core.run import RunDirectory
from luthier.core.types import Answer, Example
from luthier.data.splits import Parts
from luthier.evaluation.statistics import Scores, smallest_difference
from luthier.reporting.blocks import (
    Block,
    Cell,
    Code,
    Column,
    Details,
    Heading,
    Interval,
    KeyValues,
    LinePlot,
    Panel,
    Row,
    Series,
    SideBySide,
    Table,
)
from luthier.reporting.inline import escape
from luthier.reporting.quantities import size
from luthier.stages.material import Material

DISCORDANCE = 0.2
"""Share of rows on which two answerers are assumed to differ, for power before anything was measured."""

GLOSSARY = {
    "exact match": "Share of rows whose answer equals the reference; JSON answers are compared as values.",
    "accuracy": "Share of rows with the right label.",
    "macro-F1": "F1 of each label, averaged over labels, so that rare labels count as much as frequent ones.",
    "ROUGE-L F": "Overlap of the longest common word sequence of answer and reference, from 0 to 1.",
    "ROUGE-1 F": "Overlap of single words of answer and reference, from 0 to 1.",
    "token F1": "Overlap of the words of answer and reference, without articles and punctuation.",
    "field F1": "Share of the JSON fields that are right, counting missing and surplus ones as wrong.",
    "interval": "If the same were done on new rows of the same kind again and again, 95 % of such intervals would "
    "hold the true score.",
    "LoRA": "Low-rank adaptation: the model stays as it is, small additions to its layers are trained.",
    "TF-IDF": "A classical method without a language model: word counts and a linear model.",
    "tune": "Rows that were learned from.",
    "choose": "Rows on which the candidates were compared and the winner chosen.",
    "confirm": "Rows that nothing was learned from or chosen on; the claim rests on them alone.",
    "valid": "Share of answers that have the right form, such as JSON with all its fields or one of the labels, and "
    "that come to their end. A valid answer can still be wrong.",
    "latency": "Time until a single request, sent alone, is answered: the median of five.",
    "memory": "Highest memory of the process while the candidate was prepared and answered.",
    "ready in": "Time to prepare the candidate: what it takes to learn. A prompt needs nothing.",
    "discordance": "Share of rows on which one of two answerers is right and the other wrong.",
}


def score_cell(scores: Scores, metric: str, emphasis: bool = False) -> Cell:
    """Return a score with its interval."""
    found = scores.interval(metric)
    return Cell(Interval(found.value, found.low, found.high, "share"), emphasis=emphasis)


def data_row(material: Material, parts: Parts) -> Row:
    """Say what was read, from where what comes, and how it is divided."""
    dataset, sizes = material.dataset, parts.sizes
    bad = len(dataset.bad_rows)
    lines = [
        f"{escape(dataset.description)}. {escape(dataset.mapping.explain())}. "
        + (f"**{bad} bad rows left out**" if bad else "0 bad rows"),
        f"{material.task.kind.replace('_', ' ')}: {escape(material.task.reason)}",
        f"{sizes['tune']} to tune | {sizes['choose']} to choose | **{sizes['confirm']} to confirm**, unseen until "
        "the end",
        *map(escape, parts.notes),
        escape(material.task.advice(sizes["tune"])),
        power_sentence(sizes["confirm"]),
    ]
    return Row("data", lines)


def power_sentence(rows: int) -> str:
    """Say, before anything is spent, which difference the rows to confirm can show."""
    smallest = smallest_difference(rows, discordance=DISCORDANCE)
    if smallest is None:
        return f"{rows} rows are too few to show any difference"
    return (
        f"{rows} rows can show a difference of about {round(100 * smallest)} points "
        f"(80 % power, if {100 * DISCORDANCE:.0f} % of the answers differ)"
    )


def sample_rows(material: Material) -> list[Block]:
    """Show up to three rows as the model will see them."""
    panels = [
        SideBySide([Panel("prompt", s.conversation), Panel("answer", s.answer)], title=s.where, reference=None)
        for s in material.dataset.samples
    ]
    return list(panels)


def curves(run: RunDirectory) -> list[Block]:
    """Plot loss and share of right next-token predictions over the steps."""
    lines = run.metrics()
    if len(lines) < 2:
        return []
    blocks: list[Block] = []
    for key, title, y_title in (
        ("total_loss", "Loss", "loss (nats a token)"),
        ("fraction_of_correct_next_step_preds", "Right next-token predictions", "share"),
    ):
        series = [_series("tune", lines, f"train_{key}")]
        if any(f"eval_{key}" in line for line in lines):
            series.append(_series("choose", lines, f"eval_{key}"))
        blocks.append(LinePlot(series, "step", y_title, title=title))
    return blocks


def _series(name: str, lines: Sequence[Mapping[str, Any]], key: str) -> Series:
    points = [(line["step"], line[key]) for line in lines if key in line]
    return Series(name, [float(x) for x, _ in points], [float(y) for _, y in points])


def examples_block(
    examples: Sequence[Example],
    before: Sequence[Answer],
    after: Sequence[Answer],
    gains: Sequence[float],
    most: int = 5,
) -> list[Block]:
    """Show one answer before and after, then the most improved and the most worsened ones."""
    order = sorted(range(len(examples)), key=lambda i: -gains[i])
    better = [i for i in order if gains[i] > 0][:most]
    worse = [i for i in reversed(order) if gains[i] < 0][:most]
    blocks: list[Block] = []
    for title, chosen in (("Most improved answers", better), ("Most worsened answers", worse)):
        if chosen:
            blocks.append(Heading(title, 3))
            blocks += [beside(examples[i], before[i], after[i]) for i in chosen]
    return blocks


def beside(example: Example, before: Answer, after: Answer) -> SideBySide:
    """Show a row's prompt, two answers to it, and the reference."""
    panels = [Panel("Before", _shown(before)), Panel("After", _shown(after)), Panel("Reference", example.reference)]
    return SideBySide(panels, context=example.prompt, reference=2)


def _shown(answer: Answer) -> str:
    notes = {"length": " … (cut at the output limit)", "failed": "(failed)", "refused": "(refused)"}
    return answer.text + notes.get(answer.finish, "")


def lengths_table(lengths: Mapping[str, Any]) -> Table:
    """Tabulate the length statistics of prompts and answers, in tokens unless they say otherwise."""
    names = {"quartile_1": "25 %", "quartile_3": "75 %"}
    keys = list(lengths["prompt"])
    columns = [Column(lengths.get("unit", "tokens")), *(Column(names.get(key, key), "right") for key in keys)]
    rows = [[part, *(f"{lengths[part][key]:.4g}" for key in keys)] for part in ("prompt", "answer")]
    return Table(
        columns,
        rows,
        title="Lengths",
        caption=f"Output limit: {lengths['output_limit']} tokens (longest answer x 1.25)",
    )


def reproduce(run: RunDirectory) -> list[Block]:
    """Recipe and environment, unfolded on demand."""
    manifest = run.manifest
    environment = manifest["environment"]
    pairs = [(name, str(version)) for name, version in environment["packages"].items() if version]
    pairs += [
        ("python", environment["python"]),
        ("platform", environment["platform"]),
        ("cores", str(environment["cores"])),
    ]
    if environment.get("memory_bytes"):
        pairs.append(("memory", size(environment["memory_bytes"])))
    recipe = yaml.safe_dump(run.recipe, sort_keys=False, allow_unicode=True)
    return [
        Heading("To do it again"),
        Details("Recipe", [Code(recipe, "yaml")]),
        Details("Environment", [KeyValues(pairs)]),
    ]


def spent(seconds: float) -> str:
    """Return a duration for people."""
    return format_duration(seconds)
