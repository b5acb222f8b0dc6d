"""Metrics give the figures of rouge-score, sacrebleu and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, matthews_corrcoef

from luthier.core.types import Answer, Example, user
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.metrics.rouge import ScriptTokenizer
from luthier.evaluation.statistics import Scores
from luthier.evaluation.statistics.resampling import bootstrap, statistic_of, values_of_each

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
def test_accuracy_macro_f1_and_correlation_are_those_of_scikit_learn(seed: int) -> None:
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
        "mcc": matthews_corrcoef(truth, guess),
    }
    for name, value in expected.items():
        metric = build_metric(name, labels=labels)
        rows = np.array([metric.measure(example, answer) for example, answer in pairs])
        assert float(metric.value(rows)) == pytest.approx(float(value), abs=1e-12)


CORPUS = st.lists(st.tuples(WORDS, st.lists(WORDS, min_size=2, max_size=2)), min_size=1, max_size=8)


def scores_of(name: str, corpus: list[tuple[str, list[str]]]) -> Scores:
    """Measure a corpus of answers, each with its references."""
    examples = [Example(str(i), user("?"), tuple(references)) for i, (_, references) in enumerate(corpus)]
    answers = [Answer(str(i), text, "stop") for i, (text, _) in enumerate(corpus)]
    return Scores.measure(name, examples, answers, [build_metric(name)])


@pytest.mark.parametrize(("name", "package"), [("bleu", BLEU), ("chrf", CHRF)])
@given(corpus=CORPUS)
@settings(max_examples=150, deadline=None)
def test_corpus_bleu_and_chrf_are_those_of_sacrebleu(name: str, package: type, corpus: list) -> None:
    theirs = package()
    streams = [[references[i] for _, references in corpus] for i in range(2)]
    expected = theirs.corpus_score([text for text, _ in corpus], streams)
    found = scores_of(name, corpus)
    assert 100 * found.value(name) == pytest.approx(expected.score, abs=1e-9)
    assert found.signature(name) == str(theirs.get_signature())


@pytest.mark.parametrize(("name", "theirs"), [("bleu", BLEU(effective_order=True)), ("chrf", CHRF())])
@given(corpus=CORPUS)
@settings(max_examples=150, deadline=None)
def test_a_row_alone_scores_what_sacrebleu_gives_a_sentence(name: str, theirs: BLEU | CHRF, corpus: list) -> None:
    expected = [theirs.sentence_score(text, references).score for text, references in corpus]
    assert (100 * scores_of(name, corpus).frame()[name]).tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("name", "package"), [("bleu", BLEU), ("chrf", CHRF)])
def test_the_bootstrap_is_that_of_sacrebleu(name: str, package: type) -> None:
    """Both draw rows and add their counts up: resamples have the same mean and spread, up to luck."""
    random = np.random.default_rng(3)
    sentences = [list(random.choice(VOCABULARY, 12)) for _ in range(60)]
    corpus = [
        (" ".join(random.choice(VOCABULARY) if random.random() < 0.3 else word for word in words), [" ".join(words)])
        for words in sentences
    ]
    theirs = package().corpus_score([text for text, _ in corpus], [[r[0] for _, r in corpus]], n_bootstrap=4000)
    found = scores_of(name, corpus)
    ours = bootstrap(statistic_of(found.metrics[0], found.rows[name], found.codes), len(corpus), 4000)
    half = np.subtract(*np.quantile(100 * ours, [0.975, 0.025])) / 2
    assert theirs._mean == pytest.approx(100 * ours.mean(), abs=0.1)
    assert theirs._ci == pytest.approx(half, rel=0.06)
    interval = found.interval(name)
    assert interval.method.startswith("bootstrap")
    assert 100 * (interval.high - interval.low) / 2 == pytest.approx(theirs._ci, rel=0.09)


def test_signatures_say_when_rows_have_other_numbers_of_references() -> None:
    corpus = [("a b c d", ["a b c d"]), ("a b", ["a", "b"])]
    theirs = BLEU()
    theirs.corpus_score([text for text, _ in corpus], [["a b c d", "a"], [None, "b"]])  # type: ignore[list-item]
    assert scores_of("bleu", corpus).signature("bleu") == str(theirs.get_signature())
    assert "nrefs:var" in scores_of("chrf", corpus).signature("chrf")
    assert values_of_each(build_metric("chrf"), scores_of("chrf", corpus).rows["chrf"])[0] == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_calibration_is_that_of_scikit_learn_and_of_its_definition(seed: int) -> None:
    random = np.random.default_rng(seed)
    confidence, right = random.random(400).round(2), random.random(400) < 0.6
    examples = [Example(str(i), user("?"), ("yes",)) for i in range(400)]
    answers = [
        Answer(str(i), "yes" if r else "no", "stop", {"confidence": float(c)})
        for i, (c, r) in enumerate(zip(confidence, right, strict=True))
    ]
    found = Scores.measure("model", examples, answers, [build_metric("ece"), build_metric("brier")])
    assert found.value("brier") == pytest.approx(brier_score_loss(right, confidence), abs=1e-12)
    expected = 0.0
    for k in range(10):  # in hundredths, so that edges are exact
        hundredths = np.rint(100 * confidence)
        inside = (hundredths > 10 * k) & (hundredths <= 10 * k + 10) | ((hundredths == 0) & (k == 0))
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert found.value("ece") == pytest.approx(expected, abs=1e-12)
    assert found.details("ece") == pytest.approx({"confidence": confidence.mean(), "right": right.mean()})
