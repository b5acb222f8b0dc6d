from __future__ import annotations

import random

import pytest
from data_samples import example, examples, sentence

from luthier.core.errors import ConfigError, DataError
from luthier.core.types import Example
from luthier.data.splits import FRACTIONS, Parts, split


def part_of(parts: Parts) -> dict[str, str]:
    return {e.id: name for name in ("tune", "choose", "confirm") for e in getattr(parts, name)}


def test_default_shares_are_eight_four_three() -> None:
    assert sum(FRACTIONS) == pytest.approx(1, abs=1e-12)
    sizes = [split(examples(300), seed).sizes for seed in range(5)]
    for name, expected in (("tune", 160), ("choose", 80), ("confirm", 60)):
        counts = [size[name] for size in sizes]  # type: ignore[index]
        assert all(abs(count - expected) < 35 for count in counts)
        assert abs(sum(counts) / 5 - expected) < 15
    assert all(sum(size.values()) == 300 for size in sizes)


def test_parts_keep_the_order_of_the_rows_and_every_row_is_in_one() -> None:
    rows = examples(100)
    parts = split(rows)
    assert sorted((*parts.tune, *parts.choose, *parts.confirm), key=rows.index) == rows
    for part in (parts.tune, parts.choose, parts.confirm):
        assert list(part) == sorted(part, key=rows.index)
    assert parts["choose"] is parts.choose
    assert parts.to_json()["confirm"] == [e.id for e in parts.confirm]


def test_the_seed_and_the_fractions_matter() -> None:
    rows = examples(200)
    assert part_of(split(rows, 0)) == part_of(split(rows, 0))
    assert part_of(split(rows, 0)) != part_of(split(rows, 1))
    sizes = split(rows, 0, (0.2, 0.2, 0.6)).sizes
    assert sizes["confirm"] > 90
    assert sizes["tune"] < 70


def test_added_rows_move_no_other() -> None:
    rows = examples(200)
    before = part_of(split(rows))
    more = [*rows, *examples(150, start=1000), *(example(2000 + n, sentence(n) + "!!") for n in range(40))]
    after = part_of(split(more))
    assert {name: after[name] for name in before} == before
    for n in range(40):  # a new near-duplicate goes where its like is
        assert after[f"e{2000 + n}"] == before[f"e{n}"]


def test_the_order_of_different_rows_does_not_matter() -> None:
    rows = examples(200)
    assert part_of(split(random.Random(3).sample(rows, 200))) == part_of(split(rows))


def _punctuated(text: str, way: int) -> str:
    return text + " " + "?" * way


def _one_word_changed(text: str, way: int) -> str:
    words = text.split()
    return " ".join(["cobalt" if place == 6 * way - 1 else word for place, word in enumerate(words)])


def test_near_duplicates_and_clusters_stay_together() -> None:
    for change in (_punctuated, _one_word_changed):
        parts = split([example(n, change(sentence(n // 4, 24), n % 4)) for n in range(200)])
        where = part_of(parts)
        assert all(len({where[f"e{n}"] for n in range(k, k + 4)}) == 1 for k in range(0, 200, 4))
        assert parts.notes == ("150 row(s) stay in the part of a row that is nearly the same or of the same cluster.",)
    clustered = [example(n, cluster=str(n % 25)) for n in range(200)]
    where = part_of(split(clustered))
    assert all(len({where[f"e{n}"] for n in range(k, 200, 25)}) == 1 for k in range(25))
    assert part_of(split(clustered[::-1])) == where


def test_few_rows_still_fill_every_part() -> None:
    for seed in range(40):
        sizes = split(examples(30), seed).sizes
        assert min(sizes.values()) >= 5
        assert sum(sizes.values()) == 30
        assert min(split(examples(40), seed, (0.96, 0.02, 0.02)).sizes.values()) >= 5
        assert min(split(examples(40), seed, (0.02, 0.02, 0.96)).sizes.values()) >= 5


def test_too_few_rows_or_groups_are_one_sentence() -> None:
    with pytest.raises(DataError) as caught:
        split(examples(29))
    assert str(caught.value) == (
        "29 row(s) are too few to learn from and to prove anything on: at least 30 are needed, 200 or more are better. "
        "Add rows."
    )
    with pytest.raises(DataError) as caught:
        split([example(n, sentence(n % 2)) for n in range(60)])
    assert str(caught.value) == (
        "The 60 rows form only 2 group(s) of near-duplicates or of one cluster (the largest has 30 rows), too few "
        "to fill "
        "three parts without the same text in two of them. Add rows that differ, or give the parts yourself in a "
        "column "
        "'split' with train, validation and test."
    )


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.0), (0.5, 0.3, 0.3), (0.5, 0.5), (1.2, -0.1, -0.1)])
def test_fractions_must_be_shares(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match="are not three shares above 0 that add up to 1"):
        split(examples(40), 0, fractions)


# ---------------------------------------------------------------------------------------------------------- given


def given(rows: list[Example], *sizes: int) -> dict[str, str]:
    names = [name for name, size in zip(("tune", "choose", "confirm"), sizes, strict=True) for _ in range(size)]
    return {row.id: name for row, name in zip(rows, names, strict=False)}


def test_given_parts_are_taken_as_they_are() -> None:
    rows = examples(60)
    parts = split(rows, given=given(rows, 40, 10, 10))  # type: ignore[arg-type]
    assert parts.sizes == {"tune": 40, "choose": 10, "confirm": 10}
    assert (parts.tune, parts.notes, parts.removed) == (tuple(rows[:40]), (), ())


def test_overlap_of_given_parts_is_removed_from_train_and_counted() -> None:
    rows = examples(60)
    rows[3] = example(3, sentence(55) + "!")
    rows[4] = example(4, sentence(45).upper())
    rows[41] = example(41, sentence(57))
    parts = split(rows, given=given(rows, 40, 10, 10))  # type: ignore[arg-type]
    assert [e.id for e in parts.removed] == ["e3", "e4"]
    assert parts.sizes == {"tune": 38, "choose": 10, "confirm": 10}
    assert parts.notes == (
        "2 row(s) of train repeat a row of another part and were removed from it.",
        "1 row(s) of validation repeat a row of test; both were kept as given.",
    )
    assert parts.to_json()["removed"] == ["e3", "e4"]


@pytest.mark.parametrize(("sizes", "name"), [((90, 0, 10), "test"), ((90, 10, 0), "validation")])
def test_one_held_out_part_confirms_and_choose_comes_out_of_train(sizes: tuple[int, int, int], name: str) -> None:
    rows = examples(100)
    parts = split(rows, given=given(rows, *sizes))  # type: ignore[arg-type]
    assert parts.confirm == tuple(rows[90:])
    assert 15 <= len(parts.choose) <= 45
    assert len(parts.tune) + len(parts.choose) == 90
    assert parts.notes == (
        f"Only train and {name} are given: {len(parts.choose)} row(s) of train are set aside to choose on; {name} "
        "confirms.",
    )


def test_given_parts_that_cannot_be_used() -> None:
    rows = examples(60)
    with pytest.raises(DataError, match="none of them is there to learn from"):
        split(rows, given=given(rows, 0, 30, 30))  # type: ignore[arg-type]
    with pytest.raises(DataError) as caught:
        split(rows, given=given(rows, 50, 7, 3))  # type: ignore[arg-type]
    assert str(caught.value) == (
        "The given parts leave 50 rows to learn from, 7 to choose on and 3 to confirm on; each needs at least 5. "
        "Add rows, "
        "or give no parts and let the rows be divided."
    )
    parts = split(rows, given=given(rows, 40, 8, 8))  # type: ignore[arg-type]
    assert parts.notes == ("4 row(s) belong to no part and are left out.",)
