"""Forests and their two layouts, by hand.

The forest of most tests here, with its flat indices and positions:

    segment 0  root            tokens 10 11 12   flat 0-2    positions 0 1 2
    segment 1  child of 0      tokens 20 21      flat 3-4    positions 3 4
    segment 2  child of 0      tokens 30         flat 5      positions 3
    segment 3  child of 1      tokens 40 41      flat 6-7    positions 5 6
    segment 4  another root    tokens 50 51      flat 8-9    positions 0 1
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from luthier.segments import Batch, PackedLayout, RowsLayout, Segment, Span, Targets, join, sequence_batch
from luthier.segments.packing import pack_by_tokens

LONG = torch.long


def targets(read_at: list[int], token: list[int], sequence: list[int], sequences: int = 1) -> Targets:
    return Targets(
        torch.tensor(read_at, dtype=LONG),
        torch.tensor(token, dtype=LONG),
        torch.ones(len(token)),
        torch.tensor(sequence, dtype=LONG),
        torch.arange(sequences),
    )


@pytest.fixture
def batch() -> Batch:
    tokens = [[10, 11, 12], [20, 21], [30], [40, 41], [50, 51]]
    parents = [-1, 0, 0, 1, -1]
    # 20 and 30 are both predicted by 12 (flat 2); 40 by 21 (flat 4); 41 by 40 (flat 6); 51 by 50 (flat 8).
    aims = targets([2, 2, 4, 6, 8], [20, 30, 40, 41, 51], [0, 1, 2, 2, 3], sequences=4)
    return Batch(tuple(Segment(np.array(t), p) for t, p in zip(tokens, parents, strict=True)), aims)


def test_starts_paths_and_leaves(batch: Batch) -> None:
    assert batch.tokens == 10
    assert batch.starts() == [0, 3, 5, 6, 8]
    assert [batch.path(i) for i in range(5)] == [[0], [0, 1], [0, 2], [0, 1, 3], [4]]
    assert batch.leaves() == [2, 3, 4]


def test_the_packed_row(batch: Batch) -> None:
    layout = PackedLayout(batch)
    assert layout.input_ids.tolist() == [[10, 11, 12, 20, 21, 30, 40, 41, 50, 51]]
    assert layout.position_ids.tolist() == [[0, 1, 2, 3, 4, 3, 5, 6, 0, 1]]
    assert layout.plan.spans == (
        Span((0, 3)),
        Span((3, 5), ((0, 3),)),
        Span((5, 6), ((0, 3),)),
        Span((6, 8), ((0, 3), (3, 5))),
        Span((8, 10)),
    )
    assert layout.plan.positions.tolist() == layout.position_ids[0].tolist()


def test_the_padded_rows(batch: Batch) -> None:
    layout = RowsLayout(batch, pad_id=99)
    assert layout.input_ids.tolist() == [
        [10, 11, 12, 30, 99, 99, 99],
        [10, 11, 12, 20, 21, 40, 41],
        [50, 51, 99, 99, 99, 99, 99],
    ]
    assert layout.attention_mask.tolist() == [[1, 1, 1, 1, 0, 0, 0], [1] * 7, [1, 1, 0, 0, 0, 0, 0]]
    assert layout.position_ids.tolist() == [[0, 1, 2, 3, 4, 5, 6]] * 3


def test_both_layouts_gather_the_same_tokens_in_the_same_order(batch: Batch) -> None:
    wanted = [12, 12, 21, 40, 50]
    packed, rows = PackedLayout(batch), RowsLayout(batch, pad_id=99)
    assert packed.gather(packed.input_ids[..., None])[:, 0].tolist() == wanted
    assert rows.gather(rows.input_ids[..., None])[:, 0].tolist() == wanted


def test_one_sequence_is_read_before_its_targets() -> None:
    batch = sequence_batch(np.array([5, 6, 7, 8]), np.array([0, 0, 0.5, 1], dtype=np.float32))
    assert batch.targets.read_at.tolist() == [1, 2]
    assert batch.targets.token.tolist() == [7, 8]
    assert batch.targets.weight.tolist() == [0.5, 1.0]
    assert (batch.targets.sequence.tolist(), batch.targets.group.tolist()) == ([0, 0], [0])
    with pytest.raises(ValueError, match="nothing stands before it"):
        sequence_batch(np.array([5, 6]), np.array([1, 1], dtype=np.float32))


def test_join_shifts_every_index(batch: Batch) -> None:
    single = sequence_batch(np.array([5, 6, 7]), np.array([0, 1, 0], dtype=np.float32))
    joined = join([single, batch, single])
    assert [s.parent for s in joined.segments] == [-1, -1, 1, 1, 2, -1, -1]
    assert joined.tokens == 16
    assert joined.targets.read_at.tolist() == [0, 5, 5, 7, 9, 11, 13]
    assert joined.targets.token.tolist() == [6, 20, 30, 40, 41, 51, 6]
    assert joined.targets.sequence.tolist() == [0, 1, 2, 3, 3, 4, 5]
    assert joined.targets.group.tolist() == [0, 1, 2, 3, 4, 5]
    assert joined.targets.sequences == 6
    assert len(joined.targets) == 7


def test_a_group_stays_one_group_when_joined() -> None:
    pair = Batch(
        (Segment(np.array([1, 2])), Segment(np.array([3, 4]))),
        Targets(
            torch.tensor([0, 2]), torch.tensor([2, 4]), torch.ones(2), torch.tensor([0, 1]), torch.zeros(2, dtype=LONG)
        ),
    )
    assert join([pair, pair]).targets.group.tolist() == [0, 0, 1, 1]


def test_what_an_objective_was_given_is_joined_too() -> None:
    single = sequence_batch(np.array([5, 6, 7]), np.array([0, 1, 1], dtype=np.float32))
    one = Batch(single.segments, single.targets, {"old_logps": torch.tensor([-1.0, -2.0])})
    two = Batch(single.segments, single.targets, {"old_logps": torch.tensor([-3.0, -4.0])})
    assert join([one, two]).given["old_logps"].tolist() == [-1, -2, -3, -4]
    with pytest.raises(ValueError, match=r"different extras: \[\] and \['old_logps'\]"):
        join([one, single])


@pytest.mark.parametrize(
    ("parents", "message"), [([0], "segment 0 has parent 0"), ([-1, 2, 0], "segment 1 has parent 2")]
)
def test_a_parent_stands_before_its_children(parents: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Batch(tuple(Segment(np.array([1]), p) for p in parents), targets([], [], []))


def test_an_empty_segment_is_refused() -> None:
    with pytest.raises(ValueError, match="segment 1 is empty; leave it out"):
        Batch((Segment(np.array([1])), Segment(np.array([], dtype=np.int64), 0)), targets([], [], []))


@pytest.mark.parametrize(
    ("lengths", "capacity", "bins"),
    [
        ([], 10, []),
        ([4, 4, 4], 8, [[0, 1], [2]]),
        ([4, 5, 4], 8, [[0], [1], [2]]),
        ([8, 1], 8, [[0], [1]]),
        ([20, 3, 3], 8, [[0], [1, 2]]),  # longer than the capacity: a bin of its own
        ([3, 20, 3], 8, [[0], [1], [2]]),
        ([1, 1, 1], 1, [[0], [1], [2]]),
    ],
)
def test_items_are_packed_in_their_order(lengths: list[int], capacity: int, bins: list[list[int]]) -> None:
    assert pack_by_tokens(lengths, capacity) == bins
