"""What every format takes and gives: a file's content, its raw rows, its bad rows."""

from __future__ import annotations

import datetime
import decimal
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from luthier.core.errors import BadRow, DataError
from luthier.data.formats.encoding import decode, refuse_what_is_no_data

_NO_CHARACTER = re.compile("[\ud800-\udfff\x00]")
"""Half characters, which also stand for bytes that could not be decoded; and zero bytes, which no text holds."""


class DataFile(Protocol):
    """A file that can be read: a `Path`, or one at an address. `str` gives what the user wrote, for messages."""

    @property
    def name(self) -> str:
        """Its name without the folder."""
        ...

    @property
    def stem(self) -> str:
        """The name without its ending."""
        ...

    @property
    def suffix(self) -> str:
        """The name's ending, such as ".csv"."""
        ...

    def read_bytes(self) -> bytes:
        """Return its content."""
        ...


@dataclass(frozen=True)
class Content:
    """A file in memory, read once.

    Attributes:
        path: Where it lies, as the user wrote it.
        data: Its bytes.
        text: Its text without a byte order mark; None for Parquet.
        encoding: The encoding's name as people know it, such as "UTF-8" or "Windows-1252".
    """

    path: DataFile
    data: bytes
    text: str | None
    encoding: str

    @classmethod
    def load(cls, path: DataFile) -> Content:
        """Read a file and decode it.

        Raises:
            DataError: if it cannot be read, is empty, or is plainly not data (a Git LFS pointer, a web page, ...).
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"Cannot read {path}: {error.strerror or error}.") from None
        refuse_what_is_no_data(path, data)
        if data.startswith(b"PAR1"):
            return cls(path, data, None, "binary")
        text, encoding = decode(path, data)
        return cls(path, data, text, encoding)

    @property
    def lines_of_text(self) -> str:
        """The text of a file that is known to be one."""
        assert self.text is not None, f"{self.path} is not text"
        return self.text

    @property
    def suffix(self) -> str:
        """The file's ending in lower case, such as ".csv"."""
        return self.path.suffix.lower()


@dataclass(frozen=True)
class RawRow:
    """One row as the file has it, and the line it starts on (the row's number, from 1, for Parquet)."""

    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True)
class RawFile:
    """All rows of one file.

    Attributes:
        path: The file.
        format: The format's name in the table.
        description: The dialect in words, such as "CSV (delimiter ';', Windows-1252)".
        columns: Column names in the order of their first appearance.
        rows: The rows that could be read.
        bad: The rows that could not.
    """

    path: DataFile
    format: str
    description: str
    columns: tuple[str, ...]
    rows: tuple[RawRow, ...]
    bad: tuple[BadRow, ...] = ()


class Format(Protocol):
    """A file format. The first line of the class's docstring is what `luthier list formats` prints."""

    name: str

    def recognises(self, content: Content) -> bool:
        """Say whether the content is of this format."""
        ...

    def read(self, content: Content) -> RawFile:
        """Read all rows, good and bad.

        Raises:
            DataError: if the file is broken as a whole, so that no row can be told.
        """
        ...


def columns_of(rows: Iterable[RawRow]) -> tuple[str, ...]:
    """Return all column names in the order of their first appearance."""
    return tuple(dict.fromkeys(name for row in rows for name in row.values))


def with_usable_rows(file: RawFile) -> RawFile:
    """Turn values into JSON values, and rows with undecodable text into bad rows."""
    rows: list[RawRow] = []
    bad = list(file.bad)
    for row in file.rows:
        try:
            values = plain(row.values)
            broken = next((name for name, value in values.items() if _has_no_character((name, value))), None)
        except RecursionError:
            bad.append(BadRow(str(file.path), row.line, "JSON nested too deeply", "a few levels", "flatten the value"))
            continue
        if broken is None:
            rows.append(RawRow(row.line, values))
        else:
            bad.append(_undecodable(file, row.line, broken))
    present = set(columns_of(rows))
    return replace(
        file,
        columns=tuple(name for name in file.columns if name in present),
        rows=tuple(rows),
        bad=tuple(sorted(bad, key=lambda r: r.line)),
    )


def _undecodable(file: RawFile, line: int, column: str) -> BadRow:
    problem = f"column '{printable(column)}' holds bytes or escapes that are no character"
    return BadRow(str(file.path), line, problem, "valid UTF-8 text", "save the file as UTF-8 or correct the character")


def printable(text: str) -> str:
    """Return a text that can be printed: half characters as escapes, 40 characters at most."""
    return text[:40].encode("utf-8", "backslashreplace").decode()


def _has_no_character(value: Any) -> bool:
    if isinstance(value, str):
        return _NO_CHARACTER.search(value) is not None
    if isinstance(value, Mapping):
        return any(_has_no_character(part) for item in value.items() for part in item)
    return isinstance(value, list | tuple) and any(map(_has_no_character, value))


def plain(value: Any) -> Any:
    """Return the value in JSON's types. NaN and infinity, which JSON does not have, become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return plain(int(value) if value == value.to_integral_value() else float(value)) if value.is_finite() else None
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")  # what is no text is reported as a bad row afterwards
    return str(value)
