"""Perplexities by hand: sums over the whole text, not means of documents."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from luthier.core.errors import DataError
from luthier.core.types import Answer, Example
from luthier.evaluation.metrics import METRICS, build_metric, settings_of
from luthier.evaluation.reading import TEXT_METRICS, text_metrics
from luthier.evaluation.statistics import Scores

# Two documents: 8 nats over 4 tokens, 2 words, 10 bytes; 4 nats over 4 tokens, 4 words, 14 bytes. 12 nats in all.
READ = [
    {"nats": 8.0, "tokens": 4.0, "hits": 1.0, "words": 2.0, "bytes": 10.0},
    {"nats": 4.0, "tokens": 4.0, "hits": 3.0, "words": 4.0, "bytes": 14.0},
]
BY_HAND = {
    "token_perplexity": math.exp(12 / 8),
    "word_perplexity": math.exp(12 / 6),
    "byte_perplexity": math.exp(12 / 24),
    "bits_per_byte": 12 / 24 / math.log(2),
    "next_token_accuracy": 4 / 8,
}


def rows(name: str) -> np.ndarray:
    metric = build_metric(name)
    return np.array([metric.measure(Example("d", ()), Answer("d", "", "stop", read)) for read in READ])


def test_all_metrics_of_text_are_here() -> None:
    of_text = [name for name in METRICS if getattr(METRICS.get(name), "of_text", False)]
    assert sorted(of_text) == sorted(TEXT_METRICS) == sorted(BY_HAND)
    assert [metric.name for metric in text_metrics()] == list(TEXT_METRICS)


@pytest.mark.parametrize("name", BY_HAND)
def test_values_are_those_by_hand(name: str) -> None:
    metric = build_metric(name)
    assert float(metric.value(rows(name))) == pytest.approx(BY_HAND[name], rel=1e-12)
    alone = metric.value(rows(name)[:1])
    assert float(metric.value(rows(name)[[0, 0, 0]])) == pytest.approx(float(alone), rel=1e-12)
    stacked = np.stack([rows(name), rows(name)[::-1], rows(name)[[1, 1]]])
    values = metric.value(stacked)
    assert values.shape == (3,)
    assert values[0] == pytest.approx(values[1]) == pytest.approx(BY_HAND[name])
    mean = rows(name).mean(axis=0, keepdims=True)  # what resampling does where `reduction` is "totals"
    assert float(metric.value(mean)) == pytest.approx(BY_HAND[name], rel=1e-12)
    assert metric.bounds[0] <= BY_HAND[name] <= metric.bounds[1]  # type: ignore[attr-defined]
    assert build_metric(name, **json.loads(json.dumps(settings_of(metric)))) == metric


def test_bits_per_byte_is_the_logarithm_of_the_perplexity_per_byte() -> None:
    assert 2 ** BY_HAND["bits_per_byte"] == pytest.approx(BY_HAND["byte_perplexity"])


def test_a_uniform_guess_among_k_has_perplexity_k() -> None:
    read = {"nats": 50 * math.log(7), "tokens": 50.0, "hits": 0.0, "words": 1.0, "bytes": 1.0}
    metric = build_metric("token_perplexity")
    row = metric.measure(Example("d", ()), Answer("d", "", "stop", read))
    assert float(metric.value(np.array([row]))) == pytest.approx(7.0)
    words = build_metric("word_perplexity")  # 97 nats a word is a number; 97,000 would not be
    assert np.isfinite(words.value(np.array([(97_000.0, 1.0)])))


def test_an_answer_is_no_text_that_was_read() -> None:
    with pytest.raises(DataError, match=r"bits_per_byte is measured on text that a model reads.*--kind corpus"):
        build_metric("bits_per_byte").measure(Example("d", ()), Answer("d", "yes", "stop"))


def test_scores_resample_documents() -> None:
    """Rows of one document stay together; the scores are read back with all their rows."""
    examples = [Example(f"s{i}", (), cluster=f"d{i // 2}") for i in range(8)]
    answers = [Answer(f"s{i}", "", "stop", READ[i % 2]) for i in range(8)]
    scores = Scores.measure("m", examples, answers, text_metrics())
    found = scores.interval("bits_per_byte")
    assert found.clusters == 4
    assert found.value == pytest.approx(BY_HAND["bits_per_byte"])
    assert (found.low, found.high) == (pytest.approx(found.value), pytest.approx(found.value))  # all clusters alike
    again = Scores.from_json(json.loads(json.dumps(scores.to_json())))
    assert again.value("word_perplexity") == scores.value("word_perplexity")
