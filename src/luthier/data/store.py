"""The token store: a corpus' tokens on disk, written in one streaming pass, read through memory maps.

    tokens.bin      all documents one after the other: what begins a document, its tokens, what ends it (uint16 or 32)
    sections.bin    a record a section: where its tokens start, its document, file, line, bytes, words and digest
    store.json      sizes, SHA-256 of both, counts, what could not be used; written last

A store is a folder of the cache (`luthier.data.cached`), named by what it depends on: the corpus' bytes, the tokenizer,
how texts are cut. Safe to delete: making it again costs time, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from luthier.core.errors import BadRow, DataError
from luthier.core.files import cache_folder, sha256_text
from luthier.core.listener import Listener, SilentListener
from luthier.data.cached import cached, mapped
from luthier.data.corpus import SECTION_CHARACTERS, Corpus, Found, Section, Unusable
from luthier.data.document_tokens import DocumentTokens

_VERSION = "1"
_BATCH_CHARACTERS = 1 << 18
"""So many characters are tokenised together: enough for all cores, few enough to hold."""
_SECTION = np.dtype(
    [("start", "<i8"), ("document", "<i8"), ("digest", "<u8"), ("bytes", "<i8"), ("words", "<i8"), ("line", "<i8"),
     ("file", "<i4")]
)  # fmt: skip
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TokenStore:
    """An opened store; nothing of it is in memory but what is looked at.

    Attributes:
        folder: Where it is.
        key: What it depends on, as a digest; its name.
        corpus_digest: SHA-256 of the corpus' bytes.
        tokens: `[T]` ids of all documents.
        sections: `[S]` records, see the module's docstring.
        empty, unusable: Documents without text, and those that cannot be used.
        bad: The first of the latter.
        other_columns: Columns of tables that were not read.
    """

    folder: Path
    key: str
    corpus_digest: str
    tokens: npt.NDArray[Any]
    sections: npt.NDArray[Any]
    empty: int
    unusable: int
    bad: tuple[BadRow, ...]
    other_columns: tuple[str, ...]

    @cached_property
    def starts(self) -> Integers:
        """Where each section's tokens start, and where the last one's end, `[S + 1]`."""
        return np.append(self.sections["start"], len(self.tokens)).astype(np.int64)

    @cached_property
    def document_starts(self) -> Integers:
        """The first section of each document, and the number of sections, `[N + 1]`."""
        of = np.asarray(self.sections["document"])
        return np.append(np.flatnonzero(np.diff(of, prepend=-1)), len(of)).astype(np.int64)

    @property
    def documents(self) -> int:
        """N, the number of documents."""
        return len(self.document_starts) - 1

    @cached_property
    def document_tokens(self) -> Integers:
        """Tokens of each document, with what begins and ends it, `[N]`."""
        return np.diff(self.starts[self.document_starts])

    @cached_property
    def document_digests(self) -> npt.NDArray[np.uint64]:
        """A number a document, `[N]`, equal for documents with equal texts."""
        digests = np.asarray(self.sections["digest"])
        mixed = digests * np.uint64(0x9E3779B97F4A7C15)  # so that sections in another order are another document
        place = np.arange(len(digests)) - np.repeat(self.document_starts[:-1], np.diff(self.document_starts))
        mixed ^= mixed >> np.uint64(29)
        mixed *= (2 * place + 1).astype(np.uint64)
        return np.add.reduceat(mixed, self.document_starts[:-1]) if len(digests) else mixed


def open_store(
    corpus: Corpus, tokens: DocumentTokens, listener: Listener | None = None, *, skip_bad: bool = False
) -> TokenStore:
    """Return the store of a corpus for a tokenizer; tokenises it if that was not done before.

    Args:
        corpus: What is read.
        tokens: How documents become tokens.
        listener: Told of progress.
        skip_bad: Leave documents out that cannot be used; else they stop the reading.

    Raises:
        DataError: if documents cannot be used (it names them), or there is no text at all.
    """
    listener = listener or SilentListener()
    digest = corpus.digest()
    key = sha256_text(_VERSION, digest, tokens.digest, str(SECTION_CHARACTERS), corpus.column or "")
    folder = cache_folder() / "tokens" / key
    store = _open(folder, key, cached(folder, lambda staged: _write(corpus, tokens, digest, staged, listener)))
    if store.unusable and not skip_bad:
        raise DataError(
            f"{corpus.source}: {store.unusable:,} of {store.documents + store.unusable:,} documents cannot be used. "
            "Mend them, or leave them out with --skip-bad.",
            store.bad,
        )
    if not store.documents:
        raise DataError(f"{corpus.source} holds no text ({store.empty:,} documents are empty).", store.bad)
    return store


def _open(folder: Path, key: str, manifest: dict[str, Any]) -> TokenStore:
    return TokenStore(
        folder,
        key,
        manifest["corpus_digest"],
        mapped(folder / "tokens.bin", np.dtype(manifest["dtype"])),
        mapped(folder / "sections.bin", _SECTION),
        manifest["empty"],
        manifest["unusable"],
        tuple(BadRow(**row) for row in manifest["bad"]),
        tuple(manifest["other_columns"]),
    )


# ------------------------------------------------------------------------------------------------------------ writing


def _write(corpus: Corpus, tokens: DocumentTokens, digest: str, folder: Path, listener: Listener) -> dict[str, Any]:
    found = Found()
    with (
        open(folder / "tokens.bin", "wb") as token_file,
        open(folder / "sections.bin", "wb") as section_file,
        listener.track("tokenising", _size_of(corpus), "MB") as progress,
    ):
        writer = _Writer(tokens, token_file, section_file)
        moved = 0
        for pieces in _batches(corpus.sections(found)):
            writer.add(pieces)
            progress.advance((found.bytes_read - moved) / 1e6)
            moved = found.bytes_read
        writer.end()
    return {
        "corpus_digest": digest,
        "dtype": tokens.dtype,
        "empty": found.empty,
        "unusable": found.unusable,
        "bad": [asdict(row) for row in found.bad],
        "other_columns": list(found.other_columns),
    }


def _size_of(corpus: Corpus) -> float | None:
    """Return how much there is to read in MB, None where that is not known."""
    try:
        return sum(file.stat().st_size for file in corpus.files) / 1e6  # type: ignore[attr-defined]
    except (OSError, AttributeError):
        return None


def _batches(pieces: Iterator[Section | Unusable]) -> Iterator[list[Section | Unusable]]:
    """Gather sections, about as much text in each batch."""
    batch: list[Section | Unusable] = []
    characters = 0
    for piece in pieces:
        batch.append(piece)
        characters += len(piece.text) if isinstance(piece, Section) else 0
        if characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


class _Writer:
    """Writes documents section by section; takes back the one under way if it turns out to be unusable."""

    def __init__(self, tokens: DocumentTokens, token_file: IO[bytes], section_file: IO[bytes]) -> None:
        self._tokens = tokens
        self._token_file = token_file
        self._section_file = section_file
        self._dtype = np.dtype(tokens.dtype)
        self._count = 0
        """Tokens written."""
        self._document = -1
        self._begun: tuple[int, int] | None = None
        """Where the files stood when the document under way began, in bytes."""
        self._last = ""
        """The character before the next section."""

    def add(self, pieces: Sequence[Section | Unusable]) -> None:
        """Tokenise a batch of sections and write it."""
        sections = [piece for piece in pieces if isinstance(piece, Section)]
        before = [self._last, *(section.text[-1] for section in sections)]
        encoded = iter(
            self._tokens.encode(
                [section.text for section in sections],
                ["" if s.first else last for s, last in zip(sections, before, strict=False)],
            )
        )
        self._last = before[-1]
        for piece in pieces:
            if isinstance(piece, Section):
                self._add_section(piece, next(encoded))
            elif piece.under_way:
                self._withdraw()

    def end(self) -> None:
        """End the document under way."""
        if self._begun is not None:
            self._put(self._tokens.ending)
            self._begun = None

    def _add_section(self, section: Section, ids: Sequence[int]) -> None:
        start = self._count
        if section.first:
            self.end()
            self._begun = self._token_file.tell(), self._section_file.tell()
            self._document += 1
            start = self._count
            self._put(self._tokens.beginning)
        if self._begun is None:  # of a document that was taken back
            return
        self._put(ids)
        data = section.text.encode()
        digest = int.from_bytes(blake2b(data, digest_size=8).digest(), "little")
        words = len(section.text.split())
        record = (start, self._document, digest, len(data), words, section.line, section.file)
        self._section_file.write(np.array([record], _SECTION).tobytes())

    def _put(self, ids: Sequence[int]) -> None:
        self._token_file.write(np.asarray(ids, dtype=self._dtype).tobytes())
        self._count += len(ids)

    def _withdraw(self) -> None:
        """Take back the document under way."""
        if self._begun is None:
            return
        for file, place in zip((self._token_file, self._section_file), self._begun, strict=True):
            file.seek(place)
            file.truncate()
        self._count = self._begun[0] // self._dtype.itemsize
        self._document -= 1
        self._begun = None
