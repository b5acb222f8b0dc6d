"""What tuning cost in general ability, for the reports of adapt and tune."""

from __future__ import annotations

import re

from luthier.evaluation.retention import Forgetting
from luthier.reporting.blocks import Block, Cell, CellLike, Column, Interval, IntervalPlot, Row, Table, Text
from luthier.reporting.inline import escape
from luthier.reporting.quantities import interval_parts, number

_WHAT = (
    "Tuning on one task can cost a model other skills. So the tuned model and the model before tuning answered the "
    "same {questions} general questions, which come with Luthier, and read the same general text. It matters if the "
    "model is to do anything else than this task."
)


def forgetting_blocks(forgetting: Forgetting) -> list[Block]:
    """Show what was asked, the verdict, the change, kinds of questions and the perplexity of general text."""
    asked = sum(kind.questions for kind in forgetting.kinds)
    blocks: list[Block] = [Text(_WHAT.format(questions=asked)), Text(f"**{escape(forgetting_sentence(forgetting))}**")]
    return [*blocks, _change(forgetting), _by_kind(forgetting), *_perplexity(forgetting)]


def forgetting_sentence(forgetting: Forgetting) -> str:
    """Return the verdict as a sentence."""
    said = re.sub(r"(?<=[ (\[])-(?=\d)", "\u2212", forgetting.sentence())
    return f"{said[0].upper()}{said[1:]}."


def _change(forgetting: Forgetting) -> IntervalPlot:
    """Draw the change of the share of right answers beside the margin."""
    change = forgetting.interval
    drawn = Interval(change.value, change.low, change.high, "points")
    return IntervalPlot(
        [("after minus before", Cell(drawn, emphasis=True))],
        "Change of the share of general questions answered rightly, with its 95 % interval",
        "percentage points",
        {f"{100 * forgetting.margin:g} points lost": -forgetting.margin},
    )


def _by_kind(forgetting: Forgetting) -> Table:
    columns = [
        Column("kind of question"),
        *(Column(name, "right") for name in ("questions", "right before", "right after")),
    ]
    rows: list[list[CellLike]] = [
        [kind.kind.replace("_", " "), f"{kind.questions}", f"{kind.before}", f"{kind.after}"]
        for kind in forgetting.kinds
    ]
    total = [sum(getattr(kind, name) for kind in forgetting.kinds) for name in ("questions", "before", "after")]
    rows.append([Cell("all", emphasis=True), *map(str, total)])
    return Table(columns, rows)


def _perplexity(forgetting: Forgetting) -> list[Block]:
    ratio = forgetting.perplexity_ratio
    times = " ".join(interval_parts(ratio.value, ratio.low, ratio.high, "number"))
    before, after = number(forgetting.perplexity_before), number(forgetting.perplexity_after)
    return [Row("perplexity", f"of general text: {before} before, {after} after; times {times}")]
