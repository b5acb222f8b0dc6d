"""Documents in tables: one row of a JSON Lines, CSV or Parquet file is one, in the column that holds texts.

Rows are read one by one; one row has to fit in memory.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import IO, Any

from luthier.core.errors import BadRow, DataError, nearest
from luthier.data.corpus.sections import Found, cut_into_sections
from luthier.data.corpus.text import undecodable
from luthier.data.formats.csv import DELIMITERS, wide_fields
from luthier.data.formats.encoding import refuse_what_is_no_data
from luthier.data.formats.jsonl import kind_of, parse
from luthier.data.formats.raw import DataFile

COLUMNS = ("text", "content", "document", "body")
"""Columns that are taken for the text, in this order; else a table's only column."""
_EXPECTED = 'an object with a text, such as {"text": "…"}'
_NO_CHARACTER = re.compile("[\ud800-\udfff]")
_HEAD_BYTES = 4096
Piece = tuple[int, str | None, bool]


def read_json_lines(file: DataFile, stream: IO[bytes], column: str | None, found: Found) -> Iterator[Piece | BadRow]:
    """Read JSON Lines; see `luthier.data.corpus.files.Reader`."""
    name = None
    for number, raw in enumerate(stream, start=1):
        if number == 1 and raw.strip():
            refuse_what_is_no_data(file, raw)
        found.bytes_read += len(raw)
        line = raw.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape")
        if not line.strip():
            continue
        value, problem, fix = parse(line)
        if problem is None and not isinstance(value, dict):
            problem, fix = f"the line is {kind_of(value)}", 'write {"text": "…"}'
        if problem is not None:
            yield BadRow(str(file), number, problem, _EXPECTED, fix)
            continue
        name = name or column_of(file, list(value), column, found)
        if name in value:
            yield from _of_text(file, number, name, value[name])
        else:
            yield BadRow(str(file), number, f"no column '{name}'", _EXPECTED, "add it, or remove the row")


def read_csv(file: DataFile, stream: IO[bytes], column: str | None, found: Found) -> Iterator[Piece | BadRow]:
    """Read a table with delimiters, whose first row names its columns; see `luthier.data.corpus.files.Reader`.

    Raises:
        DataError: if it has no header, or no column with texts.
    """
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
    head = text.readline()
    if not head.strip():
        raise DataError(f"{file} has no header. A table of texts begins with the names of its columns.")
    refuse_what_is_no_data(file, head.encode("utf-8", "surrogateescape"))
    delimiter = max(DELIMITERS, key=head.count)
    names = next(csv.reader([head], delimiter=delimiter))
    name = column_of(file, names, column, found)
    found.bytes_read += len(head.encode("utf-8", "surrogateescape"))
    reader = csv.reader(_counted(text, found), delimiter=delimiter)
    line = 2
    try:
        with wide_fields():
            for cells in reader:
                if len(cells) == len(names):
                    yield from _of_text(file, line, name, cells[names.index(name)])
                elif cells:
                    problem = f"the row has {len(cells)} cells, the header {len(names)}"
                    yield BadRow(str(file), line, problem, f"{len(names)} cells", "quote cells that hold the delimiter")
                line = reader.line_num + 2
    except csv.Error as error:
        yield BadRow(str(file), line, f"no table from here on ({error})", "rows of cells", "correct the quotes")


def read_parquet(file: DataFile, stream: IO[bytes], column: str | None, found: Found) -> Iterator[Piece | BadRow]:
    """Read a Parquet table batch by batch; see `luthier.data.corpus.files.Reader`.

    Raises:
        DataError: if it is damaged, or has no column with texts.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(stream)
        name = column_of(file, table.schema_arrow.names, column, found)
        number = 0
        for batch in table.iter_batches(batch_size=64, columns=[name]):
            found.bytes_read += batch.nbytes
            for value in batch.column(0).to_pylist():
                number += 1
                yield from _of_text(file, number, name, value)
    except (pyarrow.ArrowException, ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(f"{file} is a damaged Parquet file ({reason}). Copy or download it again.") from None


def column_of(file: DataFile, names: Sequence[str], asked: str | None, found: Found) -> str:
    """Return the column that holds the texts.

    Raises:
        DataError: if there is none, or it is not clear which.
    """
    wanted = (asked,) if asked else COLUMNS
    name = next((name for name in wanted if name in names), names[0] if len(names) == 1 and not asked else None)
    if name is None:
        there = ", ".join(str(n) for n in names[:20])
        what = f"column '{asked}'{nearest(asked, names)}" if asked else "column 'text'"
        raise DataError(f"{file} has no {what}. There are: {there}. Say which holds the text: corpus.column=NAME.")
    found.other_columns |= dict.fromkeys(str(other) for other in names if other != name)
    return name


def _of_text(file: DataFile, line: int, name: str, value: Any) -> Iterator[Piece | BadRow]:
    if value is None or (isinstance(value, str) and not value.strip()):
        yield line, None, True
    elif not isinstance(value, str):
        problem = f"'{name}' is {kind_of(value)}"
        yield BadRow(str(file), line, problem, _EXPECTED, "write it as text, or remove the row")
    elif _NO_CHARACTER.search(value):
        yield undecodable(file, line)
    else:
        for place, section in enumerate(cut_into_sections(value)):
            yield line, section, place == 0


def _counted(lines: io.TextIOWrapper, found: Found) -> Iterator[str]:
    for line in lines:
        found.bytes_read += len(line)
        yield line
