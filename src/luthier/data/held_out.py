"""Rows to learn from that nearly repeat a held-out row, found while they stream past: only held-out rows are in memory.

Two rows are near-duplicates as in `luthier.data.overlap`. A row of whose grams too few stand in any held-out row is
turned away at once; others are compared with the sketches of all, and in full where these agree. The words that
(nearly) all rows share, which do not count, are those of the held-out rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from luthier.core.types import Example
from luthier.data.overlap import (
    SIMILARITY,
    SharedWords,
    comparable_text,
    hashed_grams,
    jaccard,
    sketch,
    sketches_agree,
)


def asked_number(example: Example) -> int:
    """Return a number of 64 bits that stands for what is asked, but for case and spacing."""
    text = " ".join(comparable_text(example).casefold().split())
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


class HeldOutRows:
    """An index over held-out rows.

    Args:
        examples: The rows, at least one, and some thousands at most.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        asked = [comparable_text(example) for example in examples]
        self._shared = SharedWords.of(asked)
        self._texts = {self._shared.normalized(text) for text in asked}
        self._sets = [hashed_grams(text) for text in sorted(self._texts)]
        self._sizes = np.array([len(grams) for grams in self._sets])
        self._sketches = np.stack([sketch(grams) for grams in self._sets])
        self._grams = np.unique(np.concatenate(self._sets))

    def repeated_by(self, example: Example) -> bool:
        """Say whether a row repeats a held-out row, exactly or nearly."""
        text = self._shared.normalized(comparable_text(example))
        if text in self._texts:
            return True
        grams = hashed_grams(text)
        places = np.searchsorted(self._grams, grams).clip(max=len(self._grams) - 1)
        known, size = int((self._grams[places] == grams).sum()), len(grams)
        if known < SIMILARITY * size:
            return False
        near = np.minimum(self._sizes, size) >= SIMILARITY * np.maximum(self._sizes, size)
        candidates = np.flatnonzero(near)
        candidates = candidates[sketches_agree(sketch(grams), self._sketches[candidates])]
        return any(jaccard(self._sets[one], grams) >= SIMILARITY for one in candidates.tolist())
