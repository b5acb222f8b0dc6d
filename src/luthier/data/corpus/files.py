"""Finding a corpus' files, and reading them one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from luthier.core.errors import BadRow, DataError
from luthier.data.corpus import rows, text
from luthier.data.corpus.sections import Found, Section, Unusable
from luthier.data.formats.raw import DataFile
from luthier.data.mapping import PartName
from luthier.data.places import choose_files, digest_of, open_bytes
from luthier.data.sources import part_of_file

Reader = Callable[[DataFile, IO[bytes], str | None, Found], Iterator[tuple[int, str | None, bool] | BadRow]]
"""Reads an open file: yields (line, text, whether a document begins with it), or what is wrong. Text None: empty."""

_READERS: Mapping[str, Reader] = {
    ".txt": text.read_text,
    ".md": text.read_text,
    ".markdown": text.read_text,
    ".jsonl": rows.read_json_lines,
    ".ndjson": rows.read_json_lines,
    ".csv": rows.read_csv,
    ".tsv": rows.read_csv,
    ".parquet": rows.read_parquet,
}
_WHAT = "texts (.txt, .md) or tables of them (.jsonl, .csv, .parquet)"


@dataclass(frozen=True)
class Corpus:
    """The files of a corpus.

    Attributes:
        source: The file, folder or address, as the user wrote it.
        files: What is read, in this order.
        left_out: Names of the files beside them.
        column: The column that holds the text, if the user named one.
        parts: The part of each file by index, where at least two parts are told apart by their names; else empty.
    """

    source: str
    files: Sequence[DataFile]
    left_out: tuple[str, ...]
    column: str | None
    parts: Mapping[int, PartName]

    def sections(self, found: Found) -> Iterator[Section | Unusable]:
        """Read all documents, in one pass.

        Yields:
            Sections, a document's after each other. Where a document cannot be used, which may come out in its middle,
            what is wrong: what was yielded of it is then to be forgotten.

        Raises:
            DataError: for a file that is no text at all, or has no column with texts.
        """
        for number, file in enumerate(self.files):
            yield from self._sections_of(number, file, found)

    def _sections_of(self, number: int, file: DataFile, found: Found) -> Iterator[Section | Unusable]:
        reader = _READERS.get(file.suffix.lower(), text.read_text)
        whole_file, begun, bad_before = reader is text.read_text, False, False
        with open_bytes(file) as stream:
            try:
                for piece in reader(file, stream, self.column, found):
                    if isinstance(piece, BadRow):
                        found.refuse(piece, document=not (whole_file and bad_before))
                        bad_before = True
                        yield Unusable(piece, under_way=whole_file and begun)
                        continue
                    line, content, first = piece
                    if content is None:
                        found.empty += 1
                        continue
                    begun = True
                    yield Section(content, number, line, first)
            except OSError as error:
                raise DataError(f"Cannot read {file}: {error.strerror or error}.") from None

    def digest(self) -> str:
        """Return a SHA-256 of the content; of one file it is what `sha256sum` prints."""
        return digest_of(self.files)


def find_corpus(path: str, column: str | None = None) -> Corpus:
    """Find the files of a corpus: a text or table, or all of them in a folder and the folders within.

    Raises:
        DataError: if there are none.
    """
    files, left_out = choose_files(path, tuple(_READERS), _WHAT, deep=True)
    parts = {number: part for number, file in enumerate(files) if (part := part_of_file(file))}
    if len(set(parts.values())) < 2:
        parts = {}
    elif len(parts) < len(files):  # others beside train, validation and test belong to no part
        left_out = sorted([*left_out, *(file.name for number, file in enumerate(files) if number not in parts)])
        files = [files[number] for number in parts]
        parts = dict(enumerate(parts.values()))
    return Corpus(path, files, tuple(left_out), column, parts)
