"""File formats: one file a format, recognised by content, read into raw rows and bad rows.

A new format is a module with a class that has `name`, `recognises` and `read` (see `raw.Format`) and one line in the
table below. The order of the table is the order in which formats are asked; CSV, which any text could be, comes last.
"""

from __future__ import annotations

from luthier.core.registry import Table
from luthier.data.formats.raw import Content, Format, RawFile, RawRow, with_usable_rows

FORMATS: Table[Format] = Table(
    "format",
    {
        "parquet": "luthier.data.formats.parquet:PARQUET",
        "squad": "luthier.data.formats.squad:SQUAD",
        "json": "luthier.data.formats.json:JSON_DOCUMENT",
        "jsonl": "luthier.data.formats.jsonl:JSON_LINES",
        "csv": "luthier.data.formats.csv:CSV",
    },
)


def read_raw(content: Content) -> RawFile:
    """Recognise the format of a file by its content and read all its rows.

    Raises:
        DataError: if the file is of no known format, or broken as a whole.
    """
    # CSV takes any text, so some format always recognises what `Content.load` let through.
    chosen = next(format for format in map(FORMATS.get, FORMATS) if format.recognises(content))
    return with_usable_rows(chosen.read(content))


__all__ = ["FORMATS", "Content", "Format", "RawFile", "RawRow", "read_raw"]
