"""Grading and pairs: what a judge is asked, and what is made of what it says."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest

from luthier.core.types import Answer, Completion, Constraint, Example, Message, Request, user
from luthier.evaluation.judges.asking import Choice, read_choice, to_judge
from luthier.evaluation.judges.grading import Grading
from luthier.evaluation.judges.pairwise import PairVerdict, Pairwise
from luthier.evaluation.judges.rubric import Criterion, Rubric, Scale
from luthier.generation.drive import drive
from luthier.testing import ScriptedLanguageModel

TONE = Rubric(criteria=[Criterion(name="tone")], scale=Scale(lowest=1, highest=3))


def row(*answers: str, name: str = "1") -> Example:
    return to_judge(Example(name, user("Why?"), ("Because.",), "group"), *answers)


def likes(*words: str) -> Callable[[Request], list[float]]:
    """A judge that prefers the answer with the first of the words; without one, it calls it a tie."""

    def scores(request: Request) -> list[float]:
        text = request.messages[-1].content
        a, b = (text.split(f"[Answer {which}]\n")[1].split("\n[End")[0] for which in "AB")
        for word in words:
            if (word in a) != (word in b):
                return [math.log(0.8 if word in a else 0.1), math.log(0.8 if word in b else 0.1), math.log(0.1)]
        return [math.log(0.2), math.log(0.2), math.log(0.6)]

    return scores


def always(*probabilities: float) -> Callable[[Request], Sequence[float]]:
    return lambda request: [math.log(p) for p in probabilities]


def pair(model: ScriptedLanguageModel, *answers: str, rubric: Rubric = TONE) -> PairVerdict:
    (verdict,) = drive(Pairwise(rubric), model, [row(*answers)])
    return PairVerdict.of(Answer.from_json(verdict.to_json()))


# ------------------------------------------------------------------------------------------------------------ pairs


def test_a_pair_is_asked_in_both_orders_in_one_call() -> None:
    model = ScriptedLanguageModel([], likes("good"))
    verdict = pair(model, "bad one", "good one")
    (batch,) = model.batches
    assert [request.continuations for request in batch] == [("A", "B", "C")] * 2
    first, second = (request.messages[0].content for request in batch)
    assert first.index("bad one") < first.index("good one")
    assert second.index("good one") < second.index("bad one")
    assert verdict.outcome == "second"
    assert verdict.orders == ("second", "second")
    assert verdict.preference == pytest.approx(0.8 + 0.1 / 2)
    assert (verdict.disagree, verdict.place) == (False, "")
    assert pair(model, "good one", "bad one").outcome == "first"
    assert pair(model, "good one", "good two").outcome == "tie"


@pytest.mark.parametrize(("probabilities", "place"), [((0.7, 0.2, 0.1), "A"), ((0.2, 0.7, 0.1), "B")])
def test_a_judge_that_prefers_a_place_calls_everything_a_tie(probabilities: tuple[float, ...], place: str) -> None:
    verdict = pair(ScriptedLanguageModel([], always(*probabilities)), "one", "two")
    assert verdict.outcome == "tie"
    assert verdict.disagree
    assert verdict.place == place
    assert verdict.preference == pytest.approx(0.5)


def test_a_win_in_one_order_and_a_tie_in_the_other_is_a_tie() -> None:
    answers = iter([[math.log(0.8), math.log(0.1), math.log(0.1)], [math.log(0.1), math.log(0.1), math.log(0.8)]])
    verdict = pair(ScriptedLanguageModel([], lambda request: next(answers)), "one", "two")
    assert (verdict.outcome, verdict.disagree, verdict.place) == ("tie", True, "")
    assert verdict.orders == ("first", "tie")


def test_letters_that_are_as_likely_are_a_tie() -> None:
    verdict = pair(ScriptedLanguageModel([], always(0.4, 0.4, 0.2)), "one", "two")
    assert verdict.orders == ("tie", "tie")
    assert not verdict.disagree


def test_a_rubric_without_ties_offers_none() -> None:
    model = ScriptedLanguageModel([], always(0.9, 0.1))
    assert pair(model, "one", "two", rubric=Rubric(ties=False)).place == "A"
    assert model.batches[0][0].continuations == ("A", "B")
    assert "equally good" not in model.batches[0][0].messages[0].content


def test_equal_and_blank_answers_are_judged_without_being_read() -> None:
    model = ScriptedLanguageModel([])
    outcomes = [pair(model, *texts) for texts in (("same", " same\n"), ("", "x"), ("x", " \n"), ("", " "))]
    assert [verdict.outcome for verdict in outcomes] == ["tie", "second", "first", "tie"]
    assert [verdict.preference for verdict in outcomes] == [0.5, 1.0, 0.0, 0.5]
    assert all(verdict.orders == () and not verdict.failed for verdict in outcomes)
    assert model.batches == []


def test_a_model_that_cannot_score_is_held_to_the_letters() -> None:
    model = ScriptedLanguageModel(["B", "A"], None)
    verdict = pair(model, "one", "two")
    assert verdict.outcome == "second"
    assert verdict.preference == 1.0
    assert model.batches[0][0].decoding.constraint == Constraint(choices=("A", "B", "C"))
    assert pair(ScriptedLanguageModel(["A", "I think B"], None), "one", "two").failed


def test_thoughts_are_not_judged_and_the_reference_only_where_the_rubric_says_so() -> None:
    shown = row("<think>aha</think>one", "two")
    assert shown.fields["answers"] == ["one", "two"]
    assert shown.cluster == "group"
    assert "Because." not in Pairwise(TONE).prompt(shown, "one", "two")
    assert "[Right answer]\nBecause." in Pairwise(Rubric(show_reference=True)).prompt(shown, "one", "two")
    talk = Example("1", (Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "Why?")))
    assert "[user] Hi\n[assistant] Hello\n[user] Why?" in Pairwise(TONE).prompt(talk, "one", "two")


def test_a_judge_explains_first_where_the_rubric_says_so() -> None:
    model = ScriptedLanguageModel(["A is rude."], likes("polite"))
    scores = likes("polite")
    model = ScriptedLanguageModel(["It is rude."], lambda request: scores(Request(request.messages[:1])))
    assert pair(model, "rude", "polite", rubric=Rubric(explain_tokens=40)).outcome == "second"
    explained, decided = model.batches
    assert [request.decoding.max_tokens for request in explained] == [40, 40]
    assert [m.role for m in decided[0].messages] == ["user", "assistant", "user"]
    assert decided[0].messages[1].content == "It is rude."
    assert decided[0].messages[2].content == "Now decide. Reply with one of these alone: A, B, C."


# ----------------------------------------------------------------------------------------------------------- grades


def test_a_grade_is_expected_by_the_probabilities() -> None:
    rubric = Rubric(
        criteria=[Criterion(name="tone", weight=3), Criterion(name="length")], scale=Scale(lowest=1, highest=3)
    )

    def scores(request: Request) -> list[float]:
        by_tone = "criterion alone: tone" in request.messages[0].content
        return [math.log(p) for p in ((0.2, 0.3, 0.5) if by_tone else (0.6, 0.4, 1e-9))]

    model = ScriptedLanguageModel([], scores)
    (verdict,) = drive(Grading(rubric), model, [row("text")])
    assert [request.continuations for request in model.batches[0]] == [("1", "2", "3")] * 2
    assert verdict.scores["tone"] == pytest.approx(0.2 + 0.6 + 1.5)
    assert verdict.scores["length"] == pytest.approx(0.6 + 0.8, abs=1e-6)
    assert (verdict.scores["tone (likeliest)"], verdict.scores["length (likeliest)"]) == (3.0, 1.0)
    assert verdict.scores["grade"] == pytest.approx(((3 * 2.3 + 1.4) / 4 - 1) / 2, abs=1e-6)
    assert verdict.text == "3 1"


def test_unequal_sums_of_probability_do_not_matter() -> None:
    once, less = ([math.log(p) for p in (0.2, 0.3, 0.5)] for _ in range(2))
    less = [logp - 700 for logp in less]  # labels that are unlikely altogether
    choices = [read_choice(Completion("1", "stop", tuple(logps)), ("1", "2", "3")) for logps in (once, less)]
    assert all(isinstance(choice, Choice) and choice.label == "3" for choice in choices)
    assert choices[1].probabilities == pytest.approx((0.2, 0.3, 0.5))  # type: ignore[union-attr]


def test_a_blank_answer_has_the_worst_grade_without_being_read() -> None:
    model = ScriptedLanguageModel([])
    (verdict,) = drive(Grading(TONE), model, [row(" \n")])
    assert verdict.scores == {"grade": 0.0, "tone": 1.0, "tone (likeliest)": 1.0}
    assert model.batches == []


def test_a_judge_that_fails_gives_no_verdict_and_says_why() -> None:
    class Failing(ScriptedLanguageModel):
        def complete(self, requests: Sequence[Request]) -> list[Completion]:
            return [Completion("The prompt is too long.", "failed") for _ in requests]

    (grade,) = drive(Grading(TONE), Failing([]), [row("x")])
    (verdict,) = drive(Pairwise(TONE), Failing([]), [row("x", "y")])
    assert (grade.finish, grade.text, dict(grade.scores)) == ("failed", "The prompt is too long.", {})
    assert PairVerdict.of(verdict) == PairVerdict("1", "tie", failed=True)


def test_the_identity_holds_the_rubric_and_the_way_of_judging() -> None:
    identities = {Grading(TONE).identity, Grading(Rubric()).identity, Pairwise(TONE).identity}
    assert len(identities) == 3
    assert Grading(Rubric()).identity == Grading(Rubric.parse(Rubric().model_dump())).identity
