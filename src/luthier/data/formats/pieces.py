"""Files larger than memory: read as a row of `RawFile`s, each a piece of the file, with the lines that it has there.

    JSON Lines   cut where a line ends
    CSV          cut where a row ends, quoted line breaks within it or not; the layout is that of the beginning
    Parquet      in batches; what a row group takes has to fit

A JSON document (SQuAD among them) cannot be cut: it is one piece, in memory as a whole. Text has to be UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import IO

from luthier.data.formats import read_raw
from luthier.data.formats.csv import layout_of, read_rows
from luthier.data.formats.encoding import decode_beginning, decode_piece, refuse_what_is_no_data
from luthier.data.formats.jsonl import JSON_LINES, SUFFIXES, has_a_row_a_line
from luthier.data.formats.parquet import read_batches
from luthier.data.formats.raw import Content, DataFile, RawFile, with_usable_rows

PIECE_BYTES = 1 << 24
"""About so many bytes are read at once."""
_MOST_PIECES_OF_A_CELL = 4
"""A quoted cell that does not close within so many pieces is taken for a quote that stands there by mistake."""


def read_pieces(file: DataFile, stream: IO[bytes], piece_bytes: int | None = None) -> Iterator[RawFile]:
    """Read a file piece by piece.

    Args:
        file: Where it lies, for messages.
        stream: Its content, from the beginning.
        piece_bytes: About how much is read at once; `PIECE_BYTES` if left out.

    Yields:
        Its rows in their order, good and bad; some pieces may hold none.

    Raises:
        DataError: if it is no data, broken as a whole, or not in UTF-8.
    """
    size = piece_bytes or PIECE_BYTES
    if stream.read(4) == b"PAR1":
        stream.seek(0)
        yield from map(with_usable_rows, read_batches(file, stream, size))
        return
    stream.seek(0)
    blocks = _whole_lines(stream, size)
    beginning = next(blocks, b"")
    refuse_what_is_no_data(file, beginning)
    text, encoding = decode_beginning(file, beginning)
    content = Content(file, beginning, text, encoding)
    by_line = content.suffix in SUFFIXES or has_a_row_a_line(text)
    if not by_line and text.lstrip().startswith(("{", "[")):
        yield read_raw(Content.load(file))
        return
    contents = _contents(content, blocks)
    yield from map(with_usable_rows, _json_lines(contents) if by_line else _csv(contents, size))


def _whole_lines(stream: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield blocks that end where a line ends, the last one where the file does."""
    rest: list[bytes] = []
    while block := stream.read(size):
        end = block.rfind(b"\n") + 1
        if not end:  # a line longer than a block
            rest.append(block)
            continue
        yield b"".join([*rest, block[:end]])
        rest = [block[end:]]
    if last := b"".join(rest):
        yield last


def _contents(first: Content, blocks: Iterator[bytes]) -> Iterator[Content]:
    yield first
    for block in blocks:
        yield Content(first.path, block, decode_piece(block), first.encoding)


def _json_lines(contents: Iterator[Content]) -> Iterator[RawFile]:
    before = 0
    for content in contents:
        file = JSON_LINES.read(content)
        rows = tuple(replace(row, line=row.line + before) for row in file.rows)
        yield replace(file, rows=rows, bad=tuple(replace(row, line=row.line + before) for row in file.bad))
        before += content.lines_of_text.count("\n")


def _csv(contents: Iterator[Content], size: int) -> Iterator[RawFile]:
    """Read rows as the parser sees them: one that has no end in its piece is read with the next."""
    content = next(contents)
    layout, before, rest = layout_of(content), 0, ""
    while True:
        following = next(contents, None)
        piece = replace(content, text=rest + content.lines_of_text)
        start = 0 if before else layout.lines
        long = len(rest) > _MOST_PIECES_OF_A_CELL * size
        more = following is not None
        file, read, left = read_rows(piece, layout, start, before=before, goes_on=more, give_up=long)
        yield file
        if following is None:
            return
        content, before, rest = following, before + read, "".join(left)
