"""The three parts of rows larger than memory.

Every row draws by what it asks (or by its cluster), so that rows which ask the same stay together, and the draw says
its part as in `luthier.data.splits`. But `choose` and `confirm` hold about `MOST_HELD_OUT` rows each, what is beyond is
learned from: an interval of 2,000 right-or-wrong answers is 4.4 points wide at most, and each row costs an answer
before tuning and after it. Only held-out rows are compared with each other and with all the others: rows that repeat
one are removed from what is learned, and rows to choose that repeat one to confirm are removed.

Given parts are taken as they are; of a held-out part with more rows some are drawn, and the others are left out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from luthier.core.errors import DataError
from luthier.core.listener import Listener, SilentListener
from luthier.core.seeding import derive
from luthier.core.types import Example
from luthier.data.held_out import HeldOutRows
from luthier.data.overlap import remove_overlap
from luthier.data.row_store import RowStore, StoredExamples
from luthier.data.splits import FEWEST_IN_A_PART, FRACTIONS, Parts

MOST_HELD_OUT = 2000
"""Most rows of choose, and of confirm."""
_SECOND, _THIRD = FRACTIONS[0], FRACTIONS[0] + FRACTIONS[1]
_EVERY = 1000
Booleans = npt.NDArray[np.bool_]
Once = Callable[[str, Callable[[], list[int]]], list[int]]


def divide_rows(store: RowStore, seed: int = 0, listener: Listener | None = None, once: Once | None = None) -> Parts:
    """Divide stored rows; those to learn from stay on disk.

    Args:
        store: The rows.
        seed: Other seeds give other divisions.
        listener: Told of progress.
        once: Keeps what takes long under a name, so that it is found again (`RunDirectory.once`).

    Raises:
        DataError: if a part would have fewer than five rows.
    """
    part = np.asarray(store.index["part"])
    given = len(np.unique(part[part >= 0])) > 1
    draws = _draws(_units(store), seed)
    tune, choose, confirm, notes = _given(store, part, draws) if given else _drawn(store, draws)
    held_out = _examples(store, choose), _examples(store, confirm)
    if not given:
        held_out, note = _apart(*held_out)
        notes += note
    learned = StoredExamples(store, np.flatnonzero(tune))
    _require_filled(len(learned), *map(len, held_out))
    index = HeldOutRows([*held_out[0], *held_out[1]])
    removed = (once or _now)(
        "repeating_held_out_rows", lambda: _repeating(index, learned, listener or SilentListener())
    )
    kept = np.ones(len(learned), dtype=np.bool_)
    kept[removed] = False
    if removed:
        notes.append(f"{len(removed):,} row(s) to learn from repeat a held-out row and were removed.")
    parts = Parts(learned.take(kept), *held_out, removed=learned.take(~kept), notes=tuple(notes))
    _require_filled(*parts.sizes.values())
    return parts


def _now(name: str, compute: Callable[[], list[int]]) -> list[int]:
    return compute()


def _units(store: RowStore) -> npt.NDArray[np.uint64]:
    """Return a number a row, equal for rows that stay together."""
    return np.asarray(store.index["cluster" if store.mapping.cluster else "asked"])


def _draws(units: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.float64]:
    """Return a number in [0, 1) a row, by its unit and the seed (the finaliser of SplitMix64)."""
    mixed = units ^ np.uint64(derive(seed, "split"))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)) / 2.0**53


def _drawn(store: RowStore, draws: npt.NDArray[np.float64]) -> tuple[Booleans, Booleans, Booleans, list[str]]:
    choose = _first(store, draws, (draws >= _SECOND) & (draws < _THIRD))
    confirm = _first(store, draws, draws >= _THIRD)
    return ~(choose | confirm), choose, confirm, []


def _given(
    store: RowStore, part: npt.NDArray[np.int8], draws: npt.NDArray[np.float64]
) -> tuple[Booleans, Booleans, Booleans, list[str]]:
    tune, choose, confirm = (part == number for number in range(3))
    notes: list[str] = []
    if not tune.any():
        raise DataError(
            "The data comes in parts, but none of them is there to learn from. Add rows of the part 'train', or read "
            "the validation or test file alone."
        )
    if without := int((part < 0).sum()):
        notes.append(f"{without:,} row(s) belong to no part and are left out.")
    if not choose.any() or not confirm.any():
        name = "test" if confirm.any() else "validation"
        confirm = confirm | choose
        choose = _first(store, draws, tune & (draws >= _SECOND / _THIRD))
        tune = tune & ~choose
        notes.append(
            f"Only train and {name} are given: {int(choose.sum()):,} row(s) of train are set aside to choose on; "
            f"{name} confirms."
        )
    for name, rows in (("choose", choose), ("confirm", confirm)):
        if rows.sum() > MOST_HELD_OUT:
            notes.append(
                f"Of {int(rows.sum()):,} rows to {name}, {MOST_HELD_OUT:,} were drawn; the others are left out."
            )
    return tune, _first(store, draws, choose), _first(store, draws, confirm), notes


def _first(store: RowStore, draws: npt.NDArray[np.float64], among: Booleans) -> Booleans:
    """Return the rows with the least draws, in whole units, as many as a held-out part holds."""
    chosen = np.zeros(len(among), dtype=np.bool_)
    rows = np.flatnonzero(among)
    rows = rows[np.argsort(draws[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(draws[rows], prepend=-1.0))
    sizes = np.diff(np.append(starts, len(rows)))
    left = MOST_HELD_OUT
    for start, size in zip(starts.tolist(), sizes.tolist(), strict=True):
        if size <= left:
            chosen[rows[start : start + size]] = True
            left -= size
        if not left:
            break
    return chosen


def _examples(store: RowStore, chosen: Booleans) -> tuple[Example, ...]:
    return tuple(StoredExamples(store, np.flatnonzero(chosen)))


def _apart(
    choose: tuple[Example, ...], confirm: tuple[Example, ...]
) -> tuple[tuple[tuple[Example, ...], tuple[Example, ...]], list[str]]:
    """Remove the rows to choose on that repeat one to confirm on."""
    found = remove_overlap(choose, confirm)
    note = f"{len(found.removed)} row(s) to choose on repeat a row to confirm on and were removed."
    return (found.kept, confirm), [note] * bool(found.removed)


def _repeating(index: HeldOutRows, learned: StoredExamples, listener: Listener) -> list[int]:
    """Return the positions of the rows that repeat a held-out row."""
    found = []
    with listener.track("comparing with held-out rows", len(learned), "rows") as progress:
        for position, example in enumerate(learned):
            if index.repeated_by(example):
                found.append(position)
            if position % _EVERY == _EVERY - 1:
                progress.advance(_EVERY)
    return found


def _require_filled(tune: int, choose: int, confirm: int) -> None:
    if min(tune, choose, confirm) < FEWEST_IN_A_PART:
        raise DataError(
            f"The rows divide into {tune} to learn from, {choose} to choose on and {confirm} to confirm on; each part "
            f"needs at least {FEWEST_IN_A_PART}. Add rows that differ, or give the parts yourself in a column 'split'."
        )
