"""Checks of short answers: each condition on answers judged by hand."""

from __future__ import annotations

from typing import Any

import pytest

from luthier.core.errors import DataError
from luthier.evaluation.retention.checks import CONDITIONS, last_number, passes, repeats

FENCE = {"choice": {"right": ["fence"], "wrong": ["balcony"]}}
DA_VINCI = {"one_of": ["leonardo", "da vinci"]}

JUDGED: list[tuple[dict[str, Any], list[str], list[str]]] = [
    (
        DA_VINCI,
        ["Leonardo da Vinci", "It was LEONARDO.", "**Da Vinci**", "da-Vinci"],
        ["", "   ", "Leonardos", "Vinci", "da", "vinci da", "Michelangelo"],
    ),
    ({"one_of": ["h2o"]}, ["H2O", "H₂O", "It is H2O."], ["H 2 O", "CH2O", "HO"]),
    (
        FENCE,
        ["By the fence.", "The fence, not the balcony", "Mira planted them by the fence and not on the balcony"],
        ["On the balcony.", "On the balcony or by the fence", "In the garden", "Behind the fences"],
    ),
    (
        {"choice": {"right": ["no", "cannot"], "wrong": ["yes"]}},
        ["No.", "A cow cannot fly"],
        ["Yes", "Yes, no", "Nope"],
    ),
    (
        {"number": 12},
        [
            "12",
            "12.",
            "5 + 7 = 12",
            "It is **12** apples",
            "12.0",
            "$12",
            "twelve",
            "Twelve is right",
            "7+5=12, one sum",
        ],
        ["", "13", "-12", "112", "1.2", "12.5", "12 - 5 = 7", "twelve hundred", "a12", "twenty"],
    ),
    ({"number": 1900}, ["1900", "1,900", "In 1900."], ["190", "19", "1,9000"]),
    ({"words": 2}, ["Vast, blue.", "deep-blue sea", "- blue water -"], ["Blue", "a deep sea", ""]),
    ({"lines": 2}, ["Tea\nCoffee", "Tea\n\nCoffee\n"], ["Tea, coffee", "Tea\nCoffee\nMilk"]),
    (
        {"items": 3},
        ["red, blue, green", "Three colours: red, blue, and green.", "red,blue,green"],
        ["red, blue and green", "red blue green", "red, blue, green, black", "red, , green", "red, blue,", ""],
    ),
    (
        {"items": 3},
        ["light green, dark red, sky blue"],
        ["Well, I like all the colours there are, really"],
    ),
    ({"case": "upper"}, ["THE SHOP IS CLOSED.", "NO 1!"], ["The SHOP", "closed", "12"]),
    ({"case": "lower"}, ["closed 12"], ["Closed", "12"]),
    (
        {"starts_with": "Well"},
        ["Well, cats", '"Well" they said', "**Well** cats"],
        ["well, cats", "Wellness", "Oh Well"],
    ),
    ({"starts_with": "City:"}, ["City: Lima", '"City: Lima"'], ["A city: Lima", "City Lima"]),
    (
        {"ends_with": "DONE"},
        ["Spring. DONE", "Spring. DONE.", "Spring **DONE**"],
        ["DONE it is", "Spring. Done", "UNDONE"],
    ),
    ({"ends_with": "?"}, ["Does it rain?", "Does it rain? ", '"Does it rain?"'], ["It rains.", "Why? It rains"]),
    ({"regex": r"\bRIVER\b"}, ["RIVER", "The word is RIVER."], ["river", "RIVERS"]),
    ({"words": 1, "one_of": ["white"]}, ["White.", "white"], ["It is white", "Black"]),
]


@pytest.mark.parametrize(("check", "right", "wrong"), JUDGED)
def test_answers_are_judged_as_by_hand(check: dict[str, Any], right: list[str], wrong: list[str]) -> None:
    assert [text for text in right if not passes(check, text)] == []
    assert [text for text in wrong if passes(check, text)] == []


def test_every_condition_is_judged_by_hand() -> None:
    assert {name for check, _, _ in JUDGED for name in check} == set(CONDITIONS)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is 4.", 4),
        ("3, then 5,10", 10),
        ("10-3=7", 7),
        ("= -3", -3),
        ("−3 degrees", -3),
        ("10 -3", -3),
        ("2x3", 2),  # what is glued to letters is no number
        ("1,234,567.5 in all", 1234567.5),
        ("1/4", 4),
        ("10 o'clock, or 22:00", 0),
        ("forty-two", 42),
        ("Ninety nine birds", 99),
        ("a hundred", 100),
        ("nineteen", 19),
        ("seven, no: eight", 8),
        ("someone", None),
        ("", None),
    ],
)
def test_the_last_number_counts(text: str, number: float | None) -> None:
    assert last_number(text) == number


def test_an_echo_is_no_answer() -> None:
    question = "The lift was out of order, so she walked. What was out of order?"
    assert repeats(question, question)
    assert repeats(question, question.upper() + "!")
    assert repeats(question, "The lift was out of order, so she walked")
    assert not repeats(question, "The lift was out of order")
    assert not repeats(question, "The lift")
    assert not repeats(question, question + " The lift")


def test_wrong_checks_are_refused() -> None:
    with pytest.raises(DataError, match=r"A check needs a condition: one of one_of, choice, number, words"):
        passes({}, "x")
    with pytest.raises(DataError, match=r"There is no condition 'word' of a check\. There are: one_of, .*'words'"):
        passes({"word": 2}, "x")
