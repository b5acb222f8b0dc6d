"""Exact match, classification and JSON metrics against numbers counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from luthier.core.errors import ConfigError, DataError
from luthier.core.types import Answer, Example, user
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.metrics.classification import MacroF1, normalize_label
from luthier.evaluation.metrics.json_answers import FieldAccuracy, JsonFieldF1, field_accuracies
from luthier.evaluation.statistics.resampling import values_of_each


def measure(metric: str, text: str, *references: str, **settings: object) -> tuple[float, ...]:
    return build_metric(metric, **settings).measure(Example("1", user("?"), references), Answer("1", text, "stop"))


@pytest.mark.parametrize(
    ("text", "reference", "right"),
    [
        ("42", "42", 1),
        (" 42\n", "42", 1),
        ("42.", "42", 0),
        ("Yes", "yes", 0),
        ("", "", 1),
        ("42.0", "42", 0),  # a bare number is text
        ('{"b": 2, "a": 1}', '{"a": 1, "b": 2}', 1),
        ('{"a":1.0,"b":2}', '{"a": 1, "b": 2}', 1),
        ('{"a": true, "b": 2}', '{"a": 1, "b": 2}', 0),
        ('{"a": "1", "b": 2}', '{"a": 1, "b": 2}', 0),
        ('{"a": 1}', '{"a": 1, "b": 2}', 0),
        ('{"a": 1, "b": 2, "c": null}', '{"a": 1, "b": 2}', 0),
        ("[1,2]", "[1, 2]", 1),
        ("[2,1]", "[1, 2]", 0),
        ('```json\n{"a": 1}\n```', '{"a": 1}', 0),
        ("[NaN]", "[NaN ]", 0),  # not JSON, so compared as text
    ],
)
def test_exact_match(text: str, reference: str, right: int) -> None:
    assert measure("exact_match", text, reference) == (right,)
    assert measure("exact_match", text, "something else", reference) == (right,)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Positive", "positive"),
        (" POSITIVE. ", "positive"),
        ("positive!?…", "positive"),
        ("positive . ", "positive"),
        ("好。", "好"),
        ("?", "?"),
        ("Straße", "strasse"),
        ("C++", "c++"),
    ],
)
def test_labels_are_read_without_case_space_and_final_punctuation(text: str, label: str) -> None:
    assert normalize_label(text) == label


def test_accuracy() -> None:
    assert measure("accuracy", "Yes.", "yes") == (1,)
    assert measure("accuracy", "yes, I think", "yes") == (0,)
    assert measure("accuracy", "no", "maybe", "No") == (1,)
    with pytest.raises(DataError, match=r"has the label 'yess', which is none of: yes, no. Did you mean 'yes'"):
        measure("accuracy", "yes", "yess", labels=("yes", "no"))
    with pytest.raises(ConfigError, match="Labels must differ"):
        build_metric("accuracy", labels=("yes", "Yes."))


def macro_f1(pairs: list[tuple[str, str]], labels: tuple[str, ...]) -> tuple[float, dict[str, float]]:
    metric = MacroF1(labels)
    rows = np.array([metric.measure(Example("1", user("?"), (r,)), Answer("1", t, "stop")) for r, t in pairs])
    return float(metric.value(rows)), metric.details(rows)


def test_macro_f1_by_hand() -> None:
    # a: 2 right, 1 missed, 1 false alarm: F1 4/6. b: 1 right, 1 missed, 1 false alarm: 2/4. c: 1 missed: 0.
    pairs = [("a", "a"), ("a", "A."), ("a", "b"), ("b", "b"), ("b", "a"), ("c", "no label at all")]
    value, details = macro_f1(pairs, ("a", "b", "c"))
    assert details == pytest.approx({"a": 2 / 3, "b": 0.5, "c": 0.0})
    assert value == pytest.approx((2 / 3 + 0.5 + 0) / 3)


def test_a_label_that_never_occurs_is_left_out_of_macro_f1() -> None:
    value, details = macro_f1([("a", "a"), ("b", "b")], ("a", "b", "c"))
    assert value == 1.0
    assert details == {"a": 1.0, "b": 1.0}


def test_macro_f1_takes_any_of_several_labels() -> None:
    metric = MacroF1(("a", "b"))
    either = Example("1", user("?"), ("a", "b"))
    assert metric.measure(either, Answer("1", "b", "stop")) == (0, 0, 0, 1, 0, 0)
    assert metric.measure(either, Answer("1", "x", "stop")) == (0, 0, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ('{"a": 1}', 1),
        (" [1, 2]\n", 1),
        ("12", 1),
        ("null", 1),
        ("", 0),
        ("{'a': 1}", 0),
        ('{"a": 1,}', 0),
        ('{"a": NaN}', 0),
        ("-Infinity", 0),
        ('```json\n{"a": 1}\n```', 0),
        ('Here you are: {"a": 1}', 0),
        ("[" * 200_000, 0),
    ],
)
def test_json_validity(text: str, valid: int) -> None:
    assert measure("json_validity", text) == (valid,)


@pytest.mark.parametrize(
    ("text", "reference", "counts"),
    [
        ('{"a": 1, "b": 2}', '{"a": 1, "b": 2}', (2, 0, 0)),
        ('{"a": 1, "b": 3}', '{"a": 1, "b": 2}', (1, 1, 1)),
        ('{"a": 1}', '{"a": 1, "b": 2}', (1, 0, 1)),
        ('{"a": 1, "b": 2, "c": 3}', '{"a": 1, "b": 2}', (2, 1, 0)),
        ("not json", '{"a": 1, "b": 2}', (0, 0, 2)),
        ('{"x": {"y": [1, 2]}}', '{"x": {"y": [1, 3]}}', (1, 1, 1)),
        ('{"x": [2, 1]}', '{"x": [1, 2]}', (0, 2, 2)),
        ('{"x": []}', '{"x": []}', (1, 0, 0)),
        ('{"x": []}', '{"x": {}}', (0, 1, 1)),
        ('{"x.y": 1}', '{"x": {"y": 1}}', (0, 1, 1)),
        ('{"a": null}', '{"a": null}', (1, 0, 0)),
        ('{"a": true}', '{"a": 1}', (0, 1, 1)),
        ("{}", "{}", (1, 0, 0)),
    ],
)
def test_json_fields_counted_by_hand(text: str, reference: str, counts: tuple[int, int, int]) -> None:
    assert measure("json_field_f1", text, reference) == counts


def test_json_field_f1_is_micro_and_takes_the_best_reference() -> None:
    metric = JsonFieldF1()
    rows = np.array([(1.0, 1.0, 1.0), (3.0, 0.0, 1.0)])
    assert float(metric.value(rows)) == pytest.approx(2 * 4 / (2 * 4 + 1 + 2))
    assert metric.details(rows) == pytest.approx({"precision": 4 / 5, "recall": 4 / 6})
    assert measure("json_field_f1", '{"a": 1}', '{"a": 2, "b": 3}', '{"a": 1}') == (1, 0, 0)
    with pytest.raises(DataError, match="references that are JSON; that of example '1' is not: 'plain text'"):
        measure("json_field_f1", "{}", "plain text")


def test_accuracy_field_by_field() -> None:
    reference = '{"name": "Ada", "items": [{"price": 1}, {"price": 2}]}'
    example = Example("1", user("?"), (reference,))
    answers = ('{"name": "Ada", "items": [{"price": 1}, {"price": 9}], "extra": 0}', "no json")
    found = field_accuracies([(example, Answer("1", text, "stop")) for text in answers])
    assert found == {"name": FieldAccuracy(1, 2), "items[].price": FieldAccuracy(1, 4)}
    assert found["items[].price"].share == 0.25


# ------------------------------------------------------------------------------------------------ correlation


def correlation(pairs: list[tuple[str, str]], labels: tuple[str, ...] = ("yes", "no")) -> float:
    rows = [measure("mcc", found, right, labels=labels) for right, found in pairs]
    return float(build_metric("mcc", labels=labels).value(np.array(rows)))


def test_correlation_of_two_labels_is_phi() -> None:
    pairs = [("yes", "yes")] * 5 + [("yes", "no")] * 2 + [("no", "yes")] * 1 + [("no", "no")] * 4
    assert correlation(pairs) == pytest.approx((5 * 4 - 1 * 2) / (6 * 7 * 5 * 6) ** 0.5)
    assert correlation([("yes", "no"), ("no", "yes")]) == -1.0
    assert correlation([("yes", "yes"), ("no", "yes")]) == 0.0  # one answer to everything tells nothing
    assert correlation([("yes", "yes"), ("yes", "yes")]) == 0.0  # neither do rows with one label


def test_answers_that_are_no_label_are_one_more_that_is_never_right() -> None:
    # t = (2, 1), p = (1, 1) and 1 without a label: (2 * 3 - (2 + 1)) / sqrt((9 - 5) (9 - 1 - 1 - 1)).
    assert correlation([("yes", "Yes."), ("yes", "perhaps"), ("no", "no")]) == pytest.approx(3 / 24**0.5)
    assert measure("mcc", "no", "yes", "no", labels=("yes", "no")) == (1, 0, 1, 0, 1)  # any reference will do


def test_a_row_alone_is_right_or_wrong_by_correlation() -> None:
    rows = np.array(
        [measure("mcc", "yes", "yes", labels=("yes", "no")), measure("mcc", "no", "yes", labels=("yes", "no"))]
    )
    assert values_of_each(build_metric("mcc", labels=("yes", "no")), rows).tolist() == [1.0, 0.0]


# ------------------------------------------------------------------------------------------------ calibration


def confident(metric: str, confidence: float, text: str = "yes", **settings: object) -> tuple[float, ...]:
    answer = Answer("r3", text, "stop", {"confidence": confidence})
    return build_metric(metric, **settings).measure(Example("r3", user("?"), ("yes",)), answer)


def test_calibration_error_by_hand() -> None:
    # Bin (0.8, 0.9]: two of three right at 0.9, 0.85, 0.83; bin (0.2, 0.3]: one wrong at 0.3.
    rows = np.array(
        [confident("ece", 0.9), confident("ece", 0.85), confident("ece", 0.83, "no"), confident("ece", 0.3, "no")]
    )
    expected = 3 / 4 * abs(2 / 3 - (0.9 + 0.85 + 0.83) / 3) + 1 / 4 * 0.3
    assert float(build_metric("ece").value(rows)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("confidence", "place"), [(0.0, 0), (0.1, 0), (0.11, 1), (0.3, 2), (0.7, 6), (0.91, 9), (1.0, 9)]
)
def test_a_confidence_on_an_edge_belongs_below_it(confidence: float, place: int) -> None:
    assert np.flatnonzero(confident("ece", confidence, "no" if confidence else "yes")[:10]).tolist() == [place]


def test_brier_score_by_hand() -> None:
    assert confident("brier", 0.8) == pytest.approx((0.04,))
    assert confident("brier", 0.8, "no") == pytest.approx((0.64,))
    assert confident("brier", 0.8, "YES.") == pytest.approx((0.64,))
    assert confident("brier", 0.8, "YES.", as_labels=True) == pytest.approx((0.04,))


def test_the_probability_of_the_label_that_was_answered_is_a_confidence() -> None:
    answer = Answer("1", "Yes.", "stop", {"yes": 0.7, "no": 0.3})
    example = Example("1", user("?"), ("yes",))
    assert build_metric("brier", as_labels=True).measure(example, answer) == pytest.approx((0.09,))


@pytest.mark.parametrize("name", ["ece", "brier"])
def test_answers_without_a_confidence_are_refused(name: str) -> None:
    metric, example = build_metric(name), Example("r3", user("?"), ("yes",))
    with pytest.raises(DataError, match=rf"^{name} needs .* to example 'r3' has none: it has no scores\. .*0\.83"):
        metric.measure(example, Answer("r3", "yes", "stop"))
    with pytest.raises(DataError, match="it has scores of: demonstrations"):
        metric.measure(example, Answer("r3", "yes", "stop", {"demonstrations": 4.0}))
    for wrong in (83.0, -0.1, float("nan")):
        with pytest.raises(
            DataError, match=r"from 0 to 1; the answer to example 'r3' has .* Divide percentages by 100"
        ):
            confident(name, wrong)
