"""How varied a set of questions is: how much of it repeats, in its rows, its words and its subjects.

- Near-duplicates: the share of rows that nearly repeat an earlier one (`data.overlap`).
- distinct-n: different runs of n words, divided by all words (Li et al. 2016, A Diversity-Promoting Objective Function
  for Neural Conversation Models, arXiv:1510.03055, section 5.2). It falls as a set grows, since words come again: only
  sets of about the same size can be compared by it.
- Spread: the mean of 1 - cos over all pairs of rows, of vectors that stand for them. It does not depend on the size.

All three are of what is asked, as it is compared in `data.overlap`: without the instruction that nearly all rows share,
with numbers masked. What repeats often is learned by heart in few epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.core.types import Example
from luthier.data.overlap import comparable_text, groups, normalized
from luthier.data.tasks import RECOMMENDED_EPOCHS, split_words

MANY = 0.2
"""Share of near-duplicates from which on fewer epochs are advised."""
TFIDF = "TF-IDF"
LENGTHS = (1, 2, 3)


@dataclass(frozen=True)
class Diversity:
    """How varied a set of rows is.

    Attributes:
        rows: How many there are.
        near_duplicates: The share that nearly repeat an earlier row, from 0 to 1.
        distinct: distinct-1, -2 and -3, from 0 to 1.
        spread: Mean cosine distance of two rows: 0 if all are the same; 1 if no two share a word (of TF-IDF vectors).
            None where fewer than two rows have a vector.
        vectors: What stands for the rows, such as "TF-IDF".
    """

    rows: int
    near_duplicates: float
    distinct: tuple[float, float, float]
    spread: float | None
    vectors: str

    def advice(self) -> str:
        """Say in plain words what follows for the number of epochs; nothing where it stays as recommended."""
        return repetition_advice(self.near_duplicates)

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON."""
        figures = {f"distinct_{n}": value for n, value in zip(LENGTHS, self.distinct, strict=True)}
        return {
            "rows": self.rows,
            "near_duplicates": self.near_duplicates,
            **figures,
            "spread": self.spread,
            "vectors": self.vectors,
        }


def repetition_advice(share: float) -> str:
    """Say in plain words what a share of near-duplicates means for the epochs; nothing where they stay as recommended.

    Args:
        share: Of the rows to learn from, from 0 to 1.
    """
    if share < MANY:
        return ""
    return (
        f"{_in_words(share)} of the rows to learn from ({100 * share:.0f} %) nearly "
        f"repeat others: take fewer epochs ({RECOMMENDED_EPOCHS[0]}), or remove what repeats (luthier data clean)."
    )


def measure_diversity(
    examples: Sequence[Example],
    embeddings: NDArray[np.floating[Any]] | None = None,
    vectors: str = "embeddings",
    *,
    repeating: float | None = None,
) -> Diversity:
    """Measure how varied the questions of a set are.

    Args:
        examples: The rows, at least one.
        embeddings: [N, D], a vector a row from any embedding model; TF-IDF vectors of words if left out.
        vectors: The name of what made the embeddings.
        repeating: The share of near-duplicates, where it is known already.

    Raises:
        ValueError: if there is not one embedding a row.
    """
    if embeddings is not None and len(embeddings) != len(examples):
        raise ValueError(f"{len(embeddings)} embeddings for {len(examples)} rows: one a row is needed.")
    words = [split_words(text) for text in normalized([comparable_text(example) for example in examples])]
    one, two, three = (distinct(words, length) for length in LENGTHS)
    return Diversity(
        rows=len(examples),
        near_duplicates=near_duplicates(examples) / len(examples) if repeating is None else repeating,
        distinct=(one, two, three),
        spread=_tfidf_spread(words) if embeddings is None else spread(embeddings),
        vectors=TFIDF if embeddings is None else vectors,
    )


def near_duplicates(examples: Sequence[Example]) -> int:
    """Count the rows that nearly repeat an earlier row; being of one cluster is no repetition."""
    return len(examples) - len(set(groups([replace(example, cluster=None) for example in examples])))


def distinct(texts: Sequence[Sequence[str]], length: int) -> float:
    """Return distinct-n of texts given as words: different runs of `length` words by all words; 0 without words."""
    runs = {tuple(words[start : start + length]) for words in texts for start in range(len(words) - length + 1)}
    total = sum(map(len, texts))
    return len(runs) / total if total else 0.0


def spread(vectors: NDArray[np.floating[Any]]) -> float | None:
    """Return the mean cosine distance over all pairs of vectors, [N, D]; those of length 0 do not count.

    The cosines of all pairs of unit vectors sum to the squared length of their sum, so no pair is formed.
    """
    lengths = np.linalg.norm(vectors, axis=1)
    units = vectors[lengths > 0] / lengths[lengths > 0, None]
    return _of_sum(np.asarray(units.sum(axis=0), dtype=np.float64), len(units))


def _of_sum(total: NDArray[np.float64], count: int) -> float | None:
    """Return the mean distance of unit vectors from their sum and number."""
    if count < 2:
        return None
    mean_cosine = (float(total @ total) - count) / (count * (count - 1))
    return min(max(1 - mean_cosine, 0.0), 2.0)


def _tfidf_spread(texts: Sequence[Sequence[str]]) -> float | None:
    filled = [words for words in texts if words]
    if len(filled) < 2:
        return None
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(analyzer=_as_they_are).fit_transform(filled)  # sparse, unit length
    return _of_sum(np.asarray(vectors.sum(axis=0), dtype=np.float64).ravel(), len(filled))


def _as_they_are(words: Sequence[str]) -> Sequence[str]:
    return words


def _in_words(share: float) -> str:
    """Say a share in words, down to a fifth."""
    return next(words for least, words in _WORDS if share >= least)


_WORDS = (
    (0.9, "Nearly all"),
    (0.7, "Three quarters"),
    (0.6, "Two thirds"),
    (0.42, "About half"),
    (0.29, "A third"),
    (0.225, "A quarter"),
    (0.0, "A fifth"),
)
"""From which share on a word is said: about halfway from the one below it."""
