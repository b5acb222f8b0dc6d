"""Metrics give the figures of rouge-score and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer
from sklearn.metrics import accuracy_score, f1_score

from luthier.core.types import Answer, Example, user
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.metrics.rouge import ScriptTokenizer

ROUGE = ("rouge1", "rouge2", "rougeL")
LATIN = st.text(st.characters(min_codepoint=1, max_codepoint=0x24F) | st.sampled_from(list("aab bc  the’“”–…é")))
VOCABULARY = ("the", "cats", "cat", "sat", "walking", "walked", "on", "a", "mat", "mats")
WORDS = st.lists(st.sampled_from(VOCABULARY), max_size=30).map(" ".join)


@pytest.mark.parametrize("stem", [True, False])
@given(answer=WORDS, references=st.lists(WORDS, min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_rouge_is_that_of_rouge_score(stem: bool, answer: str, references: list[str]) -> None:
    expected = RougeScorer(list(ROUGE), use_stemmer=stem).score_multi(references, answer)
    for name in ROUGE:
        found = build_metric(name, use_stemmer=stem).measure(
            Example("1", user("?"), tuple(references)), Answer("1", answer, "stop")
        )
        score = expected[name]
        assert found == pytest.approx((score.fmeasure, score.precision, score.recall), abs=1e-12)


@pytest.mark.parametrize("stem", [True, False])
@given(text=LATIN)
@settings(max_examples=300, deadline=None)
def test_latin_texts_have_the_tokens_of_rouge_score(stem: bool, text: str) -> None:
    assert ScriptTokenizer(stem).tokenize(text) == DefaultTokenizer(stem).tokenize(text)


@pytest.mark.parametrize("seed", range(5))
def test_accuracy_and_macro_f1_are_those_of_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = ("alpha", "beta", "gamma", "delta")
    truth = random.choice(labels[:3], 60, p=[0.6, 0.3, 0.1])  # delta has no row of its own
    guess = np.where(random.random(60) < 0.5, truth, random.choice([*labels[:3], "none of them"], 60))
    pairs = [
        (Example(str(i), user("?"), (str(t),)), Answer(str(i), f" {str(g).upper()}.", "stop"))
        for i, (t, g) in enumerate(zip(truth, guess, strict=True))
    ]
    expected = {
        "accuracy": accuracy_score(truth, guess),
        "macro_f1": f1_score(truth, guess, labels=labels, average="macro", zero_division=np.nan),
    }
    for name, value in expected.items():
        metric = build_metric(name, labels=labels)
        rows = np.array([metric.measure(example, answer) for example, answer in pairs])
        assert float(metric.value(rows)) == pytest.approx(float(value), abs=1e-12)
