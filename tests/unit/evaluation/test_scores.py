"""Scores: alignment of answers, missing ones, JSON and frames."""

from __future__ import annotations

import json

import numpy as np
import pytest

from luthier.core.errors import ConfigError, DataError
from luthier.core.types import Answer, Example, user
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.statistics import Scores

EXAMPLES = [
    Example("a", user("?"), ("yes",), "one"),
    Example("b", user("?"), ("no",), "one"),
    Example("c", user("?"), ("yes",)),
    Example("d", user("?"), ("no",)),
]
ANSWERS = [Answer("c", "no", "stop"), Answer("a", "yes", "stop"), Answer("d", "no", "length")]
METRICS = [build_metric(n, labels=("yes", "no")) for n in ("exact_match", "macro_f1", "rouge1", "cut", "failed")]


def scores() -> Scores:
    return Scores.measure("model", EXAMPLES, ANSWERS, METRICS)


def test_answers_are_put_in_order_and_missing_ones_fail() -> None:
    own = scores()
    assert own.example_ids == ("a", "b", "c", "d")
    assert own.finishes == ("stop", "failed", "stop", "length")
    assert own.rows["exact_match"][:, 0].tolist() == [1, 0, 0, 1]
    assert own.value("exact_match") == 0.5
    assert own.value("failed") == 0.25
    assert own.value("cut") == 0.25
    assert own.failed == 1
    assert len(own) == 4
    # yes: 1 right, 1 missed. no: 1 right, 1 missed (b), 1 false alarm (c).
    assert own.value("macro_f1") == pytest.approx((2 / 3 + 2 / 4) / 2)
    assert own.details("macro_f1") == pytest.approx({"yes": 2 / 3, "no": 0.5})
    assert own.details("exact_match") == {}
    assert own.codes.tolist() == [0, 0, 1, 2]


def test_intervals_know_clusters() -> None:
    own = scores().interval("exact_match")
    assert (own.rows, own.clusters, own.value) == (4, 3, 0.5)
    assert own.method != "Wilson"
    wider = scores().interval("exact_match", 0.999)
    assert wider.level == 0.999
    assert wider.high >= own.high


def test_scores_survive_json() -> None:
    own = scores()
    again = Scores.from_json(json.loads(json.dumps(own.to_json())))
    assert again.to_json() == own.to_json()
    assert again.metrics == own.metrics
    assert again.interval("macro_f1") == own.interval("macro_f1")


def test_a_metric_of_ones_own_is_given_when_reading_back() -> None:
    class Length:
        name = "length"
        higher_is_better = False

        def measure(self, example: Example, answer: Answer) -> tuple[float, ...]:
            return (float(len(answer.text)),)

        def value(self, rows: np.ndarray) -> np.ndarray:
            return rows[..., 0].max(axis=-1)

    own = Scores.measure("model", EXAMPLES, ANSWERS, [Length()])
    stored = json.loads(json.dumps(own.to_json()))
    assert Scores.from_json(stored, [Length()]).value("length") == 3.0
    with pytest.raises(ConfigError, match="Unknown metric 'length'"):
        Scores.from_json(stored)


def test_the_frame_has_a_line_an_example() -> None:
    frame = scores().frame()
    assert list(frame.columns) == ["example_id", "cluster", "finish", *(m.name for m in METRICS)]
    assert frame["exact_match"].tolist() == [1, 0, 0, 1]
    assert frame["macro_f1"].tolist() == [1, 0, 0, 1]
    assert frame["finish"].tolist() == ["stop", "failed", "stop", "length"]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="no examples"):
        Scores.measure("m", [], [], METRICS)
    with pytest.raises(DataError, match="Two examples have the id 'a'"):
        Scores.measure("m", [EXAMPLES[0], EXAMPLES[0]], [], METRICS)
    with pytest.raises(DataError, match="two answers to the example 'c'"):
        Scores.measure("m", EXAMPLES, [ANSWERS[0], ANSWERS[0]], METRICS)
    with pytest.raises(DataError, match=r"2 answer\(s\) belong to no example, such as 'x'"):
        Scores.measure("m", EXAMPLES, [Answer("x", "", "stop"), Answer("y", "", "stop")], METRICS)
    with pytest.raises(ConfigError, match=r"Unknown metric 'rouge2'.*Did you mean 'rouge1'"):
        scores().value("rouge2")


def test_a_metric_must_give_numbers() -> None:
    class Broken:
        name = "broken"
        higher_is_better = True

        def measure(self, example: Example, answer: Answer) -> tuple[float, ...]:
            return (float("nan"),)

        def value(self, rows: np.ndarray) -> np.ndarray:
            return rows[..., 0].mean(axis=-1)

    with pytest.raises(DataError, match="broken must give one row of finite numbers"):
        Scores.measure("m", EXAMPLES, ANSWERS, [Broken()])
