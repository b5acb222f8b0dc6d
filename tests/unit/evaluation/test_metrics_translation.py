"""BLEU and chrF against numbers counted by hand, and the tokenizer that fits the references."""

from __future__ import annotations

import math

import numpy as np
import pytest

from luthier.core.errors import ConfigError
from luthier.core.types import Answer, Example, Finish, user
from luthier.evaluation.comparison import compare
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.metrics.translation import tokenizer_for
from luthier.evaluation.statistics import Scores


def row(metric: str, text: str, *references: str, finish: Finish = "stop", **settings: object) -> tuple[float, ...]:
    return build_metric(metric, **settings).measure(Example("1", user("?"), references), Answer("1", text, finish))


def test_bleu_counts_words_and_their_sequences() -> None:
    # "the cat sat on the mat" against "the cat is on the mat": 5 of 6 words, 3 of 5 pairs, 1 of 4 triples, 0 of 3.
    found = row("bleu", "the cat sat on the mat", "the cat is on the mat")
    assert found == (6, 6, 5, 3, 1, 0, 6, 5, 4, 3, 1)
    # The order without a match counts half a match.
    expected = (5 / 6 * 3 / 5 * 1 / 4 * 0.5 / 3) ** 0.25
    assert float(build_metric("bleu").value(np.array([found]))) == pytest.approx(expected)
    # "the" may match twice at most, as often as it is in the reference; the closest reference's length counts.
    assert row("bleu", "the the the the", "the cat the", "a much longer reference than that")[:3] == (4, 3, 2)


def test_bleu_is_lower_where_answers_are_too_short() -> None:
    whole = [row("bleu", "one two three four five", "one two three four five")]
    half = [row("bleu", "one two three four", "one two three four five six seven eight")]
    bleu = build_metric("bleu")
    assert float(bleu.value(np.array(whole))) == 1.0
    assert float(bleu.value(np.array(half))) == pytest.approx(math.exp(1 - 8 / 4))
    # Over both: 9 words against 13, all n-grams right.
    assert float(bleu.value(np.array(whole + half))) == pytest.approx(math.exp(1 - 13 / 9))
    assert bleu.details(np.array(whole + half)) == pytest.approx({"length ratio": 9 / 13})  # type: ignore[attr-defined]


def test_short_texts_score_alone_by_the_orders_they_have() -> None:
    rows = np.array([row("bleu", "good day", "good day"), row("bleu", "", "good day"), row("bleu", "x", "good day")])
    bleu = build_metric("bleu")
    assert float(bleu.value(rows[:1])) == 0.0  # a corpus needs four words
    assert bleu.of_each(rows).tolist() == [1.0, 0.0, 0.0]  # type: ignore[attr-defined]


def test_chrf_counts_characters_and_weighs_recall_twice() -> None:
    # "abc" against "abd e": spaces do not count; 1-grams 2 of 3 and of 4, pairs 1 of 2 and of 3, triples 0 of 1 and 2.
    found = row("chrf", "abc", "abd e")
    assert found == (3, 4, 2, 2, 3, 1, 1, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1)
    precision, recall = (2 / 3 + 1 / 2 + 0) / 3, (2 / 4 + 1 / 3 + 0) / 3
    expected = 5 * precision * recall / (4 * precision + recall)
    chrf = build_metric("chrf")
    assert float(chrf.value(np.array([found]))) == pytest.approx(expected)
    assert chrf.details(np.array([found])) == pytest.approx(  # type: ignore[attr-defined]
        {"precision": precision, "recall": recall}
    )


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_failed_answers_keep_the_length_of_their_reference(name: str) -> None:
    """They may not vanish: a corpus with a failed answer is a corpus with a sentence too few."""
    right = row(name, "one two three four five", "one two three four five")
    failed = row(name, "one two three four five", "one two three four five", finish="failed")
    metric = build_metric(name)
    assert float(metric.value(np.array([failed]))) == 0.0
    assert 0.3 < float(metric.value(np.array([right, failed]))) < 0.7


@pytest.mark.parametrize(
    ("texts", "tokenizer"),
    [
        (["The cat sat.", "42 °C"], "13a"),
        (["Кошка сидит на ковре."], "13a"),
        (["猫坐在垫子上。", "今天是星期二。"], "zh"),
        (["猫がマットに座っている。"], "char"),
        (["고양이가 매트에 앉아 있다."], "char"),
        (["แมวนั่งบนเสื่อ"], "char"),
        (["The word 猫 means cat."], "13a"),
        ([], "13a"),
        (["123", "!"], "13a"),
    ],
)
def test_the_tokenizer_follows_the_script_of_the_references(texts: list[str], tokenizer: str) -> None:
    assert tokenizer_for(texts) == tokenizer


def test_chinese_is_cut_into_characters() -> None:
    assert row("bleu", "猫坐在垫子上", "猫坐在椅子上", tokenize="zh")[:3] == (6, 6, 5)
    assert row("bleu", "猫坐在垫子上", "猫坐在椅子上")[:3] == (1, 1, 0)


def test_an_unknown_tokenizer_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Unknown tokenizer of bleu '13'. Known: 13a, char, .* Did you mean '13a'\?"):
        build_metric("bleu", tokenize="13")


def test_bleu_is_compared_by_corpus_and_rows_are_won_by_sentence() -> None:
    """Answers of three words win a row, though no corpus of one such row has a BLEU above 0."""
    long = "one two three four five six"
    examples = [Example(str(i), user("?"), (long if i else "good day sir",)) for i in range(12)]
    base = [Answer(e.id, "one two three four zero" if e.id != "0" else "bad", "stop") for e in examples]
    better = [Answer(e.id, e.reference, "stop") for e in examples]
    metric = [build_metric("bleu")]
    first, second = (Scores.measure(n, examples, answers, metric) for n, answers in (("a", base), ("b", better)))
    found = compare(first, second, "bleu")
    assert (found.candidate_value, found.wins, found.losses, found.verdict) == (1.0, 12, 0, "better")
    assert found.test.startswith("permutation")
    assert found.base_value == first.value("bleu") < 0.6
