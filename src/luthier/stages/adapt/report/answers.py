"""Answers side by side: one row in every way, and those that improved or worsened most."""

from __future__ import annotations

from luthier.core.run import RunDirectory
from luthier.evaluation.answering import stored_answers
from luthier.evaluation.statistics import Scores
from luthier.reporting.blocks import Block, Details, Heading, Panel, SideBySide, Text
from luthier.reporting.inline import escape
from luthier.stages.adapt.choosing import Entry
from luthier.stages.adapt.findings import Findings
from luthier.stages.blocks import answer_text, examples_block, judgements


def answers_section(found: Findings, run: RunDirectory) -> list[Block]:
    """Show answers beside the reference."""
    blocks = [*_one_row(found), *_on_confirm(found, run), *_against_as_it_is(found)]
    intro = "What differs from the reference is highlighted. The reference is the right answer from your file."
    return [Heading("Answers side by side"), Text(intro), *blocks] if blocks else []


def _one_row(found: Findings) -> list[Block]:
    """Show the row to choose on which the winner does best against all others, answered in every way."""
    winner, others = found.choice.winner, [e for e in found.entries if e is not found.choice.winner]
    if not others:
        return []
    best = winner.scores.frame()[found.metric]
    mean = sum(entry.scores.frame()[found.metric] for entry in others) / len(others)
    row = int((best - mean).argmax())
    example = found.material.parts.choose[row]
    panels = [
        Panel(entry.title, answer_text(entry.answers[row]), *judgements(entry.scores, found.metric)[row])
        for entry in found.entries
    ]
    said = Text("A row to choose on which the winner does better than most others; it is no fair sample.")
    title = f"Line {example.line}" if example.line else ""
    both = SideBySide([*panels, Panel("Reference", example.reference)], title, example.prompt)
    return [Heading("One row, answered in every way", 3), said, both]


def _on_confirm(found: Findings, run: RunDirectory) -> list[Block]:
    """Compare the winner's answers to the unseen rows with those of its best rival."""
    if not found.choice.rivals:
        return []
    winner, rival = found.choice.winner, found.choice.rivals[0]
    scores = found.proof.scores
    before, after = (stored_answers(run, f"confirm_{entry.name}") for entry in (rival, winner))
    examples = found.material.parts.confirm
    intro = (
        f"The following are answers to the {len(examples):,} unseen rows. **Before** is {escape(rival.phrase)}, the "
        f"best rival; **after** is {escape(winner.phrase)}, the winner."
    )
    shown = examples_block(
        examples,
        before,
        after,
        gains(found, scores[rival.name], scores[winner.name]),
        titles=titles(rival, winner),
        judged=(judgements(scores[rival.name], found.metric), judgements(scores[winner.name], found.metric)),
    )
    return [Text(intro), *(shown or [Text("No answer is better or worse than the rival's.")])]


def _against_as_it_is(found: Findings) -> list[Block]:
    """Compare with the model as it is, where it was run and is no rival on the unseen rows."""
    as_it_is, winner = found.entry("as_is"), found.choice.winner
    if as_it_is is None or not winner.candidate.uses_model or as_it_is in (winner, *found.choice.rivals[:1]):
        return []
    examples = found.material.parts.choose
    shown = examples_block(
        examples,
        as_it_is.answers,
        winner.answers,
        gains(found, as_it_is.scores, winner.scores),
        titles=titles(as_it_is, winner),
        judged=(judgements(as_it_is.scores, found.metric), judgements(winner.scores, found.metric)),
    )
    said = f"Against the model as it is, on the {len(examples):,} rows to choose"
    return [Details(said, shown)] if shown else []


def titles(before: Entry, after: Entry) -> tuple[str, str]:
    """Name the two sides."""
    return f"Before: {before.title}", f"After: {after.title}"


def gains(found: Findings, before: Scores, after: Scores) -> list[tuple[float, ...]]:
    """Return by how much each row improved: by the primary metric, ties by the others."""
    names = found.material.task.metrics
    signs = [1.0 if after.metric(name).higher_is_better else -1.0 for name in names]
    first, second = before.frame(), after.frame()
    columns = [sign * (second[name] - first[name]) for name, sign in zip(names, signs, strict=True)]
    return [tuple(float(value) for value in row) for row in zip(*columns, strict=True)]
