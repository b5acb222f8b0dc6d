"""Pairs: a judge says which of two answers is better, asked in both orders; where the orders disagree it is a tie.

Paper: Zheng et al. 2023, "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", arXiv:2306.05685, section 3.4: "call
a judge twice by swapping the order of two answers and only declare a win when an answer is preferred in both orders".

Differences from the paper: the judge chooses among the letters A, B and C by their probabilities instead of writing
freely; it explains first only where the rubric says so.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Literal

from luthier.core.files import sha256_text
from luthier.core.types import Answer, Completion, Example, Request
from luthier.evaluation.judges.asking import Choice, block, choose_each, question_text
from luthier.evaluation.judges.rubric import Rubric

Outcome = Literal["first", "second", "tie"]
OUTCOMES: tuple[Outcome, ...] = ("first", "second", "tie")


@dataclass(frozen=True)
class PairVerdict:
    """What a judge says of two answers.

    Attributes:
        example_id: The row.
        outcome: The better one; a tie where the two orders disagree, or the judge failed.
        orders: What each order said, the first answer shown as A, then as B; none where the judge was not asked.
        preference: Probability that the second is better, half of a tie's included, on the mean over both orders.
        failed: Whether the judge failed.
    """

    example_id: str
    outcome: Outcome
    orders: tuple[Outcome, ...] = ()
    preference: float = 0.5
    failed: bool = False

    @property
    def disagree(self) -> bool:
        """Whether the two orders said different things."""
        return len(set(self.orders)) > 1

    @property
    def place(self) -> Literal["A", "B", ""]:
        """The place that was preferred in both orders, whichever answer stood there; empty if none was."""
        if self.orders == ("first", "second"):
            return "A"
        return "B" if self.orders == ("second", "first") else ""

    @classmethod
    def of(cls, verdict: Answer) -> PairVerdict:
        """Read a stored verdict."""
        if verdict.finish == "failed":
            return cls(verdict.example_id, "tie", failed=True)
        s = verdict.scores
        if "first as A" not in s:
            outcome: Outcome = verdict.text  # type: ignore[assignment]
            return cls(verdict.example_id, outcome, (), {"first": 0.0, "second": 1.0, "tie": 0.5}[outcome])
        chances = [[s[f"{who} {order}"] for who in OUTCOMES] for order in ("as A", "as B")]
        orders = tuple(map(_said, chances))
        preference = sum(second + tie / 2 for _, second, tie in chances) / 2
        return cls(verdict.example_id, agreed(orders), orders, preference)


def _said(chances: list[float]) -> Outcome:
    """Return the likeliest outcome; a tie where several are as likely."""
    best = max(chances)
    return OUTCOMES[chances.index(best)] if chances.count(best) == 1 else "tie"


def agreed(orders: Sequence[Outcome]) -> Outcome:
    """Return what both orders say; a tie where they do not say the same."""
    return orders[0] if len(set(orders)) == 1 else "tie"


class Pairwise:
    """Compares the two answers that a row made by `to_judge` holds, in both orders at once.

    The verdict is an `Answer`: its text is first, second or tie, its scores hold the probabilities by each order, such
    as `first as A` (that the first answer is better, when it is shown as A) and `tie as B`. Two equal answers are a tie
    and a blank answer loses, without being read. Where the judge fails, so does the verdict, with the reason as text.
    """

    name = "pairs"
    answers = 2

    def __init__(self, rubric: Rubric) -> None:
        self.rubric = rubric
        self.labels = ("A", "B", "C") if rubric.ties else ("A", "B")
        self.identity = sha256_text("pairwise 1", rubric.digest())

    def steps(self, example: Example) -> Generator[list[Request], list[Completion], Answer]:
        """Ask twice, with the answers in either order."""
        first, second = example.fields["answers"]
        if (known := _without_reading(first, second)) is not None:
            return Answer(example.id, known, "stop")
        prompts = [self.prompt(example, first, second), self.prompt(example, second, first)]
        choices = yield from choose_each(prompts, self.labels, self.rubric)
        if isinstance(choices, str):
            return Answer(example.id, choices, "failed")
        scores = _by_answer(choices[0], "as A", OUTCOMES) | _by_answer(choices[1], "as B", ("second", "first", "tie"))
        outcome = PairVerdict.of(Answer(example.id, "", "stop", scores)).outcome
        return Answer(example.id, outcome, "stop", scores)

    def prompt(self, example: Example, shown_as_a: str, shown_as_b: str) -> str:
        """Return what the judge is told."""
        criteria = "\n".join(f"- {c.name}{f': {c.description}' if c.description else ''}" for c in self.rubric.criteria)
        tie = ", or C if they are equally good" if self.rubric.ties else ""
        letters = "A, B or C" if self.rubric.ties else "A or B"
        return "\n\n".join(
            [
                self.rubric.instructions,
                f"Criteria:\n{criteria}",
                question_text(example, self.rubric),
                block("Answer A", shown_as_a),
                block("Answer B", shown_as_b),
                f"Which answer is better? Reply with one letter alone: {letters}: A if answer A is better, B if answer "
                f"B is better{tie}.",
            ]
        )


def _without_reading(first: str, second: str) -> Outcome | None:
    blank = not first.strip(), not second.strip()
    if all(blank) or first.strip() == second.strip():
        return "tie"
    if any(blank):
        return "second" if blank[0] else "first"
    return None


def _by_answer(choice: Choice, order: str, who: Sequence[Outcome]) -> dict[str, float]:
    """Name the probabilities by the answer that stood in each place."""
    chances = dict(zip(who, (*choice.probabilities, 0.0)[:3], strict=True))
    return {f"{name} {order}": chances[name] for name in OUTCOMES}
