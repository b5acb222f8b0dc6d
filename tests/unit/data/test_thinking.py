from __future__ import annotations

import pytest

from luthier.core.types import Answer, Example, user
from luthier.data.thinking import length_of_thoughts, without_thoughts
from luthier.evaluation.failures import sort_failures
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.statistics import Scores


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>1 + 1\n= 2</think>\n\n2", "2"),
        ("\n<think></think>2", "2"),
        ("<think>on and on", ""),
        ("2 <think>late</think>", "2 <think>late</think>"),
        ("no thoughts", "no thoughts"),
        ("<think>a</think>b</think>c", "b</think>c"),
    ],
)
def test_the_answer_is_what_follows_the_thoughts(text: str, answer: str) -> None:
    assert without_thoughts(text) == answer
    assert length_of_thoughts(text) == len(text) - len(answer)


def test_thoughts_are_not_scored_on_either_side() -> None:
    example = Example("e", user("1 + 1?"), ("<think>easy</think>2",))
    said = Answer("e", "<think>one and one</think>\n2", "stop")
    scores = Scores.measure("m", [example], [said], [build_metric("exact_match")])
    assert scores.value("exact_match") == 1.0


def test_labels_behind_thoughts_are_labels() -> None:
    from luthier.data import guess_task

    rows = [Example(str(n), user(f"row {n}"), (f"<think>because {n}</think>{'ab'[n % 2]}",)) for n in range(40)]
    task = guess_task(rows)
    assert (task.kind, sorted(task.labels)) == ("classification", ["a", "b"])


def test_an_answer_of_thoughts_only_is_empty() -> None:
    from luthier.data.tasks import Task

    example = Example("e", user("Which?"), ("ham",))
    task = Task("classification", "", "accuracy", (), 500, (2, 4), labels=("ham", "egg"))
    failures = sort_failures([example], [Answer("e", "<think>ham or egg", "length")], [0.0], task)
    assert [failure.kind for failure in failures.failures] == ["empty"]
