"""What paths begin with in common is laid out once, and every path can be read back."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from luthier.segments import Batch, Segment, join, sequence_batch, share
from luthier.segments.prefixes import share_prefixes


def laid_out(paths: Sequence[Sequence[int]], least: int) -> list[tuple[list[int], int]]:
    segments, leaves = share_prefixes(paths, least)
    assert [read_back(segments, leaf) for leaf in leaves] == [list(path) for path in paths]
    assert len(set(leaves)) == len(paths), "every path has a leaf of its own"
    assert all(-1 <= segment.parent < index for index, segment in enumerate(segments))
    return [(segment.tokens.tolist(), segment.parent) for segment in segments]


def read_back(segments: Sequence[Segment], leaf: int) -> list[int]:
    tokens: list[int] = []
    while leaf >= 0:
        tokens = segments[leaf].tokens.tolist() + tokens
        leaf = segments[leaf].parent
    return tokens


def test_forests_by_hand() -> None:
    assert laid_out([[1, 2, 3], [1, 2, 5]], 2) == [([1, 2], -1), ([3], 0), ([5], 0)]
    assert laid_out([[1, 2, 3], [1, 2, 5]], 3) == [([1, 2, 3], -1), ([1, 2, 5], -1)]
    assert laid_out([[7]], 1) == [([7], -1)]
    assert laid_out([], 1) == []
    # Two levels: a block for all, and a prompt that is asked twice.
    nested = laid_out([[1, 2, 3, 4, 8], [1, 2, 3, 4, 9], [1, 2, 6]], 2)
    assert nested == [([1, 2], -1), ([6], 0), ([3, 4], 0), ([8], 2), ([9], 2)]


def test_equal_paths_share_all_but_their_last_token() -> None:
    assert laid_out([[1, 2, 3]] * 3, 2) == [([1, 2], -1), ([3], 0), ([3], 0), ([3], 0)]
    assert len(laid_out([[4] * 50] * 2000, 4)) == 2001


def test_a_path_may_be_the_beginning_of_another() -> None:
    assert laid_out([[1, 2, 3], [1, 2, 3, 4]], 1) == [([1, 2], -1), ([3], 0), ([3, 4], 0)]


def test_random_paths_can_be_read_back_and_cost_no_more_tokens() -> None:
    draw = random.Random(0)
    saved = 0
    for _ in range(500):
        base = [draw.randint(0, 2) for _ in range(draw.randint(1, 12))]
        paths = []
        for _ in range(draw.randint(1, 9)):
            kept = draw.randint(0, len(base))
            paths.append(base[:kept] + [draw.randint(0, 2) for _ in range(draw.randint(kept == 0, 6))])
        tokens = sum(len(ids) for ids, _ in laid_out(paths, draw.choice([1, 2, 4])))
        saved += sum(map(len, paths)) - tokens
        assert tokens <= sum(map(len, paths))
    assert saved > 1000


def taught(*ids: int, answer: int = 1) -> Batch:
    weights = np.zeros(len(ids), dtype=np.float32)
    weights[-answer:] = np.linspace(1.0, 0.5, answer)
    return sequence_batch(np.array(ids), weights)


def contexts(batch: Batch) -> list[list[int]]:
    """What each target is predicted from: all tokens up to where it is read."""
    found: list[list[int]] = []
    starts = np.array(batch.starts())
    for at in batch.targets.read_at.tolist():
        index = int(np.searchsorted(starts, at, side="right")) - 1
        own = batch.segments[index].tokens[: at - starts[index] + 1]
        found.append(np.concatenate([*(batch.segments[i].tokens for i in batch.path(index)[:-1]), own]).tolist())
    return found


def assert_same_targets(shared: Batch, apart: Batch) -> None:
    assert contexts(shared) == contexts(apart)
    for column in ("token", "weight", "sequence", "group"):
        assert torch.equal(getattr(shared.targets, column), getattr(apart.targets, column))
    assert shared.all_tokens == apart.tokens
    assert shared.tokens + shared.repeated == apart.tokens


def test_sequences_of_a_batch_share_their_beginning_by_hand() -> None:
    apart = join([taught(1, 2, 3, 4), taught(5, 6), taught(1, 2, 3, 9, answer=2)])
    shared = share(apart, 2)
    laid = [(segment.tokens.tolist(), segment.parent) for segment in shared.segments]
    assert laid == [([5, 6], -1), ([1, 2, 3], -1), ([4], 1), ([9], 1)]
    assert shared.targets.read_at.tolist() == [4, 0, 3, 4]  # the third sequence's first target is the shared 3
    assert (apart.tokens, shared.tokens, shared.repeated) == (10, 7, 3)
    assert_same_targets(shared, apart)


def test_what_shares_too_little_stays_as_it_is() -> None:
    apart = join([taught(1, 2, 3, 4), taught(1, 2, 3, 9)])
    assert share(apart, 4) is apart
    long = join([taught(*range(20), 30), taught(*range(20), 40)])
    assert share(long).tokens == 22
    assert share(join([taught(*range(7), 30), taught(*range(7), 40)])).repeated == 0, "8 tokens at least"


def test_extras_and_what_was_left_out_stay_with_the_batch() -> None:
    margins = [{"margin": torch.tensor([float(last)])} for last in (30, 40)]
    apart = join([replace(taught(*range(20), 30 + i), given=given) for i, given in enumerate(margins)])
    shared = share(apart)
    assert shared.given["margin"].tolist() == [30.0, 40.0]
    assert (shared.repeated, shared.to(torch.device("cpu")).repeated) == (20, 20)
    twice = join([shared, share(replace(apart))])
    assert (twice.tokens, twice.repeated) == (44, 40)
    again = share(twice)
    assert (again.tokens, again.all_tokens) == (24, 84)


def test_random_batches_read_every_target_from_the_same_tokens(forest: Callable[..., Batch]) -> None:
    draw = random.Random(1)
    saved = 0
    for seed in range(200):
        sequences = []
        base = [draw.randint(3, 5) for _ in range(8)]
        for _ in range(draw.randint(1, 6)):
            ids = base[: draw.randint(0, 8)] + [draw.randint(3, 5) for _ in range(draw.randint(2, 6))]
            sequences.append(taught(*ids, answer=draw.randint(1, len(ids) - 1)))
        sequences.append(forest((-1, 0, 0, -1, 3), seed=seed))  # one that shares something already
        apart = join(sequences)
        shared = share(apart, 3)
        assert contexts(shared) == contexts(apart)
        assert shared.tokens <= apart.tokens
        saved += shared.repeated
    assert saved > 500
