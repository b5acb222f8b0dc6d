"""Plain text, one file a document: decoded and cut while it is read, whatever its size."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import IO

from luthier.core.errors import BadRow, DataError
from luthier.data.corpus.sections import Found, SectionCutter
from luthier.data.formats.encoding import refuse_what_is_no_data
from luthier.data.formats.raw import DataFile

BLOCK_BYTES = 1 << 18
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_NO_CHARACTER = re.compile("[\ud800-\udfff]")


def read_text(
    file: DataFile, stream: IO[bytes], column: str | None, found: Found
) -> Iterator[tuple[int, str | None, bool] | BadRow]:
    """Read a text file as one document; see `luthier.data.corpus.files.Reader`.

    Raises:
        DataError: if it is plainly no text.
    """
    cutter, line, first, good = SectionCutter(), 1, True, True
    waiting = ""  # white space at the beginning, which is a document only if text follows
    for text in _decoded(file, stream, found):
        for bad in _bad_lines(file, text, line):
            good = False
            yield bad
        line += text.count("\n")
        if not good:
            continue
        for section in cutter.add(text):
            waiting += section
            if first and not waiting.strip():
                continue
            yield 1, waiting, first
            waiting, first = "", False
    if not good:
        return
    for section in cutter.rest():
        waiting += section
        if waiting.strip() or not first:
            yield 1, waiting, first
            waiting, first = "", False
    if first:
        yield 1, None, True


def _decoded(file: DataFile, stream: IO[bytes], found: Found) -> Iterator[str]:
    """Yield a file's text; bytes that are no UTF-8 come as lone surrogates."""
    block = stream.read(BLOCK_BYTES)
    codec, mark = next(((name, mark) for mark, name in _MARKS if block.startswith(mark)), ("utf-8", b""))
    if block:
        _refuse(file, block, codec)
    found.bytes_read += len(mark)
    block = block[len(mark) :]
    errors = "surrogateescape" if codec == "utf-8" else "surrogatepass"
    decoder = codecs.getincrementaldecoder(codec)(errors)
    try:
        while block:
            found.bytes_read += len(block)
            if codec == "utf-8" and b"\x00" in block:
                raise DataError(f"{file} is a binary file of an unknown kind, no text. Take it out of the corpus.")
            yield decoder.decode(block)
            block = stream.read(BLOCK_BYTES)
        yield decoder.decode(b"", True)
    except UnicodeDecodeError:
        raise DataError(f"{file} is not valid {codec.upper()[:6]}. Save it as UTF-8.") from None


def _refuse(file: DataFile, block: bytes, codec: str) -> None:
    if codec == "utf-8" and block.strip(b" \t\r\n\xef\xbb\xbf"):
        refuse_what_is_no_data(file, block)


def _bad_lines(file: DataFile, text: str, line: int) -> Iterator[BadRow]:
    """Yield the lines of a piece of text that hold bytes which are no character."""
    last = 0
    for match in _NO_CHARACTER.finditer(text):
        number = line + text.count("\n", 0, match.start())
        if number != last:
            yield undecodable(file, number)
        last = number


def undecodable(file: DataFile, line: int) -> BadRow:
    """Return the bad row of text with bytes or escapes that are no character."""
    problem = "the text holds bytes or escapes that are no character"
    return BadRow(str(file), line, problem, "valid UTF-8 text", "save the file as UTF-8 or correct the character")
