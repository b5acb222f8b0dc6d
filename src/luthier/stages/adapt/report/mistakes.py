"""Why answers are wrong, what the winner still gets wrong, and where the user's own labels disagree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from luthier.core.run import RunDirectory
from luthier.core.types import Example
from luthier.data.values import as_text
from luthier.evaluation.answering import stored_answers
from luthier.evaluation.failures import KINDS, Failures, Kind, label_conflicts
from luthier.evaluation.metrics.classification import normalize_label
from luthier.evaluation.metrics.json_values import parse_json
from luthier.reporting.blocks import (
    Block,
    Cell,
    CellLike,
    Color,
    Column,
    Heading,
    Panel,
    Portion,
    SideBySide,
    StackedBars,
    Table,
    Text,
)
from luthier.reporting.inline import escape
from luthier.stages.adapt.choosing import Entry
from luthier.stages.adapt.findings import Findings

_COLORS: Mapping[Kind, Color] = {
    "failed": "blue",
    "empty": "grey",
    "cut": "olive",
    "format": "purple",
    "wrong value": "orange",
    "low score": "orange",
}
_WHAT: Mapping[Kind, str] = {
    "failed": "There is no answer.",
    "empty": "No visible character.",
    "cut": "It ran into the output limit. A higher limit, or tuning that teaches it to stop, would help.",
    "format": "Not the right form: no JSON, other fields, or none of the labels. Telling the format, examples, or "
    "allowing nothing else would help.",
    "wrong value": "The right form with wrong content. Tuning, more or better rows, or a larger model would help.",
    "low score": "It stands out: the score is 0, or below half of the median. It may still be good.",
}
_OTHER = "other fields"
_MOST_PAIRS = 10
_MOST_GROUPS = 8
_MOST_SHOWN = 3
_MOST_ROWS = 4


def mistakes_section(found: Findings, run: RunDirectory, *, redact: bool) -> list[Block]:
    """Show what is wrong with answers, before and after the model was told the format, and what remains."""
    blocks: list[Block] = [Heading("Why answers are wrong"), _all_candidates(found), *_told(found)]
    blocks += _remaining(found, run, redact)
    return blocks + _conflicts(found, redact)


def _all_candidates(found: Findings) -> StackedBars:
    """Draw right and wrong answers of all candidates on the rows to choose."""
    graded = found.proof.failures.low_score is not None
    fine = Portion("nothing stands out" if graded else "right", "green")
    rows: list[tuple[CellLike, tuple[int, ...]]] = []
    for entry in found.entries:
        failures = entry.failures
        counts = [failures.counts.get(kind, 0) for kind in KINDS]
        label = Cell(entry.title, emphasis=entry is found.choice.winner)
        rows.append((label, (failures.rows - len(failures.failures), *reversed(counts))))
    portions = [fine, *(Portion(kind, _COLORS[kind], _WHAT[kind]) for kind in reversed(KINDS))]
    title = f"Answers to the {len(found.material.parts.choose):,} rows to choose"
    return StackedBars(rows, portions, title, "answers")


def _told(found: Findings) -> list[Block]:
    """Say in words why the uninformed prompt fails, and what is left once the model is told the format."""
    order = ("as_is", "told_format", "held_to_format")
    entries = [entry for name in order if (entry := found.entry(name)) is not None]
    lines = [f"- **{escape(entry.title)}**: {escape(_sentence(entry))}" for entry in entries]
    if not lines:
        return []
    intro = "The model before any tuning, from the plain prompt to the most it can be told about the format:"
    return [Text("\n".join([intro, *lines]))]


def _sentence(entry: Entry) -> str:
    failures = entry.failures
    what = "are wrong" if failures.low_score is None else "stand out"
    return f"{len(failures.failures)} of {failures.rows} answers {what}{_counted(failures)}."


def _counted(failures: Failures) -> str:
    said = ", ".join(f"{kind} {count}" for kind, count in failures.counts.items())
    return f": {said}" if said else ""


# ------------------------------------------------------------------------------------------------------- what remains


def _remaining(found: Findings, run: RunDirectory, redact: bool) -> list[Block]:
    """Show what the winner still gets wrong on the unseen rows."""
    failures, winner = found.proof.failures, found.choice.winner
    heading = Heading("What the winner still gets wrong", 3)
    if not failures.failures:
        return [heading, Text(f"Nothing on the {failures.rows:,} unseen rows.")]
    what = "stand out" if failures.low_score is not None else "are wrong"
    wrong = f"{len(failures.failures)} of {failures.rows} answers of {winner.phrase} to the unseen rows"
    blocks: list[Block] = [heading, Text(escape(f"{wrong} {what}{_counted(failures)}."))]
    kind = found.material.task.kind
    if kind == "extraction":
        blocks.append(_by_field(found))
    elif kind == "classification":
        blocks += _confusions(found, run, redact)
    return blocks


def field_counts(found: Findings) -> dict[str, int]:
    """Return in how many answers each field is wrong; names that are not in the schema come together.

    A name that only one answer or row has is not structure but data.
    """
    known = (found.material.task.schema or {}).get("properties", {})
    counts: Counter[str] = Counter()
    for name, count in found.proof.failures.fields.items():
        counts[name if _top(name) in known else _OTHER] += count
    covered = {_top(name) for name in counts}
    return {**dict(counts.most_common()), **{name: 0 for name in known if name not in covered}}


def _top(name: str) -> str:
    """Return the field at the top that a nested one stands in."""
    return name.partition(".")[0].partition("[")[0]


def _by_field(found: Findings) -> StackedBars:
    failures = found.proof.failures
    formless = sum(count for kind, count in failures.counts.items() if kind != "wrong value")
    rows: list[tuple[CellLike, tuple[int, ...]]] = []
    for name, wrong in field_counts(found).items():
        wrong = min(wrong, failures.rows - formless)
        rows.append((name, (wrong, failures.rows - formless - wrong, formless)))
    portions = [
        Portion("wrong", "orange"),
        Portion("right", "green"),
        Portion("answer without the right form", "purple"),
    ]
    return StackedBars(rows, portions, f"Fields of the {failures.rows:,} answers", "answers")


def _confusions(found: Findings, run: RunDirectory, redact: bool) -> list[Block]:
    """Tabulate which label is taken for which, the most frequent first."""
    answers = {a.example_id: a for a in stored_answers(run, f"confirm_{found.choice.winner.name}")}
    references = {example.id: example.reference for example in found.material.parts.confirm}
    names = _label_names(found, redact)
    pairs = Counter(
        (names(references[failure.example_id]), names(answers[failure.example_id].text))
        for failure in found.proof.failures.failures
        if failure.kind == "wrong value"
    )
    if not pairs:
        return []
    columns = [Column("right label"), Column("answered"), Column("rows", "right")]
    rows: list[list[CellLike]] = [[right, said, f"{count}"] for (right, said), count in pairs.most_common(_MOST_PAIRS)]
    more = f"{len(pairs) - _MOST_PAIRS} rarer pairs are not shown." if len(pairs) > _MOST_PAIRS else ""
    return [Table(columns, rows, "Which label is taken for which", more)]


def _label_names(found: Findings, redact: bool) -> Callable[[str], str]:
    """Return a function that names a label: itself, or its number where labels are left out."""
    places = {normalize_label(label): index for index, label in enumerate(found.material.task.labels, 1)}
    shown = {normalize_label(label): label for label in found.material.task.labels}

    def name(text: str) -> str:
        key = normalize_label(text)
        if redact:
            return f"label {places[key]}" if key in places else "another label"
        return shown.get(key, text)

    return name


# ------------------------------------------------------------------------------------------------ labels that disagree


def _conflicts(found: Findings, redact: bool) -> list[Block]:
    """Say where nearly equal rows have different answers; nothing can learn both."""
    task, parts = found.material.task, found.material.parts
    if task.kind not in ("classification", "extraction"):
        return []
    examples = [*parts.tune, *parts.choose, *parts.confirm]
    conflicts = label_conflicts(examples, task)
    heading = Heading("Where your own labels disagree", 3)
    if not conflicts:
        return [heading, Text("Nowhere: no two rows that ask nearly the same have different answers.")]
    known = (task.schema or {}).get("properties", {})
    lines, shown = [], []
    for name, groups in conflicts.items():
        field = name if not redact or name in known or name == "answer" else _OTHER
        places = "; ".join(", ".join(map(str, group)) for group in groups[:_MOST_GROUPS])
        more = f"; and {len(groups) - _MOST_GROUPS} more" if len(groups) > _MOST_GROUPS else ""
        lines.append(f"- {escape(field)}: lines {places}{more}")
        shown += [(name, group) for group in groups]
    intro = (
        "Rows that ask nearly the same have different answers there. No model can learn both: mend them, or accept as "
        "many errors."
    )
    blocks: list[Block] = [heading, Text("\n".join([intro, *lines]))]
    return blocks if redact else blocks + [_group(examples, name, group) for name, group in shown[:_MOST_SHOWN]]


def _group(examples: Sequence[Example], name: str, lines: Sequence[int]) -> SideBySide:
    """Show the rows of one group beside each other."""
    by_line = {example.line: example for example in examples}
    panels = [
        Panel(f"Line {line}", f"{by_line[line].prompt}\n\n{_labelled(by_line[line], name)}")
        for line in lines[:_MOST_ROWS]
    ]
    return SideBySide(panels, f"{name}, lines {', '.join(map(str, lines))}", reference=None)


def _labelled(example: Example, name: str) -> str:
    value = parse_json(example.reference)
    return f"{name}: {as_text(value.get(name))}" if isinstance(value, dict) else f"{name}: {example.reference}"
