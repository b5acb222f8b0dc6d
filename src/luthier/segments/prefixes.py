"""Sharing: from complete token paths to a forest in which common beginnings stand once.

Sharing is decided on tokens, never on text: two texts that begin alike may be tokenised differently where they part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from luthier.segments.forest import Batch, Segment, Tokens

LEAST_SHARED = 8
"""Tokens; a shorter common beginning is not worth a segment of its own."""


def share_prefixes(
    paths: Sequence[Sequence[int] | Tokens], least: int = LEAST_SHARED
) -> tuple[tuple[Segment, ...], tuple[int, ...]]:
    """Lay paths out as a forest that computes their common beginnings once.

    Args:
        paths: Token ids of whole sequences; at least one token each.
        least: Shortest beginning, in tokens, that gets a segment of its own.

    Returns:
        The segments, parents before children, and the index of each path's leaf. Every path has a leaf of its own with
        at least its last token, also where paths are equal.
    """
    rows = [np.asarray(path, dtype=np.int64) for path in paths]
    order = sorted(range(len(rows)), key=lambda i: rows[i].tolist())
    segments: list[Segment] = []
    leaves = [-1] * len(rows)
    groups = [(order, 0, -1)] if order else []  # paths in order of their tokens, tokens laid out, segment they end in
    while groups:
        members, laid, parent = groups.pop()
        common = _common(rows[members[0]], rows[members[-1]]) if len(members) > 1 else 0
        if common - laid >= least:
            segments.append(Segment(rows[members[0]][laid:common], parent))
            laid, parent = common, len(segments) - 1
        for part in _parts(members, rows, common):
            if len(part) > 1:
                groups.append((part, laid, parent))
                continue
            segments.append(Segment(rows[part[0]][laid:], parent))
            leaves[part[0]] = len(segments) - 1
    return tuple(segments), tuple(leaves)


def share(batch: Batch, least: int = LEAST_SHARED) -> Batch:
    """Return a batch that computes what its sequences begin with in common once; its targets and their order stay.

    Args:
        batch: Sequences, or forests of them.
        least: As in `share_prefixes`.
    """
    starts, leaves = batch.starts(), batch.leaves()
    paths = [batch.path(leaf) for leaf in leaves]
    segments, ends = share_prefixes([np.concatenate([batch.segments[i].tokens for i in path]) for path in paths], least)
    shared = Batch(segments, batch.targets, batch.given)
    if shared.tokens >= batch.tokens:
        return batch
    places = np.empty(batch.tokens, dtype=np.int64)
    laid = shared.starts()
    for path, end in zip(paths, ends, strict=True):
        places[_along(batch, path, starts)] = _along(shared, shared.path(end), laid)
    read_at = torch.from_numpy(places)[batch.targets.read_at]
    repeated = batch.repeated + batch.tokens - shared.tokens
    return replace(shared, targets=replace(batch.targets, read_at=read_at), repeated=repeated)


def _along(batch: Batch, path: Sequence[int], starts: Sequence[int]) -> Tokens:
    """Flat indices of the tokens of a path."""
    return np.concatenate([np.arange(starts[i], starts[i] + len(batch.segments[i].tokens)) for i in path])


def _common(first: Tokens, last: Tokens) -> int:
    """Length of the common beginning of a sorted group, of which each keeps a token of its own."""
    n = min(len(first), len(last))
    parted = np.flatnonzero(first[:n] != last[:n])
    return min(int(parted[0]) if len(parted) else n, n - 1)


def _parts(members: Sequence[int], rows: Sequence[Tokens], common: int) -> Iterator[list[int]]:
    """Divide a sorted group by the token that follows what is common; what has no more tokens than that is apart."""
    part: list[int] = []
    for index in members:
        if part and rows[part[-1]][common] == rows[index][common] and len(rows[part[-1]]) > common + 1:
            part.append(index)
            continue
        if part:
            yield part
        part = [index]
    if part:
        yield part
