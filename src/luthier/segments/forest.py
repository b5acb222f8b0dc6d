"""Segments, targets and batches.

A token attends to its ancestors' segments and to its own segment's past. Independent sequences are roots; a shared
prompt is a root with its completions as children. What is trained or scored is a list of targets, made once in
`data/render.py` and never derived again: siblings share the position that predicts their first token, so a label per
position could not say it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Tokens = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Segment:
    """A run of tokens. `parent` is the index of an earlier segment of the same batch, or -1 for a root."""

    tokens: Tokens
    parent: int = -1


@dataclass(frozen=True)
class Targets:
    """What is read, P positions in all.

    Attributes:
        read_at: `[P]` flat index (segments concatenated in order) of the token whose hidden state is read.
        token: `[P]` id whose log-probability is read there.
        weight: `[P]` how much the position counts; the sum over a step is its number of units.
        sequence: `[P]` index of the sequence (0..U-1) that the position belongs to.
        group: `[U]` index of each sequence's group; a group is never split over micro-batches.
    """

    read_at: Tensor
    token: Tensor
    weight: Tensor
    sequence: Tensor
    group: Tensor

    def __len__(self) -> int:
        return int(self.read_at.shape[0])

    @property
    def sequences(self) -> int:
        """U, the number of sequences."""
        return int(self.group.shape[0])


@dataclass(frozen=True)
class Batch:
    """Segments with their targets.

    Attributes:
        segments: Parents before their children.
        targets: What is read.
        given: Whatever else an objective was given for them, `[P]` or `[U]` tensors.
        repeated: Tokens that are left out because another sequence begins with the same (`share`).
    """

    segments: tuple[Segment, ...]
    targets: Targets
    given: Mapping[str, Tensor] = field(default_factory=dict)
    repeated: int = 0

    def __post_init__(self) -> None:
        for index, segment in enumerate(self.segments):
            if not -1 <= segment.parent < index:
                raise ValueError(f"segment {index} has parent {segment.parent}; a parent stands before its children")
            if not len(segment.tokens):
                raise ValueError(f"segment {index} is empty; leave it out")

    def to(self, device: torch.device) -> Batch:
        """Return the batch with targets and extras on a device (segments stay; layouts move their ids)."""
        moved = {f.name: getattr(self.targets, f.name).to(device) for f in fields(Targets)}
        given = {name: value.to(device) for name, value in self.given.items()}
        return replace(self, targets=Targets(**moved), given=given)

    @property
    def tokens(self) -> int:
        """T, the number of tokens computed."""
        return sum(len(segment.tokens) for segment in self.segments)

    @property
    def all_tokens(self) -> int:
        """Tokens of the sequences as they were given, what they have in common counted each time."""
        return self.tokens + self.repeated

    def starts(self) -> list[int]:
        """Return each segment's flat index of its first token."""
        starts, total = [], 0
        for segment in self.segments:
            starts.append(total)
            total += len(segment.tokens)
        return starts

    def path(self, index: int) -> list[int]:
        """Return the segments from the root down to `index`."""
        path = [index]
        while (parent := self.segments[path[-1]].parent) >= 0:
            path.append(parent)
        return path[::-1]

    def leaves(self) -> list[int]:
        """Return the segments that have no children."""
        parents = {segment.parent for segment in self.segments}
        return [index for index in range(len(self.segments)) if index not in parents]


def sequence_batch(tokens: Tokens, weights: npt.NDArray[np.float32]) -> Batch:
    """Return the batch of one sequence: every token with a non-zero weight is a target, read at the token before it.

    Args:
        tokens: `[n]` ids.
        weights: `[n]` weight of each token as a target; the first must be 0, nothing predicts it.
    """
    if weights[0] != 0:
        raise ValueError("the first token cannot be a target: nothing stands before it")
    at = np.flatnonzero(weights)
    targets = Targets(
        read_at=torch.from_numpy(at - 1),
        token=torch.from_numpy(tokens[at]),
        weight=torch.from_numpy(weights[at].astype(np.float32)),
        sequence=torch.zeros(len(at), dtype=torch.long),
        group=torch.zeros(1, dtype=torch.long),
    )
    return Batch((Segment(tokens),), targets)


def join(batches: Sequence[Batch]) -> Batch:
    """Put batches beside each other; nothing is shared between them (`share` does that)."""
    segments: list[Segment] = []
    columns: dict[str, list[Tensor]] = {"read_at": [], "token": [], "weight": [], "sequence": [], "group": []}
    given: dict[str, list[Tensor]] = {name: [] for name in (batches[0].given if batches else ())}
    flat = sequences = groups = 0
    for batch in batches:
        if batch.given.keys() != given.keys():
            raise ValueError(f"batches carry different extras: {sorted(batch.given)} and {sorted(given)}")
        first = len(segments)
        segments += [Segment(s.tokens, s.parent + first if s.parent >= 0 else -1) for s in batch.segments]
        targets = batch.targets
        columns["read_at"].append(targets.read_at + flat)
        columns["token"].append(targets.token)
        columns["weight"].append(targets.weight)
        columns["sequence"].append(targets.sequence + sequences)
        columns["group"].append(targets.group + groups)
        for name, values in given.items():
            values.append(batch.given[name])
        flat += batch.tokens
        sequences += targets.sequences
        groups += int(targets.group.max()) + 1 if targets.sequences else 0
    return Batch(
        tuple(segments),
        Targets(**{name: torch.cat(parts) for name, parts in columns.items()}),
        {name: torch.cat(parts) for name, parts in given.items()},
        sum(batch.repeated for batch in batches),
    )
