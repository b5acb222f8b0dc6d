"""How varied a set is: figures derived by hand, and by a reference for the spread."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_samples import example, examples, sentence
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_distances

from luthier.data.diversity import Diversity, distinct, measure_diversity, near_duplicates, spread


def test_distinct_n_is_by_all_words_not_by_all_runs() -> None:
    """Seven words; a, b, c; (a b), (b a), (b c); (a b a), (b a b), (a b c): a run does not cross texts."""
    texts = [["a", "b", "a", "b"], ["a", "b", "c"]]
    assert [distinct(texts, n) for n in (1, 2, 3, 4)] == pytest.approx([3 / 7, 3 / 7, 3 / 7, 1 / 7])
    assert distinct([[]], 1) == 0


def test_spread_is_the_mean_over_all_pairs() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0], [0.0, 0.0]])  # the last has no direction
    half = np.sqrt(0.5)
    assert spread(vectors) == pytest.approx(1 - (0 + half + half) / 3)
    assert spread(np.array([[1.0, 0.0], [-2.0, 0.0]])) == pytest.approx(2)
    assert spread(np.array([[1.0, 1.0], [5.0, 5.0]])) == pytest.approx(0)
    assert spread(vectors[:1]) is None


def test_spread_of_words_is_that_of_a_reference() -> None:
    rows = examples(40)
    found = measure_diversity(rows)
    vectors = TfidfVectorizer().fit_transform([row.prompt for row in rows])
    distances = cosine_distances(vectors)
    pairs = [distances[i, j] for i, j in itertools.combinations(range(40), 2)]
    assert found.spread == pytest.approx(np.mean(pairs))
    assert found.vectors == "TF-IDF"


def test_extremes() -> None:
    same = measure_diversity([example(n, "the lamp flickers") for n in range(4)])
    assert same == Diversity(4, 0.75, (3 / 12, 2 / 12, 1 / 12), pytest.approx(0), "TF-IDF")  # type: ignore[arg-type]
    other = measure_diversity([example(0, "the lamp flickers"), example(1, "my parcel is late")])
    assert other.distinct == (1, 5 / 7, 3 / 7)
    assert other.spread == pytest.approx(1)
    assert measure_diversity([example(0, "?!"), example(1, "...")]).spread is None


def test_chinese_is_compared_by_characters() -> None:
    found = measure_diversity([example(0, "我喜欢喝茶"), example(1, "我喜欢喝茶"), example(2, "明天去北京")])
    assert found.distinct[0] == pytest.approx(10 / 15)
    assert found.near_duplicates == pytest.approx(1 / 3)


def test_embeddings_of_ones_own() -> None:
    found = measure_diversity(examples(2), np.eye(2), "my-model")
    assert (found.spread, found.vectors) == (1, "my-model")
    with pytest.raises(ValueError, match="3 embeddings for 2 rows"):
        measure_diversity(examples(2), np.eye(3))


def test_a_cluster_is_no_repetition() -> None:
    rows = [replace(row, cluster="c") for row in examples(5)]
    assert near_duplicates(rows) == 0
    assert near_duplicates([*rows, example(9, sentence(0) + "!")]) == 1


@pytest.mark.parametrize(
    ("repeated", "words"),
    [
        (0, ""),
        (19, ""),
        (20, "A fifth of the rows to learn from (20 %) nearly repeat others: take fewer epochs (2), or remove what "
             "repeats (luthier data clean)."),
        (25, "A quarter of"), (33, "A third of"), (50, "About half of"), (66, "Two thirds of"), (75, "Three quarters"),
        (95, "Nearly all of"),
    ],
)  # fmt: skip
def test_advice_on_epochs(repeated: int, words: str) -> None:
    advice = Diversity(100, repeated / 100, (0, 0, 0), None, "TF-IDF").advice()
    assert advice.startswith(words)
    assert bool(advice) is bool(words)


def test_the_shipped_tickets_are_varied() -> None:
    from luthier.data import read_examples

    tickets = Path(__file__).resolve().parents[3] / "examples" / "data" / "support_tickets" / "tickets.csv"
    found = measure_diversity(read_examples(tickets).examples)
    assert (found.rows, found.near_duplicates, found.advice()) == (360, 0, "")
