"""The two layouts of a forest. Both give the same readouts in the same order: nothing above `models` knows which ran.

`PackedLayout` is one row of all segments, with a plan that says who sees whom: no padding, shared prefixes once.
`RowsLayout` is one padded row a leaf, with an ordinary mask: the reference of every parity test, and the path of
architectures that cannot pack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from luthier.segments.forest import Batch

Range = tuple[int, int]
"""Where something begins and ends in the packed row."""


@dataclass(frozen=True)
class Span:
    """One segment in the packed row: its queries, and the ranges of its ancestors' keys in order of position."""

    query: Range
    ancestors: tuple[Range, ...] = ()


@dataclass(frozen=True)
class AttentionPlan:
    """Who sees whom in a packed row; takes the place of a mask. The spans' queries are the whole row, in order."""

    spans: tuple[Span, ...]
    positions: Tensor
    """`[T]` positions, for sliding windows: distances count along the path, not along the row."""


class PackedLayout:
    """All segments in one row `[1, T]`."""

    name = "packed"

    def __init__(self, batch: Batch, device: torch.device | None = None) -> None:
        starts = batch.starts()
        ranges = [(start, start + len(segment.tokens)) for start, segment in zip(starts, batch.segments, strict=True)]
        offsets = _offsets(batch)
        positions = np.concatenate(
            [np.arange(o, o + len(s.tokens)) for o, s in zip(offsets, batch.segments, strict=True)]
        )
        spans = tuple(
            Span(ranges[index], tuple(ranges[i] for i in batch.path(index)[:-1]))
            for index in range(len(batch.segments))
        )
        self.input_ids = torch.from_numpy(np.concatenate([s.tokens for s in batch.segments]))[None].to(device)
        self.position_ids = torch.from_numpy(positions)[None].to(device)
        self.plan = AttentionPlan(spans, self.position_ids[0])
        self._read_at = batch.targets.read_at.to(device)

    def gather(self, hidden: Tensor) -> Tensor:
        """Take the hidden states at the targets: `[1, T, D]` -> `[P, D]`."""
        return hidden[0, self._read_at]


class RowsLayout:
    """One right-padded row `[B, S]` a leaf; shared segments are computed once in every row that contains them."""

    name = "rows"

    def __init__(self, batch: Batch, pad_id: int, device: torch.device | None = None) -> None:
        paths = [batch.path(leaf) for leaf in batch.leaves()]
        rows = [np.concatenate([batch.segments[i].tokens for i in path]) for path in paths]
        longest = max(map(len, rows))
        ids = np.full((len(rows), longest), pad_id, dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        self.input_ids = torch.from_numpy(ids).to(device)
        self.attention_mask = torch.from_numpy(mask).to(device)
        self.position_ids = torch.arange(longest).expand(len(rows), -1).to(device)
        places = torch.from_numpy(_places(batch, paths, longest))
        self._read_at = places[batch.targets.read_at].to(device)

    def gather(self, hidden: Tensor) -> Tensor:
        """Take the hidden states at the targets: `[B, S, D]` -> `[P, D]`."""
        return hidden.flatten(0, 1)[self._read_at]


def _offsets(batch: Batch) -> list[int]:
    """Position of each segment's first token: its parent's end."""
    offsets: list[int] = []
    for segment in batch.segments:
        parent = segment.parent
        offsets.append(0 if parent < 0 else offsets[parent] + len(batch.segments[parent].tokens))
    return offsets


def _places(batch: Batch, paths: Sequence[Sequence[int]], longest: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Map each flat token index to its place in the flattened rows (the first row that contains it)."""
    starts = batch.starts()
    places = np.full(batch.tokens, -1, dtype=np.int64)
    for row, path in enumerate(paths):
        column = 0
        for index in path:
            length = len(batch.segments[index].tokens)
            if places[starts[index]] < 0:
                places[starts[index] : starts[index] + length] = row * longest + column + np.arange(length)
            column += length
    return places
