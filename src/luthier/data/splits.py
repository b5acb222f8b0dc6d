"""Three parts: learn on `tune`, choose on `choose`, claim on `confirm`.

Without given parts, every group of rows (near-duplicates, and rows of one cluster) draws a number in [0, 1) from the
hash of the seed and of the name of its first row, and the number says the part: below 8/15 tune, below 12/15 choose,
else confirm (8 : 4 : 3, so 300 rows give about 160 / 80 / 60). The draw does not depend on other rows, so rows added
at the end move no earlier row, unless one of them makes two groups into one. Only where a part would fall below
`FEWEST_IN_A_PART` rows are the groups nearest to its border moved over.

Given parts (files called train, validation and test, or a column `split`) are taken as they are; rows to learn from
that repeat a row of another part are removed, and counted.

For cross-validation the groups draw once more, are laid out in the order of these draws and cut into K folds of about
as many rows. One fold confirms, the others are divided into tune and choose as above (2 : 1). Given parts do not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from luthier.core.errors import ConfigError, DataError
from luthier.core.seeding import unit_interval
from luthier.core.types import EMPTY, Example
from luthier.data.mapping import PartName
from luthier.data.overlap import groups, remove_overlap

FRACTIONS = (8 / 15, 4 / 15, 3 / 15)
"""Default shares of tune, choose and confirm."""
FEWEST_ROWS = 30
"""With fewer rows nothing can be shown."""
FEWEST_FOLDED_ROWS = 20
"""The same where every row confirms once."""
FEWEST_IN_A_FOLD = 2
FEWEST_IN_A_PART = 5


@dataclass(frozen=True)
class Parts:
    """The three parts, and what was done to get them.

    Attributes:
        tune: Rows to learn from.
        choose: Rows on which learning rates, epochs, prompts and winners are chosen.
        confirm: Rows on which the claim is made; nothing else sees them.
        removed: Rows taken out of `tune` because they repeat a row of another part.
        notes: What to tell the user, in sentences.
    """

    tune: Sequence[Example]
    choose: Sequence[Example]
    confirm: Sequence[Example]
    removed: Sequence[Example] = ()
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: PartName) -> Sequence[Example]:
        part: Sequence[Example] = getattr(self, name)
        return part

    @property
    def all_rows(self) -> Iterator[Example]:
        """The rows of all parts, one part after the other."""
        return chain(self.tune, self.choose, self.confirm)

    @property
    def sizes(self) -> dict[PartName, int]:
        """The number of rows in each part."""
        return {"tune": len(self.tune), "choose": len(self.choose), "confirm": len(self.confirm)}

    def to_json(self) -> dict[str, Any]:
        """Return the ids of the rows in each part, and the notes."""
        ids = {name: [example.id for example in part] for name, part in self._named()}
        return {**ids, "removed": [example.id for example in self.removed], "notes": list(self.notes)}

    def _named(self) -> Iterator[tuple[str, Sequence[Example]]]:
        yield from (("tune", self.tune), ("choose", self.choose), ("confirm", self.confirm))


def split(
    examples: Sequence[Example],
    seed: int = 0,
    fractions: tuple[float, float, float] = FRACTIONS,
    *,
    given: Mapping[str, PartName] = EMPTY,
    fold: tuple[int, int] | None = None,
) -> Parts:
    """Divide examples into the three parts.

    Args:
        examples: All rows.
        seed: Other seeds give other divisions.
        fractions: Shares of tune, choose and confirm; they add up to 1.
        given: The part of every example by its id, if the data comes in parts (`Dataset.given`).
        fold: (k, K): fold k of K confirms, counted from 1; 0 sets no fold aside, all rows are tune or choose. Over
            k = 1 … K every row is in `confirm` once.

    Raises:
        DataError: if there are fewer than 30 rows (20 and two a fold with `fold`), or too few groups to fill the parts.
        ConfigError: if the fractions are no shares.
    """
    _check_fractions(fractions)
    if fold is not None:
        return _fold_parts(examples, seed, fractions, fold, given)
    if len(examples) < FEWEST_ROWS:
        raise DataError(
            f"{len(examples)} row(s) are too few to learn from and to prove anything on: at least {FEWEST_ROWS} are "
            "needed, 200 or more are better. Add rows."
        )
    return _given_parts(examples, seed, fractions, given) if given else _drawn_parts(examples, seed, fractions)


def _check_fractions(fractions: Sequence[float]) -> None:
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ConfigError(
            f"The fractions {tuple(fractions)} are not three shares above 0 that add up to 1 (tune, choose, confirm). "
            f"The default is {tuple(round(share, 3) for share in FRACTIONS)}."
        )


# ---------------------------------------------------------------------------------------------------------- drawn


@dataclass(frozen=True)
class _Group:
    """Rows that stay together, by index, and the number they drew."""

    draw: float
    rows: tuple[int, ...]


def _drawn_parts(examples: Sequence[Example], seed: int, fractions: Sequence[float]) -> Parts:
    together = _groups(examples, seed)
    bounds = _bounds(together, (fractions[0], fractions[0] + fractions[1]), len(examples))
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for position, group in enumerate(together):
        parts[sum(position >= bound for bound in bounds)].extend(group.rows)
    tune, choose, confirm = (tuple(examples[i] for i in sorted(part)) for part in parts)
    return Parts(tune, choose, confirm, notes=_kept_together(examples, together))


def _kept_together(examples: Sequence[Example], together: Sequence[_Group]) -> tuple[str, ...]:
    alike = len(examples) - len(together)
    note = f"{alike} row(s) stay in the part of a row that is nearly the same or of the same cluster."
    return (note,) if alike else ()


def _groups(examples: Sequence[Example], seed: int, stream: str = "split") -> list[_Group]:
    """Return the groups in the order of their draws from a stream."""
    members: dict[int, list[int]] = {}
    for index, number in enumerate(groups(examples)):
        members.setdefault(number, []).append(index)
    return sorted(
        (_Group(_draw(examples[rows[0]], seed, stream), tuple(rows)) for rows in members.values()),
        key=lambda group: (group.draw, group.rows),
    )


def _draw(first: Example, seed: int, stream: str) -> float:
    """Return a group's number: by its first row's name, or by its cluster's, so that any row of it may come first."""
    kind, name = ("row", first.id) if first.cluster is None else ("cluster", first.cluster)
    return unit_interval(stream, seed, kind, name)


def _bounds(together: Sequence[_Group], borders: Sequence[float], rows: int) -> tuple[int, int]:
    """Return the positions at which choose and confirm start, each part filled with at least the fewest rows.

    Raises:
        DataError: if that cannot be done without tearing groups apart.
    """
    second = sum(group.draw < borders[0] for group in together)
    third = sum(group.draw < borders[1] for group in together)
    # From the left, then from the right: what one part lacks, it takes from the next.
    while second < len(together) and _rows(together[:second]) < FEWEST_IN_A_PART:
        second += 1
    third = max(second, third)
    while third < len(together) and _rows(together[second:third]) < FEWEST_IN_A_PART:
        third += 1
    while third > 0 and _rows(together[third:]) < FEWEST_IN_A_PART:
        third -= 1
    second = min(second, third)
    while second > 0 and _rows(together[second:third]) < FEWEST_IN_A_PART:
        second -= 1
    sizes = [_rows(part) for part in (together[:second], together[second:third], together[third:])]
    if min(sizes) < FEWEST_IN_A_PART:
        largest = max(len(group.rows) for group in together)
        raise DataError(
            f"The {rows} rows form only {len(together)} group(s) of near-duplicates or of one cluster (the largest has "
            f"{largest} rows), too few to fill three parts without the same text in two of them. Add rows that differ, "
            "or give the parts yourself in a column 'split' with train, validation and test."
        )
    return second, third


def _rows(together: Sequence[_Group]) -> int:
    return sum(len(group.rows) for group in together)


# ---------------------------------------------------------------------------------------------------------- folds


def _fold_parts(
    examples: Sequence[Example],
    seed: int,
    fractions: Sequence[float],
    fold: tuple[int, int],
    given: Mapping[str, PartName],
) -> Parts:
    """Return the parts of one fold: it confirms, and the other rows are divided as ever."""
    number, count = fold
    _check_folds(len(examples), count)
    dealt = _dealt(_groups(examples, seed, "fold"), count, len(examples))
    held = {row for group in dealt[number - 1] for row in group.rows} if number else set()
    together = _groups(examples, seed)
    others = [group for group in together if group.rows[0] not in held]
    second = _start_of_choose(others, fractions)
    tune, choose = ({row for group in part for row in group.rows} for part in (others[:second], others[second:]))
    if min(len(tune), len(choose)) < FEWEST_IN_A_PART:
        raise _too_alike(len(examples), together, count)
    notes = _kept_together(examples, together)
    if given:
        notes += ("The parts that the data names do not count: cross-validation divides all rows.",)
    if not number:
        notes += (f"No row is set aside to confirm: each was confirmed in one of {count} folds.",)
    learn, pick, confirm = (tuple(e for i, e in enumerate(examples) if i in part) for part in (tune, choose, held))
    return Parts(learn, pick, confirm, notes=notes)


def _check_folds(rows: int, count: int) -> None:
    if rows < FEWEST_FOLDED_ROWS:
        raise DataError(
            f"{rows} row(s) are too few to learn from and to prove anything on, also by cross-validation: at least "
            f"{FEWEST_FOLDED_ROWS} are needed. Add rows."
        )
    if rows < FEWEST_IN_A_FOLD * count:
        raise DataError(
            f"{rows} rows are too few for {count} folds: each needs at least {FEWEST_IN_A_FOLD}. Take "
            f"{rows // FEWEST_IN_A_FOLD} folds or fewer, such as --folds 5."
        )


def _dealt(together: Sequence[_Group], count: int, rows: int) -> list[list[_Group]]:
    """Cut groups, in their order, into folds of about as many rows: each gets its share of what is left.

    Raises:
        DataError: if there are fewer groups than folds.
    """
    if len(together) < count:
        raise _too_alike(rows, together, count)
    left, folds = list(together), []
    for remaining in range(count, 0, -1):
        share = _rows(left) / remaining
        taken = [left.pop(0)]
        while len(left) >= remaining and _rows(taken) + len(left[0].rows) / 2 <= share:
            taken.append(left.pop(0))
        folds.append(taken)
    return folds


def _too_alike(rows: int, together: Sequence[_Group], count: int) -> DataError:
    largest = max(len(group.rows) for group in together)
    return DataError(
        f"The {rows} rows form only {len(together)} group(s) of near-duplicates or of one cluster (the largest has "
        f"{largest} rows), too few for {count} folds that each leave rows to learn from and to choose on. Add rows "
        "that differ, or take fewer folds."
    )


def _start_of_choose(together: Sequence[_Group], fractions: Sequence[float]) -> int:
    """Return the position at which choose starts where nothing is left to confirm, both filled as far as it goes."""
    border = fractions[0] / (fractions[0] + fractions[1])
    second = sum(group.draw < border for group in together)
    while second < len(together) and _rows(together[:second]) < FEWEST_IN_A_PART:
        second += 1
    while second > 1 and _rows(together[second:]) < FEWEST_IN_A_PART:
        second -= 1
    return second


# ---------------------------------------------------------------------------------------------------------- given


def _given_parts(
    examples: Sequence[Example], seed: int, fractions: Sequence[float], given: Mapping[str, PartName]
) -> Parts:
    tune = tuple(e for e in examples if given.get(e.id) == "tune")
    choose = tuple(e for e in examples if given.get(e.id) == "choose")
    confirm = tuple(e for e in examples if given.get(e.id) == "confirm")
    notes: list[str] = []
    if not tune:
        raise DataError(
            "The data comes in parts, but none of them is there to learn from. Add rows of the part 'train', or read "
            "the validation or test file alone."
        )
    if without := len(examples) - len(tune) - len(choose) - len(confirm):
        notes.append(f"{without} row(s) belong to no part and are left out.")
    overlap = remove_overlap(tune, (*choose, *confirm))
    tune = overlap.kept
    if overlap.removed:
        notes.append(f"{len(overlap.removed)} row(s) of train repeat a row of another part and were removed from it.")
    if not confirm or not choose:
        tune, choose, confirm, note = _completed(tune, choose, confirm, seed, fractions)
        notes.append(note)
    elif repeated := len(remove_overlap(choose, confirm).removed):
        notes.append(f"{repeated} row(s) of validation repeat a row of test; both were kept as given.")
    _check_filled(tune, choose, confirm)
    return Parts(tune, choose, confirm, tuple(row for row, _ in overlap.removed), tuple(notes))


def _completed(
    tune: tuple[Example, ...],
    choose: tuple[Example, ...],
    confirm: tuple[Example, ...],
    seed: int,
    fractions: Sequence[float],
) -> tuple[tuple[Example, ...], tuple[Example, ...], tuple[Example, ...], str]:
    """Take `choose` from train where only one held-out part is given; that part is what the claim is made on."""
    held_out = confirm or choose
    together = _groups(tune, seed)
    second = _start_of_choose(together, fractions)
    chosen = {row for group in together[second:] for row in group.rows}
    name = "test" if confirm else "validation"
    note = (
        f"Only train and {name} are given: {len(chosen)} row(s) of train are set aside to choose on; {name} confirms."
    )
    return (
        tuple(e for i, e in enumerate(tune) if i not in chosen),
        tuple(e for i, e in enumerate(tune) if i in chosen),
        held_out,
        note,
    )


def _check_filled(*parts: Sequence[Example]) -> None:
    sizes = [len(part) for part in parts]
    if min(sizes) < FEWEST_IN_A_PART:
        raise DataError(
            f"The given parts leave {sizes[0]} rows to learn from, {sizes[1]} to choose on and {sizes[2]} to confirm "
            f"on; each needs at least {FEWEST_IN_A_PART}. Add rows, or give no parts and let the rows be divided."
        )
