"""The most similar rows as demonstrations (Liu et al. 2022, arXiv:2101.06804), by TF-IDF instead of embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from luthier.core.types import Example
from luthier.data.overlap import comparable_text


class Nearest:
    """Rows by the cosine of their TF-IDF vectors and the question's, the most similar last, next to the question.

    Terms are words, signs, and pairs of neighbours, x = (1 + ln tf) ln((1 + n) / (1 + df)), scaled to length 1. A term
    of all rows has weight 0, so an instruction that stands in every prompt makes no two rows similar. Of equally
    similar rows the one that comes first in the data goes first.
    """

    best_last = True

    def __init__(self, known: Sequence[Example], seed: int) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._known = list(known)
        texts = [comparable_text(row) for row in known]
        self._vectorizer: Any = TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[^\w\s]"
        ).fit(texts)
        # scikit-learn adds one to ln((1 + n) / (1 + df)), which lets the words of all rows count.
        self._vectorizer.idf_ = self._vectorizer.idf_ - 1
        self._rows = self._vectorizer.transform(texts)

    def rank(self, question: Example) -> Iterator[Example]:
        """Yield all rows by their similarity to the question."""
        features = self._vectorizer.transform([comparable_text(question)])
        similarity = (self._rows @ features.T).toarray()[:, 0]
        for index in np.argsort(-similarity, kind="stable"):
            yield self._known[index]
