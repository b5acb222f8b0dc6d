"""Blocks that several stages show: data, power, curves, examples, environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from luthier.core.run import RunDirectory
from luthier.core.types import Answer, Example
from luthier.data.diversity import repetition_advice
from luthier.data.labels import label_notes
from luthier.data.sources import Dataset
from luthier.data.splits import Parts
from luthier.evaluation.metrics import title_of
from luthier.evaluation.second_reading import SecondReading
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
    Text,
)
from luthier.reporting.inline import escape
from luthier.reporting.quantities import Unit, percent, size
from luthier.stages.material import Material

DISCORDANCE = 0.2
"""Share of rows on which two answerers are assumed to differ, for power before anything was measured."""
_OPEN = 3
"""Pairs of answers shown; the others are folded."""
LEFT_OUT = "(left out)"
"""Stands in a redacted report where rows, answers or prompts would."""
RIGHT_OR_WRONG = ("exact_match", "accuracy")
"""Metrics by which a single answer is right or wrong; by others it scores something between 0 and 1."""
Mark = Literal["right", "wrong", ""]
Judgement = tuple[Mark, str]
"""What a panel says of an answer: whether it is right, and its score where that says more."""


def score_cell(scores: Scores, metric: str, emphasis: bool = False) -> Cell:
    """Return a score with its interval."""
    found = scores.interval(metric)
    return Cell(Interval(found.value, found.low, found.high, unit_of(scores, metric)), emphasis=emphasis)


def unit_of(scores: Scores, metric: str) -> Unit:
    """Return how a metric's scores are written: as shares of 1, in percent, unless it says otherwise."""
    unit: Unit = getattr(scores.metric(metric), "unit", "share")
    return unit


def signature_rows(scores: Scores, names: Sequence[str]) -> list[Row]:
    """Say with what settings scores were counted that are only comparable with others counted so."""
    signatures = [(name, scores.signature(name)) for name in names]
    return [Row(title_of(name), f"`{escape(text)}` (sacrebleu)") for name, text in signatures if text]


def form_rows(run: RunDirectory, form: SecondReading | None) -> list[Row]:
    """Record the second reading of the answers, and say it where it differs from the first."""
    if form is None:
        return []
    run.update(second_reading=form.to_json())
    return [Row("form", lines)] if (lines := form.sentences()) else []


def other_forms(form: SecondReading | None) -> list[Block]:
    """Return some of the answers that have another form than asked for, as they are, folded."""
    if form is None or not form.samples:
        return []
    title = f"{len(form.samples)} answers of another form than asked for"
    return [Details(title, [Code(text, "text") for text in form.samples])]


def data_row(material: Material, parts: Parts) -> Row:
    """Say what was read, from where what comes, and how it is divided."""
    sizes = parts.sizes
    lines = [
        read_sentence(material),
        task_sentence(material),
        *map(escape, label_notes(parts) if material.task.labels and not material.sample else ()),
        f"{sizes['tune']} to tune | {sizes['choose']} to choose | **{sizes['confirm']} to confirm**, unseen until "
        "the end",
        *map(escape, parts.notes),
        advice_sentence(material, sizes["tune"]),
        power_sentence(sizes["confirm"]),
    ]
    return Row("data", lines)


def read_sentence(material: Material, *, redact: bool = False) -> str:
    """Say what was read and from where what comes; `redact` leaves out a system text that is no column."""
    return data_file_sentence(material.dataset, redact=redact)


def data_file_sentence(dataset: Dataset, *, redact: bool = False) -> str:
    """Say what a file holds, from where what comes, and how many rows cannot be used."""
    bad, mapping = len(dataset.bad_rows) + dataset.more_bad_rows, dataset.mapping
    if redact and mapping.system and mapping.system not in mapping.columns:
        mapping = mapping.model_copy(update={"system": LEFT_OUT})
    left_out = f"**{bad:,} bad rows left out**" if bad else "0 bad rows"
    return f"{escape(dataset.description)}. {escape(mapping.explain())}. {left_out}"


def task_sentence(material: Material, *, redact: bool = False) -> str:
    """Say what kind of task it is, and why; `redact` leaves out the labels."""
    task = material.task
    reason = f"{len(task.labels)} labels" if redact and task.labels else task.reason
    return f"{task.kind.replace('_', ' ')}: {escape(reason)}"


def advice_sentence(material: Material, rows: int) -> str:
    """Compare the number of rows to learn from with what is recommended; say so if many of them repeat others."""
    sentences = (material.task.advice(rows), repetition_advice(material.near_duplicates or 0.0))
    return " ".join(escape(sentence) for sentence in sentences if sentence)


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
        SideBySide(
            [Panel("prompt", s.conversation), Panel("answer", s.answer)], title=Path(s.where).name, reference=None
        )
        for s in material.dataset.samples
    ]
    return list(panels)


def curves(run: RunDirectory) -> list[Block]:
    """Plot loss and share of right next-token predictions over the steps."""
    lines = run.metrics()
    if len(lines) < 2:
        return []
    blocks: list[Block] = []
    kinds: list[tuple[str, str, str, Unit]] = [
        ("total_loss", "Loss", "loss (nats a token)", "number"),
        ("fraction_of_correct_next_step_preds", "Right next-token predictions", "share of tokens", "share"),
    ]
    for key, title, y_title, unit in kinds:
        series = [_series("tune", lines, f"train_{key}")]
        if any(f"eval_{key}" in line for line in lines):
            series.append(_series("choose", lines, f"eval_{key}"))
        blocks.append(LinePlot(series, "step", y_title, title=title, y_unit=unit))
    return blocks


def _series(name: str, lines: Sequence[Mapping[str, Any]], key: str) -> Series:
    points = [(line["step"], line[key]) for line in lines if key in line]
    return Series(name, [float(x) for x, _ in points], [float(y) for _, y in points])


def examples_block(
    examples: Sequence[Example],
    before: Sequence[Answer],
    after: Sequence[Answer],
    gains: Sequence[Any],
    most: int = 10,
    *,
    titles: tuple[str, str] = ("Before", "After"),
    judged: tuple[Sequence[Judgement], Sequence[Judgement]] | None = None,
) -> list[Block]:
    """Show the most improved and the most worsened answers, the first of each open and the others folded.

    Args:
        examples: The rows.
        before, after: One answer a row.
        gains: By how much each row improved: numbers, or tuples of numbers of which the first counts most.
        most: Most answers of each list.
        titles: Whose answers they are.
        judged: What is said of each answer, before and after.
    """
    order = sorted(range(len(examples)), key=lambda i: gains[i], reverse=True)
    size_of = [gain[0] if isinstance(gain, tuple) else gain for gain in gains]
    better = [i for i in order if size_of[i] > 0]
    worse = [i for i in reversed(order) if size_of[i] < 0]
    blocks: list[Block] = []
    for title, found in (("Most improved answers", better), ("Most worsened answers", worse)):
        if not found:
            continue
        shown: list[Block] = [
            beside(examples[i], before[i], after[i], titles, (judged[0][i], judged[1][i]) if judged else None)
            for i in found[:most]
        ]
        blocks += [Heading(title, 3), Text(f"{len(found):,} of {len(examples):,} answers{_of_all(found, most)}")]
        blocks += shown[:_OPEN]
        if len(shown) > _OPEN:
            blocks.append(Details(f"{len(shown) - _OPEN} more", shown[_OPEN:]))
    return blocks


def _of_all(found: Sequence[int], most: int) -> str:
    return f"; the {most} that changed most:" if len(found) > most else ":"


def beside(
    example: Example,
    before: Answer,
    after: Answer,
    titles: tuple[str, str] = ("Before", "After"),
    judged: tuple[Judgement, Judgement] | None = None,
) -> SideBySide:
    """Show a row's prompt, two answers to it, and the reference."""
    said = judged or (("", ""), ("", ""))
    panels = [
        Panel(title, answer_text(answer), *judgement)
        for title, answer, judgement in zip(titles, (before, after), said, strict=True)
    ]
    where = f"Line {example.line}" if example.line else ""
    return SideBySide([*panels, Panel("Reference", example.reference)], where, example.prompt, reference=2)


def answer_text(answer: Answer) -> str:
    """Return an answer's text, with a remark where it did not come to its end."""
    notes = {"length": " … (cut at the output limit)", "failed": "(failed)", "refused": "(refused)"}
    return answer.text + notes.get(answer.finish, "")


def judgements(scores: Scores, metric: str) -> list[Judgement]:
    """Say of each answer whether it is right; with a graded score its figure instead."""
    values = [float(value) for value in scores.frame()[metric]]
    if metric in RIGHT_OR_WRONG:
        return [("right" if value == 1 else "wrong", "") for value in values]
    return [("", f"{title_of(metric)} {percent(value)}") for value in values]


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


def reproduce(run: RunDirectory, *, redact: bool = False) -> list[Block]:
    """Recipe and environment, unfolded on demand; `redact` leaves prompts out of the recipe."""
    return [Heading("To do it again"), recipe_block(run, redact=redact), environment_block(run)]


def recipe_block(run: RunDirectory, title: str = "Recipe", *, redact: bool = False) -> Details:
    """Return the resolved recipe; `redact` leaves out how prompts and answers are made from columns."""
    recipe = run.recipe
    if redact:
        read = recipe.get("data", {}).get("read", {})
        read |= {key: LEFT_OUT for key in ("prompt", "answer", "system") if read.get(key)}
    return Details(title, [Code(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True), "yaml")])


def environment_block(run: RunDirectory) -> Details:
    """Return the versions and the machine of a run."""
    environment = run.manifest["environment"]
    pairs = [(name, str(version)) for name, version in environment["packages"].items() if version]
    pairs += [
        ("python", environment["python"]),
        ("platform", environment["platform"]),
        ("cores", str(environment["cores"])),
    ]
    if environment.get("memory_bytes"):
        pairs.append(("memory", size(environment["memory_bytes"])))
    return Details("Environment", [KeyValues(pairs)])
