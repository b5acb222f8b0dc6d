"""Windows: stretches of documents as sequences for training, as long as the model (or memory) takes.

Documents are packed beside each other without seeing each other, each with positions from 0. One longer than a window
is cut into several. Every token is a target once: a window begins with the last token of the one before, which is read
but not predicted again.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from luthier.core.files import sha256_text
from luthier.data.store import Integers, TokenStore
from luthier.segments import Batch, BatchesOnDemand, sequence_batch


class Windows(BatchesOnDemand):
    """Some sections of a store as training sequences; each is made when it is asked for.

    Args:
        store: The store.
        sections: `[s]` sections in their order; those that follow each other in a document are read together.
        window: Most tokens of a sequence, two or more.
    """

    def __init__(self, store: TokenStore, sections: Integers, window: int) -> None:
        self._store = store
        first, stop = spans(store, sections)
        pieces = np.maximum(1, -(-(stop - first - 1) // (window - 1)))
        place = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        self._first = np.repeat(first, pieces) + place * (window - 1)
        self._stop = np.minimum(self._first + window, np.repeat(stop, pieces))
        self.cut = int((pieces > 1).sum())
        """How many stretches were longer than a window."""

    def __len__(self) -> int:
        return len(self._first)

    def make(self, index: int) -> Batch:
        """Make one sequence."""
        tokens = self._store.tokens[self._first[index] : self._stop[index]].astype(np.int64)
        weights = np.ones(len(tokens), dtype=np.float32)
        weights[0] = 0.0
        return sequence_batch(tokens, weights)

    def document(self, index: int) -> int:
        """Return which document a window is of, counted from 0."""
        begins = self._store.starts[self._store.document_starts[:-1]]
        return int(np.searchsorted(begins, self._first[index], side="right")) - 1

    @property
    def lengths(self) -> Integers:
        """Tokens of each window."""
        return self._stop - self._first

    @property
    def targets(self) -> int:
        """Tokens that are predicted, in all windows."""
        return int((self.lengths - 1).sum())

    @cached_property
    def digest(self) -> str:
        """Names the sequences, in their order."""
        return sha256_text(self._store.key, self._first.tobytes().hex(), self._stop.tobytes().hex())


def spans(store: TokenStore, sections: Integers) -> tuple[Integers, Integers]:
    """Return where the stretches begin and stop that some sections form, each within a document.

    A stretch that begins within a document begins one token early: its first token is predicted from that.
    """
    document = np.asarray(store.sections["document"])[sections]
    breaks = np.diff(sections, prepend=-2) != 1
    breaks[1:] |= np.diff(document) != 0
    begins = np.flatnonzero(breaks)
    ends = np.append(begins[1:], len(sections)) - 1
    first = store.starts[sections[begins]]
    within = store.document_starts[document[begins]] != sections[begins]
    return first - within, store.starts[sections[ends] + 1]
