"""Why answers are wrong, on answers sorted by hand; and rows whose labels disagree."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from luthier.core.types import Answer, Example, Finish, user
from luthier.data.shipped import shipped_data
from luthier.data.sources import read_examples
from luthier.data.tasks import Task, guess_task
from luthier.evaluation.failures import (
    KINDS,
    Failures,
    conflict_sentence,
    label_conflicts,
    sort_failures,
)
from luthier.evaluation.metrics import build_metric

SCHEMA = {
    "type": "object",
    "properties": {"product": {"type": "string"}, "urgent": {"type": "boolean"}, "note": {"type": "string"}},
    "required": ["product", "urgent"],
    "additionalProperties": False,
}


def task(kind: Any, **values: Any) -> Task:
    metric = {"classification": "accuracy", "extraction": "exact_match"}.get(kind, "rougeL")
    return Task(kind, "as told", metric, (), 500, **values)


EXTRACTION = task("extraction", schema=SCHEMA)
LABELS = task("classification", labels=("billing", "shipping"))


def rows(*references: str) -> list[Example]:
    return [Example(f"r{n}", user(f"question {n}"), (text,), line=n + 2) for n, text in enumerate(references)]


def sorted_by_metric(examples: list[Example], given: list[tuple[str, Finish]], about: Task) -> Failures:
    """Sort with the scores that the task's own metric gives."""
    answers = [Answer(e.id, text, finish) for e, (text, finish) in zip(examples, given, strict=True)]
    metric = build_metric(about.metric)
    scores = [metric.measure(e, a)[0] for e, a in zip(examples, answers, strict=True)]
    return sort_failures(examples, answers, scores, about)


RIGHT = '{"product": "lamp", "urgent": true}'


@pytest.mark.parametrize(
    ("text", "finish", "kind", "detail"),
    [
        ("The model takes no such prompt.", "failed", "failed", "The model takes no such prompt."),
        (" \n", "stop", "empty", ""),
        ('{"product": "lamp", "urg', "length", "cut", ""),
        ('{"product": "lamp" "urgent": true}', "stop", "format", "no JSON"),
        ("Sure! Here is what I found in your", "length", "format", "no JSON"),
        ("```json\n" + RIGHT + "\n```", "stop", "format", "no JSON"),
        (f"[{RIGHT}]", "stop", "format", "JSON, but no object"),
        ('{"product": "lamp"}', "stop", "format", "missing: urgent"),
        ('{"product": "lamp", "urgent": true, "mood": 1}', "stop", "format", "surplus: mood"),
        ('{"Product": "lamp"}', "stop", "format", "missing: product, urgent; surplus: Product"),
        ('{"product": "lamp", "urgent": "true"}', "stop", "wrong value", "urgent"),
        ('{"product": "Lamp", "urgent": false}', "stop", "wrong value", "product, urgent"),
        ('{"product": "lamp", "urgent": true, "note": "x"}', "stop", "wrong value", "note"),
        ('{"product": "kettle", "urgent": true}', "length", "wrong value", "product"),
    ],
)
def test_a_json_answer(text: str, finish: Finish, kind: str, detail: str) -> None:
    (failure,) = sorted_by_metric(rows(RIGHT), [(text, finish)], EXTRACTION).failures
    assert (failure.example_id, failure.line, failure.kind, failure.detail) == ("r0", 2, kind, detail)
    assert failure.fields == (tuple(detail.split(", ")) if kind == "wrong value" else ())


@pytest.mark.parametrize(
    ("text", "finish", "kind", "detail"),
    [
        ("Shipping.", "stop", "wrong value", ""),
        ("It is billing", "stop", "format", "none of the labels"),
        ("ship", "length", "cut", ""),
        ("billing, because the invoice", "length", "format", "none of the labels"),
        ("", "length", "empty", ""),
    ],
)
def test_a_label(text: str, finish: Finish, kind: str, detail: str) -> None:
    (failure,) = sorted_by_metric(rows("billing"), [(text, finish)], LABELS).failures
    assert (failure.kind, failure.detail, failure.fields) == (kind, detail, ())


def test_right_answers_are_not_among_them() -> None:
    given: list[tuple[str, Finish]] = [('{"urgent":true,"product":"lamp"}', "stop"), (RIGHT, "length")]
    found = sorted_by_metric(rows(RIGHT, RIGHT), given, EXTRACTION)
    assert found.failures == ()
    assert found.sentence() == "none of 2 wrong"
    assert sorted_by_metric(rows("billing"), [(" Billing. ", "stop")], LABELS).failures == ()


def test_counts_by_kind_and_by_field() -> None:
    wrong = [{"product": p, "urgent": u} for p, u in (("kettle", True), ("lamp", False), ("iron", True))]
    given: list[tuple[str, Finish]] = [
        ("I think", "stop"), *((json.dumps(value), "stop") for value in wrong), (RIGHT, "stop"), ("", "stop")
    ]  # fmt: skip
    found = sorted_by_metric(rows(*[RIGHT] * 6), given, EXTRACTION)
    assert found.counts == {"wrong value": 3, "empty": 1, "format": 1}
    assert list(found.counts) == ["wrong value", "empty", "format"]  # ties in the order of KINDS
    assert found.fields == {"product": 2, "urgent": 1}
    assert found.sentence() == "wrong value 3 of 6 (product 2, urgent 1); empty 1; format 1"
    assert set(found.counts) <= set(KINDS)
    assert Failures.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_sentence_names_three_fields_and_says_that_there_are_more() -> None:
    reference = {"a": 1, "b": 2, "c": [{"d": 3}, {"d": 4}], "e": {"f": 5}}
    answer = {"a": 0, "b": 0, "c": [{"d": 0}, {"d": 0}], "e": {"f": 0}}
    found = sorted_by_metric(rows(json.dumps(reference)), [(json.dumps(answer), "stop")], task("extraction"))
    assert found.failures[0].fields == ("a", "b", "c[].d", "e.f")
    assert found.sentence() == "wrong value 1 of 1 (a 1, b 1, c[].d 1, …)"


def test_of_several_references_the_nearest_one_counts() -> None:
    references = ('{"product": "iron", "urgent": false}', RIGHT)
    example = Example("r", user("?"), references)
    answer = Answer("r", '{"product": "lamp", "urgent": false, "note": ""}', "stop")
    (failure,) = sort_failures([example], [answer], [0.0], EXTRACTION).failures
    assert failure.fields == ("product", "note")  # two fields from the first as from the second: the first


def test_free_text_is_never_wrong_only_low() -> None:
    """Of the scores 0, 0.1, 0.3, 0.4 and 0.5 the median is 0.3; 0.15 is half of it."""
    given: list[tuple[str, Finish]] = [("a", "stop")] * 5 + [("b", "length"), ("", "stop"), ("why", "failed")]
    examples = rows(*["x"] * 8)
    answers = [Answer(e.id, text, finish) for e, (text, finish) in zip(examples, given, strict=True)]
    scores = [0.0, 0.4, 0.1, 0.5, 0.3, 0.9, 0.0, 0.0]
    found = sort_failures(examples, answers, scores, task("summarization"))
    assert [(f.example_id, f.kind) for f in found.failures] == [
        ("r0", "low score"), ("r2", "low score"), ("r5", "cut"), ("r6", "empty"), ("r7", "failed")
    ]  # fmt: skip
    assert found.failures[-1].detail == "why"
    assert found.low_score == pytest.approx(0.15)
    assert found.sentence() == "low score 2 of 8 (0, or below 0.15: half of the median); failed 1; empty 1; cut 1"
    alike = sort_failures(examples[:3], answers[:3], [0.3, 0.2, 0.2], task("chat"))
    assert alike.sentence() == "none of 3 stands out"
    nothing = sort_failures(examples[:3], answers[:3], [0.0, 0.0, 0.0], task("chat"))
    assert nothing.sentence() == "low score 3 of 3"


# ----------------------------------------------------------------------------------------------------------- labels

TEXT = "the parcel came late and the box was torn open on one side, what do you want to do about it, asks {}"


def labelled(*given: tuple[str, Any], cluster: str | None = None) -> list[Example]:
    return [
        Example(f"r{n}", user(text), (value if isinstance(value, str) else json.dumps(value),), cluster, line=10 * n)
        for n, (text, value) in enumerate(given, start=1)
    ]


def test_labels_that_disagree_on_nearly_the_same_text() -> None:
    found = labelled(
        (TEXT.format("Ann"), "shipping"),
        ("where can I see last month's invoice?", "billing"),
        (TEXT.format("Ann!"), "Billing"),
        (TEXT.format("ann"), "shipping."),
    )
    assert label_conflicts(found, LABELS) == {"answer": [(10, 30, 40)]}
    assert label_conflicts(found[:2] + found[3:], LABELS) == {}
    assert conflict_sentence({"answer": [(10, 30, 40)]}) == "Your labels disagree on lines 10, 30, 40 (answer)."


def test_fields_that_disagree_are_told_one_by_one() -> None:
    found = labelled(
        (TEXT.format("Ann"), {"urgency": "high", "refund": True}),
        (TEXT.format("Ben"), {"urgency": "low", "refund": True}),
        (
            "my kettle whistles as it should, and I am writing to say thank you for it",
            {"urgency": "low", "refund": True},
        ),
        ("my kettle whistles as it should, and I am writing to say thank you for it!", {"urgency": "low"}),
    )
    conflicts = label_conflicts(found, EXTRACTION)
    assert conflicts == {"urgency": [(10, 20)], "refund": [(30, 40)]}
    assert conflict_sentence(conflicts) == "Your labels disagree on lines 10, 20 (urgency), and 30, 40 (refund)."


def test_a_value_that_is_copied_from_its_own_text_is_no_conflict() -> None:
    one, other = f"{TEXT.format('Ann')}, order LK 58877, my lamp", f"{TEXT.format('Ann')}, order LK 12345, my vase"
    assert label_conflicts(
        labelled(
            (one, {"order": "LK-58877", "product": "lamp"}),
            (other, {"order": "LK-12345", "product": "vase"}),
        ),
        EXTRACTION,
    ) == {}  # fmt: skip
    assert label_conflicts(labelled((one, {"order": "LK-58877"}), (other, {"order": None})), EXTRACTION) == {}
    # Nothing in the texts explains that only one of them is urgent.
    assert label_conflicts(labelled((one, {"urgent": True}), (other, {"urgent": False})), EXTRACTION) == {
        "urgent": [(10, 20)]
    }


def test_rows_of_one_cluster_may_differ() -> None:
    """A customer's rows belong together, but they do not say the same."""
    apart = labelled(("the parcel is late again", "shipping"), ("an invoice is missing", "billing"), cluster="c")
    assert label_conflicts(apart, LABELS) == {}


def test_free_text_has_no_conflicts() -> None:
    texts = labelled((TEXT.format("Ann"), "one summary"), (TEXT.format("Ann"), "another"))
    assert label_conflicts(texts, task("summarization")) == {}
    assert conflict_sentence({}) == ""


def test_the_shipped_tickets_do_not_contradict_each_other_until_one_is_labelled_otherwise() -> None:
    examples = list(read_examples(str(shipped_data("support_tickets") / "tickets.csv")).examples)
    about = guess_task(examples)
    assert label_conflicts(examples, about) == {}
    twin = replace(examples[0], line=999, references=(examples[0].reference.replace("normal", "high"),))
    assert label_conflicts([*examples, twin], about) == {"urgency": [(examples[0].line, 999)]}
