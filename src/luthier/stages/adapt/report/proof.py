"""What the verdict rests on: the winner and its rivals on the unseen rows."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.evaluation.comparison import Comparison
from luthier.evaluation.metrics import title_of
from luthier.evaluation.statistics.intervals import is_binary
from luthier.reporting.blocks import (
    Block,
    Cell,
    CellLike,
    Heading,
    Histogram,
    Interval,
    IntervalPlot,
    KeyValues,
    Portion,
    StackedBars,
    Text,
)
from luthier.reporting.inline import escape
from luthier.stages.adapt.choosing import Entry
from luthier.stages.adapt.findings import Findings
from luthier.stages.adapt.recipe import Config
from luthier.stages.blocks import score_cell

_HOW_TO_READ = """**How to read the intervals**

- The dot is what was found on these rows. The bar around it is its {level:g} % interval: were the same done again and
again on new rows of this kind, {level:g} % of such bars would hold the true score. More rows make it shorter.
- A lead counts as shown where its bar keeps clear of zero and a paired test agrees. Two bars of the upper picture may
overlap and the lead still be shown, because both answered the same rows.
"""
_GRADED = ("json_field_f1", "token_f1")
"""Scores between wrong and right, for tasks whose primary metric knows only these two."""


def proof_section(found: Findings, config: Config) -> list[Block]:
    """Show scores, leads and counts on the rows to confirm, and how to read them."""
    proof, choice, metric = found.proof, found.choice, found.metric
    rows, title = len(found.material.parts.confirm), title_of(metric)
    confirmed = (choice.winner, *choice.rivals)
    marks = {} if proof.target is None else {f"target {100 * proof.target.target:g} %": proof.target.target}
    scores: list[tuple[str, CellLike]] = [
        (entry.title, score_cell(proof.scores[entry.name], metric, entry is choice.winner)) for entry in confirmed
    ]
    blocks: list[Block] = [
        Heading("What it rests on"),
        Text(
            f"**{rows:,} rows** were kept away from everything: nothing was learned from them or chosen on them. The "
            f"winner and the best rival of each other kind answered them once. {_meaning(found)}"
        ),
        IntervalPlot(scores, f"{title} on {rows:,} unseen rows, with 95 % intervals", title, marks),
    ]
    if choice.rivals:
        blocks += [_leads(found), Text("\n".join(f"- {line}" for line in _sentences(found)))]
    blocks += [Text(_HOW_TO_READ.format(level=_level(found)))]
    if proof.form is not None:
        blocks += [Text(f"Form of the answers: {sentence}.") for sentence in proof.form.sentences()]
    if proof.target is not None:
        blocks.append(Text(escape(proof.target.sentence())))
    blocks += _row_by_row(choice.winner, choice.rivals, proof.comparisons)
    blocks += _distribution(found, confirmed)
    return [*blocks, _figures(found, config)]


def _meaning(found: Findings) -> str:
    return f"The score is {title_of(found.metric)}, the measure for {found.material.task.kind.replace('_', ' ')}."


def _level(found: Findings) -> float:
    return 100 * found.proof.scores[found.choice.winner.name].interval(found.metric).level


def _leads(found: Findings) -> IntervalPlot:
    """Draw the winner's score minus each rival's."""
    rows: list[tuple[str, CellLike]] = []
    for rival, comparison in zip(found.choice.rivals, found.proof.comparisons, strict=True):
        lead = comparison.interval
        shown = Cell(Interval(lead.value, lead.low, lead.high, "points"), emphasis=comparison.verdict == "better")
        rows.append((f"over {rival.title}: {_verdict(comparison)}", shown))
    title = f"Lead of {found.choice.winner.phrase} over each rival, in points"
    return IntervalPlot(rows, title, f"{title_of(found.metric)}, percentage points")


def _verdict(comparison: Comparison) -> str:
    return {"better": "shown", "worse": "a deficit, shown"}.get(comparison.verdict, comparison.verdict)


def _sentences(found: Findings) -> list[str]:
    """Return the comparisons as the screen says them."""
    pairs = zip(found.choice.rivals, found.proof.comparisons, strict=True)
    return [escape(comparison.sentence(rival.phrase, found.choice.winner.phrase)) for rival, comparison in pairs]


def _row_by_row(winner: Entry, rivals: Sequence[Entry], comparisons: Sequence[Comparison]) -> list[Block]:
    """Count the rows on which winner and rival differ: the lead rests on these."""
    right = [c for c in comparisons if c.is_share]
    if not comparisons or len(right) not in (0, len(comparisons)):
        return []
    portions = (
        [
            Portion("both right", "blue"),
            Portion(f"only {winner.phrase} right", "green"),
            Portion("only the rival right", "orange"),
            Portion("both wrong", "grey"),
        ]
        if right
        else [
            Portion(f"{winner.phrase} scores higher", "green"),
            Portion("equal", "grey"),
            Portion("the rival scores higher", "orange"),
        ]
    )
    counts = [_shared(c) if right else (c.wins, c.rows - c.wins - c.losses, c.losses) for c in comparisons]
    rows: list[tuple[CellLike, tuple[int, ...]]] = [
        (f"against {rival.title}", found) for rival, found in zip(rivals, counts, strict=True)
    ]
    return [StackedBars(rows, portions, f"Row by row, {comparisons[0].rows:,} unseen rows")]


def _shared(comparison: Comparison) -> tuple[int, ...]:
    """Return on how many rows both, only the winner, only the rival, and neither are right."""
    both = round(comparison.candidate_value * comparison.rows) - comparison.wins
    neither = comparison.rows - both - comparison.wins - comparison.losses
    return both, comparison.wins, comparison.losses, neither


def _distribution(found: Findings, confirmed: Sequence[Entry]) -> list[Block]:
    """Draw how the scores of single rows lie, by a score that has more than right and wrong."""
    scores = found.proof.scores
    names = [found.metric, *(name for name in _GRADED if name in scores[found.choice.winner.name].names)]
    for name in names:
        metric = scores[confirmed[0].name].metric(name)
        if not is_binary(metric, *(scores[entry.name].rows[name] for entry in confirmed)):
            groups = {entry.title: [float(v) for v in scores[entry.name].frame()[name]] for entry in confirmed}
            title = f"{title_of(name)} of single answers"
            return [Histogram(groups, f"{title_of(name)} of an answer", title, "share")]
    return []


def _figures(found: Findings, config: Config) -> KeyValues:
    """Return what a statistician asks for."""
    score = found.proof.scores[found.choice.winner.name].interval(found.metric)
    grouped = f" in {score.clusters:,} clusters" if score.clusters != score.rows else ""
    pairs: list[tuple[str, CellLike]] = [
        ("unseen rows", f"n = {score.rows:,}{grouped}"),
        ("intervals", f"{100 * score.level:g} %; scores: {score.method}"),
    ]
    comparisons = found.proof.comparisons
    if comparisons:
        methods = dict.fromkeys(c.interval.method for c in comparisons)
        pairs[-1] = ("intervals", f"{100 * score.level:g} %; scores: {score.method}; leads: {', '.join(methods)}")
        tests, claims = dict.fromkeys(c.test for c in comparisons), comparisons[0].claims
        adjusted = f"; {claims} claims adjusted together by Holm's method" if claims > 1 else ""
        pairs.append(("paired test", f"{', '.join(tests)}; two-sided, level {comparisons[0].alpha:g}{adjusted}"))
    pairs.append(("seed", f"{config.data.seed} of the division into parts, {config.seed} of initialisation and order"))
    return KeyValues(pairs)
