"""What paths begin with in common is laid out once, and every path can be read back."""

from __future__ import annotations

import random
from collections.abc import Sequence

from luthier.segments import Segment
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
