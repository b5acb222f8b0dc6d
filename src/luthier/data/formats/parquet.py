"""Parquet tables."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from luthier.core.errors import DataError
from luthier.data.formats.raw import Content, DataFile, RawFile, RawRow


class Parquet:
    """Parquet: a typed table; lists and structs become JSON values, lines are row numbers."""

    name = "parquet"

    def recognises(self, content: Content) -> bool:
        """Say whether the file starts as every Parquet file does."""
        return content.data.startswith(b"PAR1")

    def read(self, content: Content) -> RawFile:
        """Read all rows; a row's line is its number, counted from 1."""
        return next(read_batches(content.path, io.BytesIO(content.data)))


PARQUET = Parquet()


def read_batches(file: DataFile, stream: IO[bytes], batch_bytes: int | None = None) -> Iterator[RawFile]:
    """Read a table in batches of about so many bytes, or as one.

    Raises:
        DataError: if it is damaged, has no rows, or names a column twice.
    """
    import pyarrow.parquet

    with _damage_named(file):
        # A ParquetFile, not read_table: the latter takes "year=2024" in a folder's name for a column.
        table = pyarrow.parquet.ParquetFile(stream)
        found = table.metadata
        columns = tuple(table.schema_arrow.names)
        size = sum(found.row_group(group).total_byte_size for group in range(found.num_row_groups))
    if len(set(columns)) < len(columns):
        raise DataError(f"{file} names a column twice: {', '.join(columns)}. Rename one of them.")
    if not found.num_rows:
        raise DataError(f"{file} has columns but no rows: {', '.join(columns)}.")
    before = 0
    many = max(1, found.num_rows * batch_bytes // max(size, 1)) if batch_bytes else found.num_rows
    batches = table.iter_batches(batch_size=min(many, found.num_rows))
    while before < found.num_rows:
        with _damage_named(file):
            values = next(batches).to_pylist() if batch_bytes else table.read().to_pylist()
        rows = tuple(RawRow(number, row) for number, row in enumerate(values, start=before + 1))
        before += len(rows)
        yield RawFile(file, "parquet", "Parquet", columns, rows)


@contextmanager
def _damage_named(file: DataFile) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(f"{file} is a damaged Parquet file ({reason}). Copy or download it again.") from None
