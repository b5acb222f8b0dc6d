"""Tables with delimiters: comma, semicolon or tab; quoted cells may hold line breaks."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from luthier.core.errors import BadRow, DataError
from luthier.data.formats.raw import Content, RawFile, RawRow, printable

DELIMITERS = (",", ";", "\t")
_NAMES = {",": "','", ";": "';'", "\t": "tab"}
_SNIFFED_ROWS = 200
_RESTARTS = 50
_NO_DELIMITER = "\x1f"  # a one-column file is read with a delimiter that text does not hold
_UNCLOSED = "unexpected end of data"
"""What the parser says where a quoted cell never closes."""
_EXCEL_HINT = re.compile(r'\s*"?sep=([,;\t])"?\s*')


@dataclass(frozen=True)
class Layout:
    """How the rows of a table are written, as its beginning says.

    Attributes:
        columns: Their names.
        delimiter: What stands between cells; None in a table of one column.
        spaced: Whether a space stands behind the delimiter.
        lines: How many lines the beginning takes.
    """

    columns: tuple[str, ...]
    delimiter: str | None
    spaced: bool
    lines: int


@dataclass(frozen=True)
class _Record:
    """One row as the parser saw it; `cells` is None where `problem` says why."""

    line: int
    last_line: int
    cells: list[str] | None
    problem: str = ""

    @property
    def unclosed(self) -> bool:
        """Whether a quoted cell has no end."""
        return self.cells is None and _UNCLOSED in self.problem


class Csv:
    """CSV: a header row, then rows; delimiter comma, semicolon or tab, found by content."""

    name = "csv"

    def recognises(self, content: Content) -> bool:
        """Say yes to any text: CSV is asked last."""
        return content.text is not None

    def read(self, content: Content) -> RawFile:
        """Read all rows, each with the line it starts on."""
        layout = layout_of(content)
        file, _, _ = read_rows(content, layout, layout.lines)
        if not file.rows and not file.bad:
            raise DataError(f"{content.path} has a header but no rows: {_shown(layout.columns)}. Add rows below it.")
        return file


CSV = Csv()


@contextmanager
def wide_fields() -> Iterator[None]:
    """Let the parser read cells as long as documents are, for a while."""
    previous = csv.field_size_limit(2**31 - 1)  # the default of 131,072 characters is below a long document
    try:
        yield
    finally:
        csv.field_size_limit(previous)


@wide_fields()
def layout_of(content: Content) -> Layout:
    """Read the beginning of a table: Excel's line, and the header.

    Raises:
        DataError: if there is no header, or it cannot be read.
    """
    lines = _lines(content)
    delimiter, skipped = _delimiter_in_first_line(lines)
    delimiter = delimiter or sniff_delimiter(lines)
    spaced = _is_spaced(lines[skipped:], delimiter or _NO_DELIMITER)
    records = _records(lines, delimiter or _NO_DELIMITER, skipped, spaced=spaced)
    header = next(_filled(records, one_column=delimiter is None), None)
    if header is None:
        raise DataError(
            f"{content.path} is empty. A data file has at least a header and a row. Fill it, or give another."
        )
    return Layout(tuple(_columns(content, header)), delimiter, spaced, header.last_line)


@wide_fields()
def read_rows(
    content: Content, layout: Layout, start: int = 0, *, before: int = 0, goes_on: bool = False, give_up: bool = True
) -> tuple[RawFile, int, list[str]]:
    """Read the rows of a table, or of a piece of one that ends with a line.

    Args:
        content: The file, or the piece.
        layout: What the beginning of the file says.
        start: How many lines at the beginning hold no rows.
        before: How many lines of the file stand before the piece.
        goes_on: Whether more of the file follows, so that a quoted cell without an end may find it there.
        give_up: Whether such a cell makes a bad row nonetheless, if it stands in the first row.

    Returns:
        The rows, how many lines were read, and the others: a row at the end that is to be read with what follows.
    """
    lines = _lines(content)
    records = _records(lines, layout.delimiter or _NO_DELIMITER, start, spaced=layout.spaced)
    rows: list[RawRow] = []
    bad: list[BadRow] = []
    read = len(lines)
    for record in _filled(records, one_column=layout.delimiter is None):
        if goes_on and record.unclosed and not (give_up and record.line == start + 1):
            read = record.line - 1
            break
        torn = not goes_on and record.last_line >= len(lines) and not lines[-1].endswith(("\n", "\r"))
        record = replace(record, line=before + record.line, last_line=before + record.last_line)
        problem = _problem(record, len(layout.columns), torn)
        if problem is None and record.cells is not None:
            rows.append(RawRow(record.line, dict(zip(layout.columns, record.cells, strict=False))))
        elif problem is not None:
            bad.append(BadRow(str(content.path), record.line, *problem))
    dialect = f"delimiter {_NAMES[layout.delimiter]}" if layout.delimiter else "one column"
    description = f"CSV ({dialect}, {content.encoding})"
    return RawFile(content.path, "csv", description, layout.columns, tuple(rows), tuple(bad)), read, lines[read:]


def _lines(content: Content) -> list[str]:
    return list(io.StringIO(content.lines_of_text, newline=""))


def _delimiter_in_first_line(lines: Sequence[str]) -> tuple[str | None, int]:
    """Read Excel's "sep=;" line: the delimiter and how many lines to skip."""
    match = _EXCEL_HINT.fullmatch(lines[0]) if lines else None
    return (match[1], 1) if match else (None, 0)


def sniff_delimiter(lines: Sequence[str]) -> str | None:
    """Return the delimiter under which most rows have as many cells as the header, or None for a single column.

    A delimiter that the header does not hold, or that most rows lack, is no candidate, so commas within texts do not
    mislead.
    """
    best: tuple[float, int] = (0.0, 0)
    found: str | None = None
    for delimiter in DELIMITERS:
        records = itertools.islice(_filled(_records(lines, delimiter)), _SNIFFED_ROWS)
        header, *widths = [_width(record) for record in records] or [0]
        if header < 2 or sum(width < 2 for width in widths) > len(widths) / 2:
            continue
        agreeing = sum(width == header for width in widths) / max(len(widths), 1)
        if (agreeing, header) > best:
            best, found = (agreeing, header), delimiter
    return found


def _width(record: _Record) -> int:
    """Return the number of cells without the empty ones at the end, but at least two if there is a delimiter."""
    if record.cells is None:
        return 0
    filled = len(record.cells)
    while filled > 2 and not record.cells[filled - 1].strip():
        filled -= 1
    return filled


def _is_spaced(lines: Sequence[str], delimiter: str) -> bool:
    """`a, "b, c"`: a space before the quote would make the quote part of the text and the comma a border."""
    return any(f'{delimiter} "' in line for line in lines[:20])


def _records(lines: Sequence[str], delimiter: str, start: int = 0, *, spaced: bool | None = None) -> Iterator[_Record]:
    """Parse strictly. After a quote that never closes, parsing starts again at the following line."""
    spaced = _is_spaced(lines[start : start + 20], delimiter) if spaced is None else spaced
    for _ in range(_RESTARTS):
        reader = csv.reader(
            itertools.islice(lines, start, None), delimiter=delimiter, strict=True, skipinitialspace=spaced
        )
        while True:
            first = start + reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                unclosed = _UNCLOSED in str(error)
                yield _Record(first, first if unclosed else start + reader.line_num, None, str(error))
                if unclosed:
                    start = first
                    break
                continue
            yield _Record(first, start + reader.line_num, cells)


def _filled(records: Iterator[_Record], *, one_column: bool = False) -> Iterator[_Record]:
    """Leave out blank lines and the rows of empty cells that spreadsheets write below a table.

    In a file of one column an empty cell is a row without a value only where it is quoted, or holds an odd space: else
    it cannot be told from a blank line.
    """
    return (record for record in records if not _is_blank(record.cells, one_column))


def _is_blank(cells: list[str] | None, one_column: bool) -> bool:
    if cells is None or any(cell.strip() for cell in cells):
        return False
    return not (one_column and cells and cells[0] == cells[0].strip(" \t"))


def _columns(content: Content, header: _Record) -> list[str]:
    if header.cells is None:
        raise DataError(
            f"{content.path}:{header.line}: the header cannot be read ({header.problem}); expected names of columns; "
            'write a quote inside a quoted cell twice: "".'
        )
    cells = [cell.strip() for cell in header.cells]
    while cells and not cells[-1]:  # a delimiter at the end of every line
        cells.pop()
    names = [cell or f"column_{number}" for number, cell in enumerate(cells, start=1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{content.path}:{header.line}: the header names the column(s) {_shown(twice)} twice; expected different "
            "names; rename one of them."
        )
    return names


def _problem(record: _Record, width: int, torn: bool) -> tuple[str, str, str] | None:
    """Return what is wrong with a row, what was expected and how to mend it.

    Args:
        record: The row.
        width: How many cells the header has.
        torn: Whether the file ends in this row without a line break.
    """
    if torn and (len(record.cells) < width if record.cells else record.unclosed):
        return "the last line is cut off", f"{width} cell(s), as in the header", (
            "copy or download the file again, or complete or remove the line"
        )  # fmt: skip
    if record.cells is None:
        if record.unclosed:
            return "a quoted cell opens here and never closes", "a closing quote", 'add it, or remove the opening "'
        return (
            f"a quoted cell on lines {record.line} to {record.last_line} is followed by more text"
            if record.last_line > record.line
            else "a quoted cell is followed by more text",
            "a delimiter after the closing quote",
            'write a quote inside a quoted cell twice: ""',
        )
    cells = record.cells
    if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
        return None
    if len(cells) == width:
        return None
    span = f" (lines {record.line} to {record.last_line})" if record.last_line > record.line else ""
    fix = (
        "put a cell that holds the delimiter in double quotes"
        if len(cells) > width
        else "add the missing cell, or close the quoted one"
    )
    return f"the row has {len(cells)} cell(s){span}", f"{width}, as in the header", fix


def _shown(names: Sequence[str]) -> str:
    return ", ".join(f"'{printable(name)}'" for name in names)
