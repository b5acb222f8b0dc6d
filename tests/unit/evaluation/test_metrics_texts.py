"""Token F1 and ROUGE against numbers counted by hand, in English and in other scripts."""

from __future__ import annotations

import pytest

from luthier.core.types import Answer, Example, user
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.metrics.words import words_of_any_script

LOTION_REFERENCE = (
    "Squeeze a line of lotion onto the tops of both forearms and the backs of the hands. Place the arms behind the "
    "back. Move the arms in a windshield wiper motion."
)
LOTION_ANSWER = (
    "Dispense a line of lotion onto the forearms. Place the forearms behind you. Rub the forearms up and down the back."
)


def measure(metric: str, text: str, *references: str, **settings: object) -> tuple[float, ...]:
    return build_metric(metric, **settings).measure(Example("1", user("?"), references), Answer("1", text, "stop"))


@pytest.mark.parametrize(
    ("text", "reference", "f1"),
    [
        ("The cat sat.", "a cat sat", 1.0),
        ("the cat sat down", "cat sat", 2 * 2 / (3 + 2)),  # "the" is no word
        ("cat cat", "cat", 2 * 1 / 3),
        ("dog", "cat", 0.0),
        ("", "cat", 0.0),
        ("the", "a", 1.0),  # no words on either side
        ("北京 是首都", "北京是首都。", 1.0),
        ("北京", "南京", 0.5),
        ("서울 2024", "서울 2025", 2 * 2 / 6),
    ],
)
def test_token_f1(text: str, reference: str, f1: float) -> None:
    assert measure("token_f1", text, reference) == pytest.approx((f1,))
    assert measure("token_f1", text, "zzz", reference) == pytest.approx((f1,))


@pytest.mark.parametrize(
    ("metric", "precision", "recall", "f"),
    [
        ("rouge1", 0.666667, 0.451613, 0.538462),
        ("rouge2", 0.35, 0.233333, 0.28),
        ("rougeL", 0.571429, 0.387097, 0.461538),
    ],
)
def test_rouge_of_a_known_pair(metric: str, precision: float, recall: float, f: float) -> None:
    found = measure(metric, LOTION_ANSWER, LOTION_REFERENCE)
    assert found == pytest.approx((f, precision, recall), abs=1e-6)


def texts_sharing(shared: int, answer_words: int, reference_words: int) -> tuple[str, str]:
    """Return an answer and a reference of these lengths whose first `shared` words are the same."""
    same = [f"s{i}" for i in range(shared)]
    answer = [*same, *(f"a{i}" for i in range(answer_words - shared))]
    return " ".join(answer), " ".join([*same, *(f"r{i}" for i in range(reference_words - shared))])


@pytest.mark.parametrize(
    ("metric", "shared", "words", "precision", "recall", "f"),
    [
        ("rouge1", 18, (61, 31), 0.2950820, 0.580645, 0.391304),
        ("rouge2", 9, (61, 31), 0.133333, 0.266667, 0.177778),
        ("rougeL", 13, (61, 31), 0.213115, 0.419355, 0.282609),
        ("rouge1", 12, (81, 18), 0.148148, 0.666667, 0.242424),
        ("rouge2", 6, (81, 18), 0.0625, 0.294118, 0.103093),
        ("rougeL", 10, (81, 18), 0.123457, 0.555556, 0.202020),
    ],
)
def test_rouge_by_counts(
    metric: str, shared: int, words: tuple[int, int], precision: float, recall: float, f: float
) -> None:
    answer, reference = texts_sharing(shared, *words)
    assert measure(metric, answer, reference) == pytest.approx((f, precision, recall), abs=1e-6)


def test_rouge_takes_the_reference_of_the_best_f() -> None:
    # "cat": precision 1/2, recall 1, F 2/3. "the cat sat": precision 1, recall 2/3, F 4/5.
    assert measure("rouge1", "cat sat", "cat", "the cat sat") == pytest.approx((0.8, 1.0, 2 / 3))
    assert measure("rouge1", "cat sat", "the cat sat", "cat") == pytest.approx((0.8, 1.0, 2 / 3))


def test_the_stemmer_is_on_by_default_and_can_be_switched_off() -> None:
    assert measure("rouge1", "his", "hi") == (0.0, 0.0, 0.0)  # words of three letters keep their ends
    assert measure("rouge1", "walking", "walked") == (1.0, 1.0, 1.0)
    assert measure("rouge1", "walking", "walked", use_stemmer=False) == (0.0, 0.0, 0.0)
    assert "use_stemmer=True" in build_metric("rouge1").identity  # type: ignore[attr-defined]


@pytest.mark.parametrize("metric", ["rouge1", "rouge2", "rougeL"])
@pytest.mark.parametrize(
    "text",
    [
        "今天天气很好。",
        "東京は日本の首都です",
        "서울은 한국의 수도이다",
        "GPT模型在2024年发布",
        "Москва столица России",
        "กรุงเทพมหานคร",
        "नई दिल्ली भारत",
        "القاهرة عاصمة مصر",
    ],
)
def test_equal_texts_of_any_script_score_one(metric: str, text: str) -> None:
    assert measure(metric, text, text) == (1.0, 1.0, 1.0)


def test_rouge_of_mixed_text_by_hand() -> None:
    # Tokens: 我 用 gpt 4 | 我 用 bert: two of four, two of three.
    assert measure("rouge1", "我用GPT-4", "我用BERT") == pytest.approx((2 * 2 / 7, 0.5, 2 / 3))
    assert measure("rougeL", "天气好", "好天气") == pytest.approx((2 / 3, 2 / 3, 2 / 3))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Hello, World-2!", ["hello", "world", "2"]),
        ("我用GPT-4o", ["我", "用", "gpt", "4o"]),
        ("ＡＢＣ１２", ["abc12"]),
        ("カタカナ・データ", list("カタカナデータ")),
        ("Привет мир42", ["привет", "мир", "42"]),
        ("caf\u00e9 na\u00efve", ["caf", "na", "ve"]),  # as rouge-score has it
        ("cafe\u0301s", ["cafe", "s"]),
        ("\u1112\u1161\u11ab", ["\ud55c"]),  # decomposed Hangul
        ("二〇二四", ["二", "〇", "二", "四"]),
        ("π≈3", ["π", "3"]),
    ],
)
def test_words_of_any_script(text: str, tokens: list[str]) -> None:
    assert words_of_any_script(text) == tokens
