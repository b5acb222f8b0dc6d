"""What a report is made of. A stage builds blocks; `console`, `html` and `markdown` each render all of them.

Markup: `Text`, `Row` and `Verdict` strings know `**bold**`, `` `code` ``, blank lines between paragraphs and lines that
start with "- ". Put data into them through `luthier.reporting.inline.escape`. All other strings (cells, keys, panels,
titles) are shown as they are, so untrusted text such as a model's answer is safe there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Literal, TypeAlias

from luthier.reporting.quantities import Unit, interval_parts, quantity

Tone = Literal["good", "bad", "neutral", "unknown"]
"""How a statement is meant: shown and welcome, shown and unwelcome, without judgement, not shown."""


@dataclass(frozen=True)
class Interval:
    """A number and how sure it is. Shares and points are given as fractions: 0.78 reads "78 %", 0.6 points "+60".

    Attributes:
        value: The estimate.
        low: Lower end of the interval; None where no interval is known.
        high: Upper end of the interval.
        unit: How it is written and scaled.
    """

    value: float
    low: float | None = None
    high: float | None = None
    unit: Unit = "share"

    def __str__(self) -> str:
        return " ".join(part for part in self.parts if part)

    @property
    def parts(self) -> tuple[str, str]:
        """The value and the interval as text, such as ("78 %", "[66, 87]"); the second may be empty."""
        return interval_parts(self.value, self.low, self.high, self.unit)


@dataclass(frozen=True)
class Cell:
    """A cell with more than a text. `emphasis` in a row's first cell marks the row; `note` is a short remark on it."""

    content: str | Interval
    emphasis: bool = False
    note: str = ""
    tone: Tone = "neutral"


CellLike: TypeAlias = str | Interval | Cell


def as_cell(value: CellLike) -> Cell:
    """Return a cell for a text, an interval, or a cell."""
    return value if isinstance(value, Cell) else Cell(value)


@dataclass(frozen=True)
class Heading:
    """A heading; level 2 starts a section, level 3 a part of one."""

    text: str
    level: Literal[2, 3] = 2


@dataclass(frozen=True)
class Text:
    """Paragraphs and lists, with markup."""

    text: str


@dataclass(frozen=True)
class Verdict:
    """The answer to the question of the report, in one sentence, with what it rests on. An HTML page shows it first."""

    sentence: str
    tone: Tone = "neutral"
    details: Sequence[str] = ()
    label: str = "verdict"


@dataclass(frozen=True)
class Row:
    """A line (or lines, or blocks) beside a label in the left column: the terminal screen is made of these."""

    label: str
    content: str | Sequence[str | Block]

    @property
    def pieces(self) -> Sequence[str | Block]:
        """The content as a sequence."""
        return (self.content,) if isinstance(self.content, str) else self.content


@dataclass(frozen=True)
class KeyValues:
    """Names and values below each other. `help` explains names in a hover text."""

    pairs: Sequence[tuple[str, CellLike]]
    help: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """A column of a table. `help` explains the title in a hover text; a table without titles has no header."""

    title: str = ""
    align: Literal["left", "right"] = "left"
    unit: str = ""
    help: str = ""

    @property
    def heading(self) -> str:
        """The title with its unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


@dataclass(frozen=True)
class Table:
    """Rows of cells, one for each column."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[CellLike]]
    title: str = ""
    caption: str = ""

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(f"Row {number} of a table has {len(row)} cells for {len(self.columns)} columns.")


@dataclass(frozen=True)
class IntervalPlot:
    """Intervals below each other on one axis. A row that has no interval shows its text ("not run").

    Attributes:
        rows: Label and interval (or cell with one).
        title: Printed above.
        axis: What the axis measures.
        marks: Name and place of reference lines, such as a target.
    """

    rows: Sequence[tuple[str, CellLike]]
    title: str = ""
    axis: str = ""
    marks: Mapping[str, float] = field(default_factory=dict)

    @property
    def intervals(self) -> list[Interval]:
        """The intervals of the rows that have one."""
        contents = [as_cell(value).content for _, value in self.rows]
        return [content for content in contents if isinstance(content, Interval)]

    @property
    def unit(self) -> Unit:
        """The unit of the axis: that of the first interval."""
        return next((interval.unit for interval in self.intervals), "share")


@dataclass(frozen=True)
class Series:
    """One line of a plot; a y that is not finite makes a gap."""

    name: str
    x: Sequence[float]
    y: Sequence[float]

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"Series '{self.name}' has {len(self.x)} x and {len(self.y)} y values.")


@dataclass(frozen=True)
class LinePlot:
    """Lines over a common axis. Axis titles carry the unit ("loss (nats per token)"); `marks` are vertical lines."""

    series: Sequence[Series]
    x_title: str
    y_title: str
    title: str = ""
    y_unit: Unit = "number"
    marks: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Histogram:
    """Distributions of one quantity in one or more groups, drawn below each other on one axis."""

    groups: Mapping[str, Sequence[float]]
    x_title: str
    title: str = ""
    unit: Unit = "number"

    def summary(self, values: Sequence[float]) -> list[str]:
        """Return number, mean, median, lowest and highest of a group's values as texts."""
        finite = [v for v in values if math.isfinite(v)]
        if not finite:
            return ["0", "", "", "", ""]
        figures = (fmean(finite), median(finite), min(finite), max(finite))
        return [f"{len(finite):,}", *(quantity(v, self.unit) for v in figures)]


Color = Literal["green", "orange", "purple", "olive", "blue", "grey"]


@dataclass(frozen=True)
class Portion:
    """One part of all `StackedBars`; `help` explains its name in a hover text."""

    name: str
    color: Color = "blue"
    help: str = ""


@dataclass(frozen=True)
class StackedBars:
    """Counts that add up to a whole, a bar a row: how many answers are right, and how many wrong in which way.

    Attributes:
        rows: Label (a cell with emphasis marks the row), and one count for each portion.
        portions: What the counts are of, in their order; portions that no row has are not named.
        title: Printed above.
        unit: What is counted.
    """

    rows: Sequence[tuple[CellLike, tuple[int, ...]]]
    portions: Sequence[Portion]
    title: str = ""
    unit: str = "rows"

    def __post_init__(self) -> None:
        for label, counts in self.rows:
            if len(counts) != len(self.portions):
                name = as_cell(label).content
                raise ValueError(f"The bar '{name}' has {len(counts)} counts for {len(self.portions)} portions.")

    @property
    def named(self) -> list[Portion]:
        """The portions that some row has."""
        return [p for index, p in enumerate(self.portions) if any(counts[index] for _, counts in self.rows)]

    def told(self, counts: Sequence[int]) -> str:
        """Return a row's counts in words, such as "right 3, cut 1"; portions without any are left out."""
        pairs = zip(self.portions, counts, strict=True)
        return ", ".join(f"{portion.name} {count:,}" for portion, count in pairs if count)

    def as_table(self) -> Table:
        """Return the counts as a table, for where nothing can be drawn."""
        shown = [index for index, portion in enumerate(self.portions) if portion in self.named]
        columns = [Column(), *(Column(self.portions[index].name, "right") for index in shown)]
        return Table(columns, [[label, *(f"{counts[i]:,}" for i in shown)] for label, counts in self.rows], self.title)


@dataclass(frozen=True)
class Panel:
    """A titled text in a `SideBySide`; `mark` says whether it is right, `note` is a short remark such as its score."""

    title: str
    text: str
    mark: Literal["right", "wrong", ""] = ""
    note: str = ""


@dataclass(frozen=True)
class SideBySide:
    """Texts beside each other, such as Before | After | Reference.

    Attributes:
        panels: The texts.
        title: Printed above.
        context: What the texts answer.
        reference: Index of the panel that the others are compared with, word by word; None highlights nothing.
    """

    panels: Sequence[Panel]
    title: str = ""
    context: str = ""
    reference: int | None = -1


@dataclass(frozen=True)
class Code:
    """Text to copy: commands, a recipe, a script."""

    text: str
    language: str = ""


@dataclass(frozen=True)
class Details:
    """Blocks that the reader unfolds."""

    summary: str
    blocks: Sequence[Block] = ()


Block: TypeAlias = (
    Text
    | Heading
    | Verdict
    | Row
    | KeyValues
    | Table
    | IntervalPlot
    | LinePlot
    | Histogram
    | StackedBars
    | SideBySide
    | Code
    | Details
)
