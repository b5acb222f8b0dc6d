"""What all ways to break a data file share: the file before and after, and the table of these ways.

A mutation takes a base and a stream of chance, and gives a `Broken`, or None where it does not apply. It says what has
to come of it, where that is known.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import bases
from bases import DIALECTS, ROWS, Row


@dataclass(frozen=True)
class Base:
    """A valid file: the dialect's name, the format's, its rows, its bytes and lines."""

    dialect: str
    format: str
    rows: list[Row]
    data: bytes
    lines: tuple[int, ...]

    @classmethod
    def make(cls, dialect: str, format: str) -> Base:
        """Write the base."""
        rows = [DIALECTS[dialect].row(n) for n in range(ROWS)]
        written = bases.write(rows, format)
        return cls(dialect, format, rows, written.data, written.lines)

    @property
    def is_text(self) -> bool:
        """Whether the file is text."""
        return self.format != "parquet"


@dataclass(frozen=True)
class Broken:
    """A broken file.

    Attributes:
        data: Its bytes.
        wrong: Whether it must be refused, whole or in one row: it is wrong by construction.
        line: The line (or the row's number) that a message must name; None where no line is known.
        same: Whether it must be read exactly as the base: the change only looks like one.
    """

    data: bytes
    wrong: bool = False
    line: int | None = None
    same: bool = False


Mutation = Callable[[Base, Random], Broken | None]
MUTATIONS: dict[str, Mutation] = {}


def mutation(function: Mutation) -> Mutation:
    """Put a mutation into the table under its name."""
    MUTATIONS[function.__name__] = function
    return function


def put(row: Any, path: Sequence[str | int], value: Any) -> Any:
    """Return a row with another value at a place."""
    if not path:
        return value
    changed = copy.copy(row)
    changed[path[0]] = put(row[path[0]], path[1:], value)
    return changed


def with_row(base: Base, number: int, row: Any, *, wrong: bool = True) -> Broken:
    rows = [*base.rows]
    rows[number] = row
    written = bases.write(rows, base.format)
    return Broken(written.data, wrong=wrong, line=written.lines[number] if wrong else None)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values within a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, part in inner for found in places(part, (*path, key)))]
