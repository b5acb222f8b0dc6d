"""Which rows are shown: random ones in turn over the answers, or those most similar by TF-IDF."""

from __future__ import annotations

import pytest

from luthier.core.errors import ConfigError
from luthier.core.seeding import unit_interval
from luthier.core.types import Example, user
from luthier.prompting.demonstrations import DEMONSTRATIONS
from luthier.prompting.demonstrations.nearest import Nearest
from luthier.prompting.demonstrations.random import Random


def rows(*texts: str) -> list[Example]:
    return [Example(f"r{n}", user(text), (f"answer {n}",)) for n, text in enumerate(texts)]


def ranked(selection: Nearest | Random, question: str) -> list[str]:
    return [row.id for row in selection.rank(Example("q", user(question)))]


LABELLED = [Example(f"r{n}", user(f"text {n}"), (label,)) for n, label in enumerate("aaaaaabbbc")]


def test_random_shows_each_answer_in_turn() -> None:
    labels = [row.reference for row in Random(LABELLED, seed=3).rank(Example("q", user("?")))]
    assert sorted(labels[:3]) == ["a", "b", "c"]
    assert sorted(labels[3:5]) == ["a", "b"]
    assert sorted(labels[5:7]) == ["a", "b"]
    assert labels[7:] == ["a"] * 3


def test_random_is_one_block_whatever_the_question_and_the_order_of_rows() -> None:
    first = ranked(Random(LABELLED, 0), "one question")
    assert ranked(Random(LABELLED, 0), "another") == first
    assert ranked(Random(LABELLED[::-1], 0), "another") == first
    assert ranked(Random(LABELLED, 1), "one question") != first


def test_random_is_a_plain_draw_where_all_answers_differ() -> None:
    texts = rows("x", "y", "z", "u", "v")
    expected = sorted((row.id for row in texts), key=lambda name: unit_interval("demonstrations", 7, name))
    assert ranked(Random(texts, 7), "?") == expected


def test_nearest_by_hand() -> None:
    """Of 3 rows, a term of one weighs ln(4 / 2) = 0.693, a term of two ln(4 / 3) = 0.288.

    "blue lamp" against "red lamp": 0.693 / (1.414 * sqrt(0.288² + 2 * 0.693²)) = 0.480, and the same against "blue
    kettle": the first in the data goes first. "red kettle" shares nothing.
    """
    nearest = Nearest(rows("red kettle", "red lamp", "blue kettle"), 0)
    assert ranked(nearest, "blue lamp") == ["r1", "r2", "r0"]
    # A rare word shared outweighs a frequent one: 0.693 / 1.022 against 0.288 / 1.022, times the question's share.
    assert ranked(nearest, "red blue") == ["r2", "r0", "r1"]
    assert ranked(nearest, "nothing of this") == ["r0", "r1", "r2"]


def test_an_instruction_in_every_row_makes_none_similar() -> None:
    """With scikit-learn's own weights (one more) the short row would win by the words that all share."""
    start = "please sort this for me : "
    fruit = "pear plum fig date quince sloe medlar damson cherry apricot currant"
    nearest = Nearest(rows(f"{start}bolt", f"{start}{fruit}", f"{start}nail"), 0)
    assert ranked(nearest, f"{start}cherry")[0] == "r1"


def test_the_whole_conversation_is_compared() -> None:
    system = rows("same words", "same words")
    system[1] = Example("r1", (*user("about kettles"), *system[1].messages), ("x",))
    assert ranked(Nearest(system, 0), "kettles")[0] == "r1"


def test_the_table_holds_both_and_names_the_nearest_one() -> None:
    assert [DEMONSTRATIONS.get(name) for name in DEMONSTRATIONS] == [Random, Nearest]
    assert (Random.best_last, Nearest.best_last) == (False, True)
    with pytest.raises(ConfigError, match=r"Unknown selection of demonstrations 'nearst'\. Known: nearest, random\."):
        DEMONSTRATIONS.get("nearst")
