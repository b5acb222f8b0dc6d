"""Rows that are nearly the same: kept together when data is divided, removed from training when parts are given.

Two rows are near-duplicates if the Jaccard similarity of their character 6-grams is at least 0.75, after case and
spacing are evened out, punctuation is dropped and numbers are masked. In a sentence of twenty words one changed word
leaves about 0.8; two changed words leave less than 0.7. Character n-grams need no word borders, so Chinese works too.

What is compared is what was asked, never the answer: the same question with another answer still leaks. Words that
open (or close) nine rows in ten are the instruction, not the text, and do not count. In rows that are mostly numbers
("12 + 7"), numbers are the content and stay.

Candidates come from an inverted index by prefix filtering (Chaudhuri et al. 2006; Bayardo et al. 2007): two sets with
similarity t share at least one of their |x| - ceil(t |x|) + 1 rarest elements, so only those are indexed. The search is
exact except that a row is compared with at most `_MOST_CANDIDATES` others, those that share its rarest grams first, and
only where their sketches look alike.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.core.types import Example

SIMILARITY = 0.75
"""Jaccard similarity from which two rows are near-duplicates."""
GRAM = 6
_MOST_CANDIDATES = 500
_BINS = 64
_HASH_BITS = 62
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHARED_BY = 0.9
_FEWEST_TEXTS = 20

_NUMBER = re.compile(r"\d+(?:[.,:/\-]\d+)*")
_WORD = re.compile(r"[^\W\d_]+")
_PUNCTUATION = re.compile(r"[^\w\s]+|_+")

Grams = NDArray[np.int32]


@dataclass(frozen=True)
class Overlap:
    """What `remove_overlap` did: the rows kept, and each removed row with the row it repeats."""

    kept: tuple[Example, ...]
    removed: tuple[tuple[Example, Example], ...]


def groups(examples: Sequence[Example]) -> list[int]:
    """Return each example's group: near-duplicates (also through others) and rows of one cluster share a number."""
    forest = _Forest(len(examples))
    first: dict[str, int] = {}
    for index, example in enumerate(examples):
        if example.cluster is not None:
            forest.join(first.setdefault(example.cluster, index), index)
    rows_by_text = _rows_by_text(examples)
    rows = list(rows_by_text.values())
    for alike in rows:
        for index in alike[1:]:
            forest.join(alike[0], index)
    for left, right in similar_pairs(list(rows_by_text)):
        forest.join(rows[left][0], rows[right][0])
    numbers: dict[int, int] = {}
    return [numbers.setdefault(forest.root(index), len(numbers)) for index in range(len(examples))]


def remove_overlap(tune: Sequence[Example], against: Sequence[Example]) -> Overlap:
    """Remove the rows to learn from that repeat, exactly or nearly, a row of another part."""
    together = (*against, *tune)
    rows_by_text = _rows_by_text(together)
    rows = list(rows_by_text.values())
    twins = {index: alike[0] for alike in rows for index in alike if alike[0] < len(against) <= index}
    for pair in similar_pairs(list(rows_by_text)):
        for one, other in (pair, pair[::-1]):
            if (twin := rows[one][0]) < len(against):
                twins |= {index: twin for index in rows[other] if index >= len(against) and index not in twins}
    return Overlap(
        tuple(example for index, example in enumerate(together) if index >= len(against) and index not in twins),
        tuple((together[index], together[twin]) for index, twin in sorted(twins.items())),
    )


def _rows_by_text(examples: Sequence[Example]) -> dict[str, list[int]]:
    """Return the rows of each normalized text, in their order."""
    found: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(normalized([comparable_text(example) for example in examples])):
        found[text].append(index)
    return found


def comparable_text(example: Example) -> str:
    """Return what is compared of an example: all that was asked."""
    return "\n".join(message.content for message in example.messages)


# ---------------------------------------------------------------------------------------------------------- texts


def normalized(texts: Sequence[str]) -> list[str]:
    """Even out case, spacing, punctuation and numbers, and leave out the instruction that (nearly) all texts share."""
    shared = SharedWords.of(texts)
    return [shared.normalized(text) for text in texts]


@dataclass(frozen=True)
class SharedWords:
    """The words that open, and those that close, (nearly) all of some texts."""

    opening: tuple[str, ...]
    closing: tuple[str, ...]

    @classmethod
    def of(cls, texts: Sequence[str]) -> SharedWords:
        """Find them."""
        distinct = list({tuple(text.casefold().split()) for text in texts})
        return cls(_shared(distinct), _shared([tuple(reversed(text)) for text in distinct])[::-1])

    def normalized(self, text: str) -> str:
        """Return a text as it is compared: evened out, and without these words."""
        return _masked(_without(text.casefold().split(), self.opening, self.closing))


def _shared(texts: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the longest row of words that at least nine texts in ten start with."""
    if len(texts) < _FEWEST_TEXTS:
        return ()
    enough, found = math.ceil(_SHARED_BY * len(texts)), 0
    remaining = list(texts)
    while True:
        following = Counter(text[found] for text in remaining if len(text) > found)
        if not following:
            break
        word, count = following.most_common(1)[0]
        if count < enough:
            break
        remaining = [text for text in remaining if len(text) > found and text[found] == word]
        found += 1
    return remaining[0][:found]


def _without(words: list[str], opening: tuple[str, ...], closing: tuple[str, ...]) -> str:
    start = len(opening) if tuple(words[: len(opening)]) == opening else 0
    end = len(words) - len(closing) if closing and tuple(words[-len(closing) :]) == closing else len(words)
    return " ".join(words[start:end] if start < end else words)


def _masked(text: str) -> str:
    numbers, words = len(_NUMBER.findall(text)), len(_WORD.findall(text))
    if numbers * 2 >= words and numbers:
        return text
    masked = " ".join(_PUNCTUATION.sub(" ", _NUMBER.sub("0", text)).split())
    return masked or text


# ---------------------------------------------------------------------------------------------------------- pairs


def similarity(left: str, right: str) -> float:
    """Return the Jaccard similarity of two texts' character n-grams, from 0 to 1; texts are taken as they are."""
    return jaccard(hashed_grams(left), hashed_grams(right))


def hashed_grams(text: str) -> NDArray[np.int64]:
    """Return the set of a normalized text's character n-grams as numbers, sorted."""
    return np.unique(_hashed(text))


def jaccard(left: NDArray[Any], right: NDArray[Any]) -> float:
    """Return the Jaccard similarity of two sets, each without repetitions."""
    shared = len(np.intersect1d(left, right, assume_unique=True))
    return shared / (len(left) + len(right) - shared)


class _Forest:
    """Disjoint sets with path halving; the root is the member that comes first."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def root(self, index: int) -> int:
        parent = self._parent
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    def join(self, left: int, right: int) -> None:
        left, right = self.root(left), self.root(right)
        self._parent[max(left, right)] = min(left, right)


class _Index:
    """Sets of grams by their rarest grams, with sketches to turn most candidates away cheaply.

    Sets are added from small to large. Then a pair shares at least 2t / (1 + t) of the smaller set and t of the larger,
    so a shorter prefix is indexed than is looked up (Xiao et al. 2008).
    """

    def __init__(self, sets: Sequence[Grams], sketches: NDArray[np.int32], unshared: int) -> None:
        self._sets, self._sketches, self._unshared = sets, sketches, unshared
        self._sizes = np.array([len(grams) for grams in sets])
        self._members: dict[int, list[int]] = defaultdict(list)

    def add(self, position: int) -> None:
        """Index a set under its prefix."""
        for gram in self._prefix(position, 2 * SIMILARITY / (1 + SIMILARITY)):
            self._members[gram].append(position)

    def similar(self, position: int) -> Iterator[int]:
        """Yield the indexed sets that are similar to this one."""
        candidates = np.unique(np.array(self._candidates(position), dtype=np.int64))
        size, sizes = self._sizes[position], self._sizes[candidates]
        candidates = candidates[np.minimum(sizes, size) >= SIMILARITY * np.maximum(sizes, size)]
        alike = sketches_agree(self._sketches[position], self._sketches[candidates])
        for candidate in candidates[alike].tolist():
            if jaccard(self._sets[candidate], self._sets[position]) >= SIMILARITY:
                yield candidate

    def _candidates(self, position: int) -> list[int]:
        found: list[int] = []
        for gram in self._prefix(position, SIMILARITY):
            if members := self._members.get(gram):
                found += members[: _MOST_CANDIDATES - len(found)]
                if len(found) >= _MOST_CANDIDATES:
                    break
        return found

    def _prefix(self, position: int, share: float) -> list[int]:
        """Return the rarest grams without those in no other set: who shares `share` of all shares one of these."""
        grams = self._sets[position]
        end = len(grams) - math.ceil(share * len(grams) - 1e-9) + 1
        rarest: list[int] = grams[int(np.searchsorted(grams, self._unshared)) : end].tolist()
        return rarest


def similar_pairs(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the positions of all pairs of near-duplicates among different, normalized texts, in no order."""
    sets, sketches, unshared = gram_sets(texts)
    index = _Index(sets, sketches, unshared)
    for position in sorted(range(len(texts)), key=lambda p: len(sets[p])):
        for other in index.similar(position):
            yield other, position
        index.add(position)


def gram_sets(texts: Sequence[str]) -> tuple[list[Grams], NDArray[np.int32], int]:
    """Return each text's set of character n-grams, a sketch of each set, and how many grams only one set has.

    Grams are numbered by frequency, the rarest lowest, and sorted. A sketch holds the least hash of each of 64 ranges
    of hashes (one-permutation MinHash, Li et al. 2012), or -1 where the range is empty: the share of equal places
    estimates the similarity.
    """
    if not texts:
        return [], np.empty((0, _BINS), dtype=np.int32), 0
    hashes = [hashed_grams(text) for text in texts]
    sketches = np.stack([sketch(values) for values in hashes])
    together, ids = np.unique(np.concatenate(hashes), return_inverse=True)
    rank = np.empty(len(together), dtype=np.int32)
    counts = np.minimum(np.bincount(ids, minlength=len(together)), 65535).astype(np.uint16)  # 16 bits: a radix sort
    rank[np.argsort(counts, kind="stable")] = np.arange(len(together))
    borders = np.cumsum([len(values) for values in hashes])[:-1]
    return [np.sort(part) for part in np.split(rank[ids], borders)], sketches, int((counts == 1).sum())


def sketch(hashes: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the sketch of a set of grams, `[64]`; see `gram_sets`."""
    edges = (np.arange(_BINS) << (_HASH_BITS - 6)).astype(np.int64)
    starts = np.append(np.searchsorted(hashes, edges), len(hashes))
    least = np.append(hashes, 0)[starts[:-1]] & 0x7FFFFFFF  # half the bits are enough to tell them apart
    return np.where(starts[:-1] < starts[1:], least, -1).astype(np.int32)


def sketches_agree(mine: NDArray[np.int32], theirs: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Say for each of some sketches, `[n, 64]`, whether its set may be similar to that of another, `[64]`.

    Half of the similarity asked for is enough, at least five standard deviations below: sketches of small sets are
    nearly exact.
    """
    filled = ((mine >= 0) | (theirs >= 0)).sum(axis=1)
    agreeing = ((mine == theirs) & (mine >= 0)).sum(axis=1)
    return np.asarray(agreeing >= SIMILARITY / 2 * filled)


def _hashed(text: str) -> NDArray[np.int64]:
    """Hash every run of GRAM characters (multiply and shift, the upper 62 bits)."""
    codes = np.frombuffer(f"{text:\x00<{GRAM}}".encode("utf-32-le"), dtype=np.uint32)
    length = len(codes) - GRAM + 1
    value = np.zeros(length, dtype=np.uint64)
    for offset in range(GRAM):
        value = (value ^ codes[offset : offset + length].astype(np.uint64)) * _MULTIPLIER
        value ^= value >> np.uint64(29)
    return (value * _MULTIPLIER >> np.uint64(64 - _HASH_BITS)).astype(np.int64)
