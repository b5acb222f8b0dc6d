"""Parquet tables."""

from __future__ import annotations

from luthier.core.errors import DataError
from luthier.data.formats.raw import Content, RawFile, RawRow


class Parquet:
    """Parquet: a typed table; lists and structs become JSON values, lines are row numbers."""

    name = "parquet"

    def recognises(self, content: Content) -> bool:
        """Say whether the file starts as every Parquet file does."""
        return content.data.startswith(b"PAR1")

    def read(self, content: Content) -> RawFile:
        """Read all rows; a row's line is its number, counted from 1."""
        import pyarrow
        import pyarrow.parquet

        try:
            # A ParquetFile, not read_table: the latter takes "year=2024" in a folder's name for a column.
            table = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content.data)).read()
            values = table.to_pylist()
        except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise DataError(
                f"{content.path} is a damaged Parquet file ({reason}). Copy or download it again."
            ) from None
        columns = tuple(table.column_names)
        if len(set(columns)) < len(columns):
            raise DataError(f"{content.path} names a column twice: {', '.join(columns)}. Rename one of them.")
        if not values:
            raise DataError(f"{content.path} has columns but no rows: {', '.join(columns)}.")
        rows = tuple(RawRow(number, row) for number, row in enumerate(values, start=1))
        return RawFile(content.path, self.name, "Parquet", columns, rows)


PARQUET = Parquet()
