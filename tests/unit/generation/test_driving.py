"""The driver pools the requests of all examples, round by round."""

from __future__ import annotations

from collections.abc import Generator

from luthier.core.types import Answer, Completion, Example, Request, Usage, user
from luthier.generation.drive import drive
from luthier.testing import ScriptedLanguageModel

EXAMPLES = [Example(f"e{i}", user(f"question {i}"), (str(i),)) for i in range(5)]


class Rounds:
    """Asks, then asks again with the answer; even examples stop after the first round."""

    identity = "rounds"

    def steps(self, example: Example) -> Generator[list[Request], list[Completion], Answer]:
        (first,) = yield [Request(example.messages)]
        if int(example.reference) % 2 == 0:
            return Answer(example.id, first.text, first.finish)
        second, third = yield [Request(user(first.text)), Request(user("again"))]
        return Answer(example.id, f"{second.text}|{third.text}", "stop")


def test_a_round_of_all_examples_is_one_call() -> None:
    model = ScriptedLanguageModel(lambda request: f"<{request.messages[-1].content}>")
    answers = list(drive(Rounds(), model, EXAMPLES))
    assert [len(batch) for batch in model.batches] == [5, 4]
    assert [a.example_id for a in answers] == ["e0", "e1", "e2", "e3", "e4"]
    assert answers[0].text == "<question 0>"
    assert answers[3].text == "<<question 3>>|<again>"
    assert [a.usage.calls for a in answers] == [1, 3, 1, 3, 1]
    assert answers[3].usage.completion_tokens == 3


def test_many_examples_of_two_rounds_are_two_calls() -> None:
    class Two(Rounds):
        def steps(self, example: Example) -> Generator[list[Request], list[Completion], Answer]:
            (first,) = yield [Request(example.messages)]
            (second,) = yield [Request(user(first.text))]
            return Answer(example.id, second.text, second.finish)

    model = ScriptedLanguageModel(["a"])
    many = [Example(f"e{i}", user("x")) for i in range(300)]
    assert len(list(drive(Two(), model, many))) == 300
    assert [len(batch) for batch in model.batches] == [300, 300]


def test_a_strategy_may_answer_without_asking_and_a_failure_is_an_answer() -> None:
    class Careful:
        identity = "careful"

        def steps(self, example: Example) -> Generator[list[Request], list[Completion], Answer]:
            if example.id == "e0":
                return Answer(example.id, "known", "stop")
            (completion,) = yield [Request(example.messages)]
            return Answer(example.id, completion.text, completion.finish)

    class Failing:
        identity = "failing"

        def complete(self, requests: list[Request]) -> list[Completion]:
            return [Completion("too long", "failed", usage=Usage(calls=1)) for _ in requests]

    answers = list(drive(Careful(), Failing(), EXAMPLES[:2]))  # type: ignore[arg-type]
    assert [(a.text, a.finish, a.usage.calls) for a in answers] == [("known", "stop", 0), ("too long", "failed", 1)]
    assert list(drive(Careful(), Failing(), [])) == []  # type: ignore[arg-type]
