"""Every metric of the table keeps the promises that the statistics rely on."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from luthier.core.errors import ConfigError, DataError
from luthier.core.types import Answer, Example, user
from luthier.evaluation.metrics import METRICS, build_metric, identity_of, settings_of

LABELS = ("yes", "no")
STATUS = ("empty", "cut", "failed")
NAMES = list(METRICS)


def example(reference: str = "yes") -> Example:
    return Example("1", user("?"), (reference,))


def good_pair(name: str) -> tuple[Example, Answer]:
    text = '{"a": 1, "b": [2]}' if name.startswith("json") else "yes"
    text = "one two three four" if name.startswith(("rouge", "bleu", "chrf")) else text
    return example(text), Answer("1", text, "stop")


def some_rows(name: str) -> np.ndarray:
    """Six rows of a metric, of answers that are right, wrong, empty and failed."""
    metric = build_metric(name, labels=LABELS)
    right, answer = good_pair(name)
    other = Example("2", user("?"), ("no",)) if name in ("accuracy", "macro_f1") else right
    last = "two one" if name != "bleu" else "one two three nine five"  # no four words match: smoothed where alone
    texts = ((right, answer.text), (right, "no"), (other, "no"), (other, ""), (right, answer.text), (right, last))
    return np.array([metric.measure(e, Answer(e.id, text, "stop")) for e, text in texts])


def test_the_table_is_whole() -> None:
    assert len(NAMES) >= 14
    for name in NAMES:
        assert build_metric(name, labels=LABELS).name == name
        assert METRICS.summary(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_right_answer_scores_best_and_a_failed_one_worst(name: str) -> None:
    metric = build_metric(name, labels=LABELS)
    right, answer = good_pair(name)
    best, worst = (1.0, 0.0) if metric.higher_is_better else (0.0, 1.0)
    assert metric.value(np.array([metric.measure(right, answer)])) == best
    if name != "cut":
        # The text is right all the same: only the finish says that it failed.
        failed = Answer("1", answer.text, "failed")
        assert metric.value(np.array([metric.measure(right, failed)])) == worst


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_always_as_long_and_values_stay_in_bounds(name: str) -> None:
    metric = build_metric(name, labels=LABELS)
    rows = some_rows(name)
    assert rows.ndim == 2
    low, high = metric.bounds  # type: ignore[attr-defined]
    assert low <= metric.value(rows) <= high


@pytest.mark.parametrize("name", NAMES)
def test_values_are_vectorised_over_leading_axes(name: str) -> None:
    metric = build_metric(name, labels=LABELS)
    rows = some_rows(name)
    stacked = np.stack([rows, rows[::-1], rows[[0, 0, 1, 2, 3, 4]]])[None]
    values = np.asarray(metric.value(stacked))
    assert values.shape == (1, 3)
    for i in range(3):
        assert values[0, i] == pytest.approx(float(metric.value(stacked[0, i])), abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_declared_reduction_is_true(name: str) -> None:
    """The statistics replace rows by one, their mean or sum: only right if the metric cannot tell the difference."""
    metric = build_metric(name, labels=LABELS)
    for rows in (some_rows(name), some_rows(name)[1:4], some_rows(name)[5:].repeat(3, axis=0)):
        whole = rows.sum(axis=0, keepdims=True)
        one = whole if metric.reduction == "sums" else whole / len(rows)  # type: ignore[attr-defined]
        assert float(metric.value(one)) == pytest.approx(float(metric.value(rows)), abs=1e-12)
    if metric.reduction == "mean":  # type: ignore[attr-defined]
        assert float(metric.value(rows)) == pytest.approx(rows[:, 0].mean(), abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_is_rebuilt_from_its_settings(name: str) -> None:
    metric = build_metric(name, labels=LABELS, use_stemmer=False)
    again = build_metric(name, **json.loads(json.dumps(settings_of(metric))))
    assert again == metric
    assert identity_of(again) == identity_of(metric)


@pytest.mark.parametrize("name", NAMES)
def test_each_setting_is_in_the_identity(name: str) -> None:
    metric = build_metric(name, labels=LABELS)
    other = {"labels": ("yes", "no", "maybe"), "use_stemmer": False, "tokenize": "char", "sacrebleu": "0.1"}
    for field in dataclasses.fields(metric):  # type: ignore[arg-type]
        changed = dataclasses.replace(metric, **{field.name: other[field.name]})  # type: ignore[type-var]
        assert identity_of(changed) != identity_of(metric)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in (*STATUS, "json_validity")])
def test_a_row_without_a_right_answer_stops_the_scoring(name: str) -> None:
    metric = build_metric(name, labels=LABELS)
    unlabelled = Example("row 7", user("?"), (), line=9)
    with pytest.raises(DataError, match=r"needs a right answer, and example 'row 7' \(line 9\) has none"):
        metric.measure(unlabelled, Answer("row 7", "yes", "stop"))


@pytest.mark.parametrize(
    ("finish", "text", "expected"),
    [
        ("stop", "yes", (0, 0, 0)),
        ("stop", " \n", (1, 0, 0)),
        ("length", "yes it", (0, 1, 0)),
        ("length", "", (1, 1, 0)),
        ("refused", "I cannot", (0, 0, 0)),
        ("failed", "", (1, 0, 1)),
        ("failed", "half an ans", (1, 0, 1)),
    ],
)
def test_how_answers_ended(finish: str, text: str, expected: tuple[int, int, int]) -> None:
    answer = Answer("1", text, finish)  # type: ignore[arg-type]
    assert tuple(build_metric(name).measure(example(), answer)[0] for name in STATUS) == expected


def test_unknown_metrics_and_settings_name_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"Unknown metric 'rougel'.*Did you mean 'rougeL'"):
        build_metric("rougel")
    with pytest.raises(ConfigError, match=r"No metric has a setting 'use_stemer'.*Did you mean 'use_stemmer'"):
        build_metric("exact_match", use_stemer=False)
    with pytest.raises(ConfigError, match="macro_f1 needs the labels"):
        build_metric("macro_f1")
