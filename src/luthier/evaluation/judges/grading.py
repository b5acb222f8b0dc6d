"""Grading: a judge gives one answer a grade, criterion by criterion.

Paper: Liu et al. 2023, "G-Eval", arXiv:2303.16634. With the grades s_1 … s_k of the scale and their probabilities by
the judge, made to sum to 1 over the scale, a criterion's grade is

    sum_i  p(s_i) s_i

Differences from the paper: the steps of evaluation are not written by the model; `explain_tokens` of the rubric lets
it explain before it decides. The grade of an answer is the criteria's mean by their weights, as a share of the way from
the worst to the best. The likeliest grade is kept beside it: of small models it is often the same for all answers,
while the probabilities still move.
"""

from __future__ import annotations

from collections.abc import Generator

from luthier.core.files import sha256_text
from luthier.core.types import Answer, Completion, Example, Request
from luthier.evaluation.judges.asking import Choice, block, choose_each, question_text
from luthier.evaluation.judges.rubric import Criterion, Rubric


class Grading:
    """Grades the answer that a row made by `to_judge` holds.

    The verdict is an `Answer`: its text is the likeliest grade of each criterion, its scores hold `grade` (0 to 1), and
    for each criterion `NAME` (the expected grade on the rubric's scale) and `NAME (likeliest)`. A blank answer gets the
    lowest grade without being read. Where the judge fails, so does the verdict, with the reason as its text.
    """

    name = "grades"
    answers = 1

    def __init__(self, rubric: Rubric) -> None:
        self.rubric = rubric
        self.identity = sha256_text("grading 1", rubric.digest())

    def steps(self, example: Example) -> Generator[list[Request], list[Completion], Answer]:
        """Ask for a grade by each criterion; the prompts begin alike, so that the answer is read once."""
        (text,) = example.fields["answers"]
        labels = self.rubric.scale.labels
        if not text.strip():
            worst = Choice(labels[0], (1.0, *(0.0 for _ in labels[1:])))
            return self._verdict(example, [worst] * len(self.rubric.criteria))
        prompts = [self.prompt(example, criterion) for criterion in self.rubric.criteria]
        choices = yield from choose_each(prompts, labels, self.rubric)
        if isinstance(choices, str):
            return Answer(example.id, choices, "failed")
        return self._verdict(example, choices)

    def prompt(self, example: Example, criterion: Criterion) -> str:
        """Return what the judge is told."""
        scale = self.rubric.scale
        anchors = "".join(f" {grade} is: {meaning}." for grade, meaning in sorted(scale.anchors.items()))
        about = f": {criterion.description}" if criterion.description else ""
        return "\n\n".join(
            [
                self.rubric.instructions,
                question_text(example, self.rubric),
                block("Answer", example.fields["answers"][0]),
                f"Grade the answer by this criterion alone: {criterion.name}{about}.\n"
                f"Grades go from {scale.lowest} (worst) to {scale.highest} (best).{anchors}\n"
                f"Reply with the grade alone, a whole number from {scale.lowest} to {scale.highest}.",
            ]
        )

    def _verdict(self, example: Example, choices: list[Choice]) -> Answer:
        scale, criteria = self.rubric.scale, self.rubric.criteria
        expected = [
            sum(grade * p for grade, p in zip(scale.grades, choice.probabilities, strict=True)) for choice in choices
        ]
        total = sum(criterion.weight for criterion in criteria)
        mean = sum(c.weight * grade for c, grade in zip(criteria, expected, strict=True)) / total
        scores = {"grade": min(max(scale.share(mean), 0.0), 1.0)}
        for criterion, grade, choice in zip(criteria, expected, choices, strict=True):
            scores |= {criterion.name: grade, f"{criterion.name} (likeliest)": float(choice.label)}
        return Answer(example.id, " ".join(choice.label for choice in choices), "stop", scores)
