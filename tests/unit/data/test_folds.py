"""Cross-validation: every row is confirmed in exactly one fold, and what belongs together is never torn apart."""

from __future__ import annotations

import random

import pytest
from data_samples import example, examples, sentence

from luthier.core.errors import ConfigError, DataError
from luthier.core.types import Example
from luthier.data.splits import Parts, split
from luthier.stages.material import DataConfig


def in_folds(rows: list[Example], count: int, seed: int = 0) -> list[Parts]:
    return [split(rows, seed, fold=(number, count)) for number in range(1, count + 1)]


def fold_of(folds: list[Parts]) -> dict[str, int]:
    return {e.id: number for number, parts in enumerate(folds, start=1) for e in parts.confirm}


@pytest.mark.parametrize(("rows", "count", "sizes"), [
    (50, 5, [10, 10, 10, 10, 10]),
    (48, 3, [16, 16, 16]),
    # 23 / 5 = 4.6: the fifth row brings a fold nearer to it (4.5); 18 / 4 = 4.5 takes five; 13 / 3 = 4.33 four;
    # 9 / 2 = 4.5 five; four are left.
    (23, 5, [5, 5, 4, 5, 4]),
    (20, 10, [2] * 10),
])  # fmt: skip
def test_every_row_is_confirmed_exactly_once(rows: int, count: int, sizes: list[int]) -> None:
    together = examples(rows)
    folds = in_folds(together, count)
    assert [len(parts.confirm) for parts in folds] == sizes
    confirmed = [e.id for parts in folds for e in parts.confirm]
    assert sorted(confirmed) == sorted(e.id for e in together)
    for parts in folds:
        assert sorted((*parts.tune, *parts.choose, *parts.confirm), key=together.index) == together
        for part in (parts.tune, parts.choose, parts.confirm):
            assert list(part) == sorted(part, key=together.index)
        assert min(len(parts.tune), len(parts.choose)) >= 5
        assert parts.notes == ()


def test_two_thirds_of_the_others_are_learned_from() -> None:
    shares = []
    for seed in range(8):
        for parts in in_folds(examples(150), 5, seed):
            assert parts.sizes["confirm"] == 30
            shares.append(len(parts.tune) / 120)
    assert sum(shares) / len(shares) == pytest.approx(2 / 3, abs=0.03)


def test_folds_hang_on_seed_and_rows_alone() -> None:
    rows = examples(60)
    folds = in_folds(rows, 5)
    assert in_folds(rows, 5) == folds
    shuffled = random.Random(3).sample(rows, 60)
    assert fold_of(in_folds(shuffled, 5)) == fold_of(folds)
    other = fold_of(in_folds(rows, 5, seed=1))
    assert sum(other[name] == number for name, number in fold_of(folds).items()) < 30  # one in five by chance


def test_folds_do_not_follow_the_division_into_parts() -> None:
    """The draws are new ones: rows that would confirm without folds are spread over all folds."""
    rows = examples(150)
    confirming = {e.id for e in split(rows).confirm}
    counts = [sum(e.id in confirming for e in parts.confirm) for parts in in_folds(rows, 5)]
    assert sum(counts) == len(confirming) > 20
    assert max(counts) < len(confirming) / 2


def test_near_duplicates_and_clusters_stay_together() -> None:
    rows = [example(n, sentence(n // 4) + " " + "?" * (n % 4)) for n in range(80)]
    for parts in in_folds(rows, 5):
        where = {e.id: name for name in ("tune", "choose", "confirm") for e in parts[name]}  # type: ignore[index]
        assert all(len({where[f"e{n}"] for n in range(k, k + 4)}) == 1 for k in range(0, 80, 4))
        assert parts.sizes["confirm"] == 16
        assert parts.notes == ("60 row(s) stay in the part of a row that is nearly the same or of the same cluster.",)
    clustered = [example(n, cluster=str(n % 16)) for n in range(80)]
    where = {name: str(number) for name, number in fold_of(in_folds(clustered, 4)).items()}
    assert all(len({where[f"e{n}"] for n in range(k, 80, 16)}) == 1 for k in range(16))


@pytest.mark.parametrize("seed", range(6))
def test_a_large_group_leaves_no_fold_empty(seed: int) -> None:
    """A third of the rows are of one customer: one fold has them, the others share what is left."""
    rows = [example(n, cluster="large" if n < 20 else None) for n in range(60)]
    folds = in_folds(rows, 5, seed)
    sizes = sorted(len(parts.confirm) for parts in folds)
    assert sum(sizes) == 60
    assert sizes[0] >= 6
    assert sizes[-1] >= 20
    assert len({number for name, number in fold_of(folds).items() if int(name[1:]) < 20}) == 1


def test_fold_0_sets_nothing_aside() -> None:
    rows = examples(40)
    parts = split(rows, fold=(0, 5))
    assert parts.confirm == ()
    assert sorted((*parts.tune, *parts.choose), key=rows.index) == rows
    assert parts.notes == ("No row is set aside to confirm: each was confirmed in one of 5 folds.",)


def test_given_parts_do_not_count() -> None:
    rows = examples(40)
    given = {row.id: "tune" for row in rows[:30]} | {row.id: "confirm" for row in rows[30:]}
    parts = split(rows, given=given, fold=(2, 4))  # type: ignore[arg-type]
    assert parts.confirm == split(rows, fold=(2, 4)).confirm
    assert parts.notes == ("The parts that the data names do not count: cross-validation divides all rows.",)


def test_too_few_rows_or_groups_are_one_sentence() -> None:
    with pytest.raises(DataError) as caught:
        split(examples(19), fold=(1, 5))
    assert str(caught.value) == (
        "19 row(s) are too few to learn from and to prove anything on, also by cross-validation: at least 20 are "
        "needed. Add rows."
    )
    with pytest.raises(DataError) as caught:
        split(examples(25), fold=(1, 13))
    assert str(caught.value) == (
        "25 rows are too few for 13 folds: each needs at least 2. Take 12 folds or fewer, such as --folds 5."
    )
    assert len(in_folds(examples(26), 13)) == 13
    alike = [example(n, sentence(n % 4)) for n in range(40)]
    with pytest.raises(DataError) as caught:
        split(alike, fold=(1, 5))
    assert str(caught.value) == (
        "The 40 rows form only 4 group(s) of near-duplicates or of one cluster (the largest has 10 rows), too few for "
        "5 folds that each leave rows to learn from and to choose on. Add rows that differ, or take fewer folds."
    )


@pytest.mark.parametrize("fold", [[1], [6, 5], [-1, 5], [1, 1], [1, 2, 3]])
def test_a_fold_that_is_none(fold: list[int]) -> None:
    with pytest.raises(ConfigError, match=r"data\.fold|fold: .*not \[k, K\] with two folds or more"):
        DataConfig.parse({"path": "rows.csv", "fold": fold}, "data")
    assert DataConfig.parse({"path": "rows.csv", "fold": [0, 2]}, "data").fold == [0, 2]
