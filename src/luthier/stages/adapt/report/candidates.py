"""What was tried, how it did on the rows to choose, and what was not tried."""

from __future__ import annotations

from luthier.evaluation.metrics import title_of
from luthier.reporting.blocks import Block, CellLike, Details, Heading, IntervalPlot, KeyValues, Text
from luthier.reporting.inline import escape
from luthier.stages.adapt.choosing import Entry
from luthier.stages.adapt.findings import Findings
from luthier.stages.adapt.screen import candidates_table
from luthier.stages.blocks import LEFT_OUT, score_cell

_WAYS = {
    "most_frequent": "Always the answer that is most frequent among the rows to learn from. No language model.",
    "tfidf": "Word counts and a linear model, learned in seconds. No language model.",
    "as_is": "The model with your prompt and nothing else: what most people try first.",
    "told_format": "The model with a sentence before your prompt that says what to answer, and in which form.",
    "held_to_format": "The model is told what to answer, and can write nothing that is not in the right form.",
    "few_shot_random": "The model is told what to answer, and a few of your rows with their answers stand before each "
    "question.",
    "few_shot_nearest": "The model is told what to answer, and the rows that are most like the question stand before "
    "it, with their answers.",
    "lora": "The model after learning from your rows: small additions to its layers were trained (LoRA).",
    "lora_fewer": "The model after fewer passes over your rows, which is better where they are soon learned by heart.",
    "tuned_held": "The model after learning from your rows, and it can write nothing that is not in the right form.",
}


def candidates_section(found: Findings, *, redact: bool) -> list[Block]:
    """Show all candidates on the rows to choose: drawn, tabulated, explained; and what was not tried."""
    title, rows = title_of(found.metric), len(found.material.parts.choose)
    table = candidates_table(found.material, found.entries, found.choice, all_metrics=True)
    drawn: list[tuple[str, CellLike]] = [
        (entry.title, score_cell(entry.scores, found.metric, entry is found.choice.winner)) for entry in found.entries
    ]
    ways: list[tuple[str, CellLike]] = [(entry.title, way_of(entry)) for entry in found.entries]
    return [
        Heading("What was tried"),
        Text(
            f"{len(found.entries)} ways to get the answers, cheapest first, compared on **{rows:,} rows to choose**. "
            f"The best by {title} won and went on to the unseen rows. Its score here flatters it a little, because it "
            "was chosen for it; that is why the claim above rests on other rows."
        ),
        IntervalPlot(drawn, f"{title} on {rows:,} rows to choose, with 95 % intervals", title),
        Details("What each of them is", [KeyValues(ways)]),
        table,
        *_left_out(found, redact),
    ]


def way_of(entry: Entry) -> str:
    """Say what a candidate is."""
    return _WAYS.get(entry.name, "")


def _left_out(found: Findings, redact: bool) -> list[Block]:
    """List what was not tried, and why; the text of an error may hold a part of a row."""
    if not found.plan.left_out:
        return []
    lines = [
        f"- {escape(title)}: {escape(f'failed {LEFT_OUT}' if redact and reason.startswith('failed') else reason)}"
        for title, reason in found.plan.left_out
    ]
    return [Heading("Not tried", 3), Text("\n".join(lines))]
