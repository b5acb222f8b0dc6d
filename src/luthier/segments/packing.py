"""Splitting a step's sequences into micro-batches."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.segments.forest import Batch, join


def pack_by_tokens(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Group items in their order into bins of at most `capacity` tokens (an item longer than that gets its own bin).

    Next-fit rather than a tighter packing: the order of examples, and with it the resumed run, stays obvious; a packed
    row has no padding to save anyway.
    """
    bins: list[list[int]] = []
    used = 0
    for index, length in enumerate(lengths):
        if not bins or used + length > capacity:
            bins.append([])
            used = 0
        bins[-1].append(index)
        used += length
    return bins


def micro_batches(sequences: Sequence[Batch], capacity: int) -> list[Batch]:
    """Join sequences, in their order, into batches of at most `capacity` tokens (or one sequence)."""
    bins = pack_by_tokens([sequence.tokens for sequence in sequences], capacity)
    return [join([sequences[i] for i in members]) for members in bins]
