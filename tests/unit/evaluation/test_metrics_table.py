"""Every metric of the table keeps the promises that the statistics rely on."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from luthier.core.errors import ConfigError, DataError
from luthier.core.types import Answer, Example, Finish, user
from luthier.evaluation.metrics import METRICS, build_metric, identity_of, settings_of
from luthier.evaluation.metrics.fitting import fitting_metrics
from luthier.evaluation.statistics.resampling import values_of_each

LABELS = ("yes", "no")
STATUS = ("empty", "cut", "failed")
NAMES = [name for name in METRICS if not getattr(METRICS.get(name), "of_text", False)]
"""Metrics of answers; those of text are in `test_metrics_of_text.py`."""


def example(reference: str = "yes") -> Example:
    return Example("1", user("?"), (reference,))


def sure(text: str, finish: Finish = "stop", name: str = "1") -> Answer:
    return Answer(name, text, finish, {"confidence": 1.0, "grade": 1.0})


def good_pair(name: str) -> tuple[Example, Answer]:
    text = '{"a": 1, "b": [2]}' if name.startswith("json") else "yes"
    text = "one two three four" if name.startswith(("rouge", "bleu", "chrf")) else text
    return example(text), sure(text)


def good_pairs(name: str) -> list[tuple[Example, Answer]]:
    """Right answers enough for the best score: a correlation needs two labels."""
    other = (Example("2", user("?"), ("no",)), sure("no", name="2"))
    return [good_pair(name), other] if name == "mcc" else [good_pair(name)]


def some_rows(name: str) -> np.ndarray:
    """Six rows of a metric, of answers that are right, wrong, empty and failed."""
    metric = build_metric(name, labels=LABELS)
    right, answer = good_pair(name)
    other = Example("2", user("?"), ("no",)) if name in ("accuracy", "macro_f1", "mcc") else right
    last = "two one" if name != "bleu" else "one two three nine five"  # no four words match: smoothed where alone
    texts = ((right, answer.text), (right, "no"), (other, "no"), (other, ""), (right, answer.text), (right, last))
    return np.array([metric.measure(e, sure(text, name=e.id)) for e, text in texts])


def test_the_table_is_whole() -> None:
    assert len(NAMES) >= 17
    for name in NAMES:
        assert build_metric(name, labels=LABELS).name == name
        assert METRICS.summary(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_right_answer_scores_best_and_a_failed_one_worst(name: str) -> None:
    metric = build_metric(name, labels=LABELS)
    pairs = good_pairs(name)
    best, worst = (1.0, 0.0) if metric.higher_is_better else (0.0, 1.0)
    assert metric.value(np.array([metric.measure(right, answer) for right, answer in pairs])) == best
    if name != "cut":
        # The text is right all the same: only the finish says that it failed. It needs no confidence.
        failed = [metric.measure(right, Answer(answer.example_id, answer.text, "failed")) for right, answer in pairs]
        assert metric.value(np.array(failed)) == worst
        assert values_of_each(metric, np.array(failed)).tolist() == [worst] * len(pairs)


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
    other |= {"as_labels": True, "judge": "another"}
    for field in dataclasses.fields(metric):  # type: ignore[arg-type]
        changed = dataclasses.replace(metric, **{field.name: other[field.name]})  # type: ignore[type-var]
        assert identity_of(changed) != identity_of(metric)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in (*STATUS, "json_validity", "grade")])
def test_a_row_without_a_right_answer_stops_the_scoring(name: str) -> None:
    metric = build_metric(name, labels=LABELS)
    unlabelled = Example("row 7", user("?"), (), line=9)
    with pytest.raises(DataError, match=rf"^{name} needs a right answer, and example 'row 7' \(line 9\) has none"):
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
    for name in ("macro_f1", "mcc"):
        with pytest.raises(
            ConfigError, match=rf"{name} needs the labels: .* --kind says it where it was guessed wrong"
        ):
            build_metric(name)


def test_metrics_get_the_settings_that_fit_the_rows() -> None:
    accuracy, mcc, ece = fitting_metrics(["accuracy", "mcc", "ece"], ["no", "yes"], ["yes", "no"])
    row, right = example("yes"), sure("Yes.")  # the label, in another spelling
    assert accuracy.measure(row, right) == (1.0,)
    assert settings_of(mcc) == {"labels": ["no", "yes"]}
    assert ece.value(np.array([ece.measure(row, right)])) == 0.0
    (as_texts,) = fitting_metrics(["ece"], [], ["yes"])
    assert as_texts.value(np.array([as_texts.measure(row, right)])) == 1.0
    assert settings_of(fitting_metrics(["bleu"], [], ["今天天气很好"])[0])["tokenize"] == "zh"
    with pytest.raises(ConfigError, match="mcc needs the labels"):
        fitting_metrics(["mcc"], [], ["yes"])
