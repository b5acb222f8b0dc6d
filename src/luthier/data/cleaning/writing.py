"""Write the rows that stay in the format they came in.

Rows that no rule changed are copied as they are written in the file (CSV, JSON Lines), so that nothing else about them
changes: no quote, no order of keys, no way to write a number. The copy is UTF-8, whatever the file was.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from luthier.core.errors import DataError
from luthier.core.files import json_line
from luthier.core.types import Example
from luthier.data.formats.csv import sniff_delimiter
from luthier.data.formats.raw import Content, RawFile
from luthier.data.values import as_text

_BOM = "\ufeff"

Changed = Mapping[str, Mapping[str, Any]]


def cleaned_copy(content: Content, raw: RawFile, kept: Sequence[Example], changed: Changed) -> bytes:
    """Return a file's content with some of its rows only, changed ones with their new values.

    Args:
        content: The file.
        raw: What was read from it.
        kept: The rows that stay, in the order of the file, with their new `fields`.
        changed: The new columns of changed rows, by the row's name.
    """
    return _WRITERS[raw.format](content, raw, kept, changed)


def _jsonl(content: Content, raw: RawFile, kept: Sequence[Example], changed: Changed) -> bytes:
    lines = content.lines_of_text.split("\n")
    texts = [json_line(e.fields) if e.id in changed else lines[e.line - 1].rstrip("\r") + "\n" for e in kept]
    return _encoded(content, "".join(texts))


def _json(content: Content, raw: RawFile, kept: Sequence[Example], changed: Changed) -> bytes:
    rows = [example.fields for example in kept]
    return _encoded(content, json.dumps(rows, ensure_ascii=False, indent=2) + "\n")


def _csv(content: Content, raw: RawFile, kept: Sequence[Example], changed: Changed) -> bytes:
    """Copy each row from the line it starts on to the line on which the next one, good or bad, does."""
    lines = list(io.StringIO(content.lines_of_text, newline=""))
    starts = sorted({row.line for row in raw.rows} | {row.line for row in raw.bad})
    ends = dict(itertools.pairwise([*starts, len(lines) + 1]))
    line_end = "\r\n" if lines[0].endswith("\r\n") else "\n"
    delimiter = _delimiter(lines)
    texts = ["".join(lines[: starts[0] - 1])]
    for example in kept:
        text = "".join(lines[example.line - 1 : ends[example.line] - 1])
        cells = [as_text(example.fields.get(column)) for column in raw.columns]
        texts.append(_csv_row(cells, delimiter, line_end) if example.id in changed else text)
    return _encoded(content, "".join(text if text.endswith(("\n", "\r")) else text + line_end for text in texts))


def _delimiter(lines: Sequence[str]) -> str:
    hint = lines[0].strip().strip('"')  # Excel's first line "sep=;"
    return hint[4:5] if hint.startswith("sep=") else sniff_delimiter(lines) or ","


def _csv_row(cells: Sequence[str], delimiter: str, line_end: str) -> str:
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter, lineterminator=line_end).writerow(cells)
    return written.getvalue()


def _parquet(content: Content, raw: RawFile, kept: Sequence[Example], changed: Changed) -> bytes:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content.data)).read()
    table = table.take([example.line - 1 for example in kept])
    for column in dict.fromkeys(name for values in changed.values() for name in values):
        place = table.column_names.index(column)
        values = table.column(place).to_pylist()
        new = [changed.get(e.id, {}).get(column, value) for e, value in zip(kept, values, strict=True)]
        try:
            array = pyarrow.array(new, type=table.field(place).type)
        except pyarrow.ArrowException as error:
            raise DataError(
                f"{content.path}: the new texts do not fit the column '{column}' ({table.field(place).type}: {error}). "
                "Write the table as JSON Lines and clean that."
            ) from None
        table = table.set_column(place, table.field(place), array)
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _encoded(content: Content, text: str) -> bytes:
    marked = content.encoding == "UTF-8 with BOM"  # a sign for Excel: it stays
    return (_BOM * marked + text).encode()


_WRITERS: dict[str, Callable[[Content, RawFile, Sequence[Example], Changed], bytes]] = {
    "csv": _csv,
    "json": _json,
    "jsonl": _jsonl,
    "parquet": _parquet,
    "squad": _json,
}
