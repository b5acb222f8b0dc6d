"""What stages with a judge share: asking for its verdicts, and saying who judged, by what, and what that is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from luthier.core.run import RunDirectory
from luthier.core.types import Answer, Example
from luthier.evaluation.judges.asking import to_judge
from luthier.evaluation.judges.grading import Grading
from luthier.evaluation.judges.judge import Judge, Kin, kinship
from luthier.evaluation.judges.pairwise import PairVerdict, Pairwise
from luthier.evaluation.judges.rubric import Rubric
from luthier.evaluation.statistics.scores import answers_in_order
from luthier.reporting.blocks import Column, Row, Table
from luthier.reporting.inline import escape


def shown_text(answer: Answer) -> str:
    """Return what a judge sees of an answer: nothing of one that failed."""
    return "" if answer.finish == "failed" else answer.text


def grade_answers(
    judge: Judge, examples: Sequence[Example], answers: Sequence[Answer], run: RunDirectory, name: str
) -> tuple[list[Answer], list[Answer]]:
    """Return the answers with a grade in `scores`, and the verdicts; what was not judged has the worst grade."""
    aligned = answers_in_order(examples, answers)
    asked = [to_judge(example, shown_text(answer)) for example, answer in zip(examples, aligned, strict=True)]
    verdicts = judge.verdicts(asked, Grading(judge.rubric), run, name)
    graded = [
        replace(answer, scores={**answer.scores, "grade": verdict.scores.get("grade", 0.0)})
        for answer, verdict in zip(aligned, verdicts, strict=True)
    ]
    return graded, verdicts


def judge_pairs(
    judge: Judge, examples: Sequence[Example], texts: Sequence[tuple[str, str]], run: RunDirectory, name: str
) -> list[PairVerdict]:
    """Return a verdict on each pair of texts, both orders asked."""
    asked = [to_judge(example, *pair) for example, pair in zip(examples, texts, strict=True)]
    return [PairVerdict.of(verdict) for verdict in judge.verdicts(asked, Pairwise(judge.rubric), run, name)]


def judge_lines(judge: Judge, by: str, answered: Sequence[Kin | None], failed: int, rows: int) -> list[str]:
    """Say who judges, by what, and what one should know of it."""
    lines = [f"{escape(judge.name)}, by {rubric_sentence(judge.rubric)}"]
    lines += [f"**{escape(text)}**" for text in kinship(judge, answered)]
    if failed:
        what = "have the worst grade" if by == "grades" else "count as ties"
        lines.append(f"**{failed:,} of {rows:,} could not be judged and {what}**")
    return [*lines, judge.trust(by)]


def rubric_sentence(rubric: Rubric) -> str:
    """Name the criteria."""
    names = ", ".join(escape(criterion.name) for criterion in rubric.criteria)
    return f"{len(rubric.criteria)} criteria ({names})" if len(rubric.criteria) > 1 else f"one criterion ({names})"


def criteria_table(rubric: Rubric, samples: Sequence[Sequence[Answer]]) -> Table:
    """Tabulate the mean grade by each criterion, on the rubric's own scale."""
    read = [verdict for verdicts in samples for verdict in verdicts if verdict.finish != "failed"]
    low, high = rubric.scale.lowest, rubric.scale.highest
    rows = []
    for criterion in rubric.criteria:
        expected, likeliest = (
            [verdict.scores[key] for verdict in read] for key in (criterion.name, f"{criterion.name} (likeliest)")
        )
        means = [f"{sum(values) / len(values):.2f}" for values in (expected, likeliest)]
        rows.append([criterion.name, *means, f"{len(set(likeliest))}"])
    columns = [Column("criterion"), Column("mean grade", "right"), Column("mean of the likeliest", "right")]
    return Table(
        [*columns, Column("different grades", "right")],
        rows,
        title=f"Grades from {low} to {high}",
        caption="The mean grade weighs all grades by their probabilities. A judge whose likeliest grade is the same "
        "for all answers tells them apart by little.",
    )


def judge_row(lines: Sequence[str]) -> Row:
    """Return the row that says who judged."""
    return Row("judge", list(lines))
