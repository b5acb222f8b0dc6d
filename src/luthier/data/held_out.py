"""Rows to learn from that nearly repeat a held-out row, found while they stream past: only held-out rows are in memory.

Two rows are near-duplicates as in `luthier.data.overlap`, and the search is by the same prefix filtering, here exact: a
row shares one of its rarest grams with every row it is similar to. Grams that no held-out row has are the rarest of all
and cannot be shared, so a row with enough of them is turned away unseen. The words that (nearly) all rows share, which
do not count, are those of the held-out rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from luthier.core.types import Example
from luthier.data.overlap import SIMILARITY, SharedWords, comparable_text, hashed_grams, prefix_length


def asked_number(example: Example) -> int:
    """Return a number of 64 bits that stands for what is asked, but for case and spacing."""
    text = " ".join(comparable_text(example).casefold().split())
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


class HeldOutRows:
    """An index over held-out rows.

    Args:
        examples: The rows, some thousands of them.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        asked = [comparable_text(example) for example in examples]
        self._shared = SharedWords.of(asked)
        self._texts = {self._shared.normalized(text) for text in asked}
        hashes = [hashed_grams(text) for text in sorted(self._texts)]
        self._grams, counts = np.unique(np.concatenate([np.empty(0, np.int64), *hashes]), return_counts=True)
        self._rank = np.empty(len(counts), dtype=np.int64)
        self._rank[np.argsort(counts, kind="stable")] = np.arange(len(counts))
        self._sets = [np.sort(self._rank[np.searchsorted(self._grams, values)]) for values in hashes]
        self._members: defaultdict[int, list[int]] = defaultdict(list)
        for position, grams in enumerate(self._sets):
            for gram in grams[: prefix_length(len(grams), SIMILARITY)].tolist():
                self._members[gram].append(position)

    def repeated_by(self, example: Example) -> bool:
        """Say whether a row repeats a held-out row, exactly or nearly."""
        text = self._shared.normalized(comparable_text(example))
        if text in self._texts:
            return True
        hashes = hashed_grams(text)
        places = np.searchsorted(self._grams, hashes).clip(max=max(len(self._grams) - 1, 0))
        known = self._grams[places] == hashes if len(self._grams) else np.zeros(len(hashes), np.bool_)
        prefix = prefix_length(len(hashes), SIMILARITY) - int((~known).sum())
        if prefix <= 0:
            return False
        grams = np.sort(self._rank[places[known]])
        candidates = {member for gram in grams[:prefix].tolist() for member in self._members.get(gram, ())}
        return any(self._similar(self._sets[one], grams, len(hashes)) for one in candidates)

    @staticmethod
    def _similar(held_out: NDArray[np.int64], known: NDArray[np.int64], size: int) -> bool:
        """Compare a held-out set with a set of `size` grams, of which these are in the index."""
        if min(len(held_out), size) < SIMILARITY * max(len(held_out), size):
            return False
        shared = len(np.intersect1d(held_out, known, assume_unique=True))
        return shared / (len(held_out) + size - shared) >= SIMILARITY
