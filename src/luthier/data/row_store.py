"""Rows larger than memory: checked and stored on disk in one pass, read one by one afterwards.

    rows.jsonl    a usable row a line: its line in the file, and its values
    index.bin     a record a row: where its line starts, its name, what it asks and its cluster as numbers, its place
                  among rows of one name, file, part
    store.json    sizes, SHA-256 of both, how rows are read, what could not be used; written last

Of a row 41 bytes are held while the file is read, and none afterwards but what is looked at (the index is mapped). What
an example is, is made of the row each time it is asked for. Columns are guessed from the first piece of the first file.
Rows have the names that they have in memory, except that no column is taken for an id unless it is named.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, overload

import numpy as np
import numpy.typing as npt

from luthier.core.errors import BadRow
from luthier.core.files import cache_folder, json_line, sha256_text
from luthier.core.listener import Listener, SilentListener
from luthier.core.types import Example
from luthier.data.cached import cached, mapped
from luthier.data.formats.pieces import read_pieces
from luthier.data.formats.raw import DataFile, RawFile, RawRow
from luthier.data.guessing import guess_mapping
from luthier.data.held_out import asked_number
from luthier.data.labels import normalize_label
from luthier.data.mapping import Draft, PartName, RowMapping, draft_of, drafts_of, numbered, taken_id, text_columns
from luthier.data.options import ReadOptions
from luthier.data.places import digest_of, open_bytes, size_of
from luthier.data.sources import Dataset, evenly, files_of, parts_by_file, sample_row, stop_at_bad_rows

LARGE_BYTES = 1 << 30
"""From so many bytes on rows are read from disk, unless the recipe says otherwise."""
MOST_BAD_ROWS = 1000
"""So many bad rows are kept by name; more are only counted."""
_VERSION = "1"
_PARTS: tuple[PartName, ...] = ("tune", "choose", "confirm")
_INDEX = np.dtype(
    [
        ("start", "<i8"),
        ("name", "<u8"),
        ("asked", "<u8"),
        ("cluster", "<u8"),
        ("alike", "<i4"),
        ("file", "<i4"),
        ("part", "i1"),
    ]
)
Integers = npt.NDArray[np.int64]


def is_large(path: str | Path) -> bool:
    """Say whether the files of a path are so large that their rows are read from disk; by their bytes alone."""
    sizes = [size_of(file) for file in files_of(path)[0]]
    return sum(size or 0 for size in sizes) >= LARGE_BYTES


@dataclass(frozen=True)
class RowStore:
    """An opened store; nothing of it is in memory but what is looked at.

    Attributes:
        folder: Where it is.
        key: What it depends on, as a digest; its name.
        index: `[N]` records, see the module's docstring.
        mapping: How rows are read.
        files: The files, as the user wrote them.
        description: What was read, in words.
        digest: SHA-256 of the files.
        bad: The first of the rows that cannot be used.
        bad_count: How many there are.
        same_answer: Whether all rows have the same answer, however it is spelled.
    """

    folder: Path
    key: str
    index: npt.NDArray[Any]
    mapping: RowMapping
    files: tuple[str, ...]
    description: str
    digest: str
    bad: tuple[BadRow, ...]
    bad_count: int
    same_answer: bool

    @property
    def rows(self) -> StoredExamples:
        """All rows."""
        return StoredExamples(self, np.arange(len(self.index)))

    @property
    def size_bytes(self) -> int:
        """The size of all rows on disk."""
        return (self.folder / "rows.jsonl").stat().st_size

    def read(self, file: IO[bytes], row: int) -> Example:
        """Read a row from the opened file of rows."""
        draft = _draft(self.mapping, file, int(self.index["start"][row]))
        if self.mapping.id:
            return draft.example
        return replace(draft.example, id=numbered(draft.content, int(self.index["alike"][row])))

    def open(self) -> IO[bytes]:
        """Open the file of rows."""
        return open(self.folder / "rows.jsonl", "rb")

    def place(self, row: int, line: int) -> str:
        """Return where a row stands, as "file:line"."""
        return f"{self.files[int(self.index['file'][row])]}:{line}"


class StoredExamples(Sequence[Example]):
    """Some rows of a store, in their order; each is read when it is asked for.

    Args:
        store: The store.
        rows: `[n]` which rows.
    """

    def __init__(self, store: RowStore, rows: Integers) -> None:
        self.store = store
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> StoredExamples: ...

    def __getitem__(self, index: int | slice) -> Example | StoredExamples:
        if isinstance(index, slice):
            return StoredExamples(self.store, self.rows[index])
        with self.store.open() as file:
            return self.store.read(file, int(self.rows[index]))

    def __iter__(self) -> Iterator[Example]:
        with self.store.open() as file:
            for row in self.rows:
                yield self.store.read(file, int(row))

    def take(self, positions: npt.NDArray[Any]) -> StoredExamples:
        """Return the rows at some positions (or where a mask is True)."""
        return StoredExamples(self.store, self.rows[positions])

    def evenly(self, count: int) -> tuple[Example, ...]:
        """Read so many rows, at even distances."""
        return tuple(self.take(np.array(evenly(len(self), count), dtype=np.int64)))


def open_rows(path: str | Path, options: ReadOptions | None = None, listener: Listener | None = None) -> RowStore:
    """Return the stored rows of a data file or folder; reads them if that was not done before.

    Raises:
        DataError: if nothing can be read, if columns are ambiguous, or if rows cannot be used; it counts all of them.
        ConfigError: if an option names a column that is not there.
    """
    options, listener = options or ReadOptions(), listener or SilentListener()
    files, left_out = files_of(path)
    digest = digest_of(files)
    asked = options.model_copy(update={"skip_bad": False}).model_dump_json()
    key = sha256_text(_VERSION, digest, asked, str(path), *map(str, files))
    folder = cache_folder() / "rows" / key

    def make(staged: Path) -> dict[str, Any]:
        with listener.track("reading rows", sum(size_of(file) or 0 for file in files) / 1e6, "MB") as progress:
            return _Writer(str(path), files, options, staged).write(progress.advance)

    found = cached(folder, make)
    others = [f"not read: {', '.join(left_out)}"] if left_out else []
    store = RowStore(
        folder,
        key,
        mapped(folder / "index.bin", _INDEX),
        RowMapping.parse(found["mapping"], "the row store"),
        tuple(map(str, files)),
        "; ".join([*found["read"], *others]),
        digest,
        tuple(BadRow(**row) for row in found["bad"]),
        found["bad_count"],
        found["same_answer"],
    )
    stop_at_bad_rows(str(path), store.bad, store.bad_count, len(store.index), options.skip_bad)
    return store


def stored_dataset(store: RowStore, source: str) -> Dataset:
    """Return stored rows as what a data file holds."""
    chosen = evenly(len(store.index), 3)
    samples = [(store.rows[row], row) for row in chosen]
    return Dataset(
        source,
        store.description,
        store.rows,
        store.mapping,
        store.bad,
        store.digest,
        samples=tuple(sample_row(example, store.place(row, example.line)) for example, row in samples),
        more_bad_rows=store.bad_count - len(store.bad),
    )


def _draft(mapping: RowMapping, file: IO[bytes], start: int) -> Draft:
    file.seek(start)
    line, values = json.loads(file.readline())
    return draft_of(RawRow(line, values), mapping, True, None, "")


# ------------------------------------------------------------------------------------------------------------ writing


@dataclass
class _Writer:
    """Reads files piece by piece and writes their usable rows; what is held is a piece and the index."""

    source: str
    files: Sequence[DataFile]
    options: ReadOptions
    folder: Path
    bad: list[BadRow] = field(default_factory=list)
    bad_count: int = 0
    rows: Counter[int] = field(default_factory=Counter)
    descriptions: dict[int, str] = field(default_factory=dict)
    mapping: RowMapping | None = None
    texts: tuple[str, ...] = ()
    answers: set[tuple[str, ...]] = field(default_factory=set)

    def write(self, advance: Any) -> dict[str, Any]:
        """Write all rows and their index; returns what the manifest says."""
        with open(self.folder / "rows.jsonl", "wb") as out:
            pieces = [self._piece(number, piece, out) for number, piece in self._pieces(advance)]
        index = np.concatenate([np.empty(0, _INDEX), *pieces])
        del pieces
        index = self._without_repeated_ids(index) if self.options.id else self._with_numbers(index)
        index.tofile(self.folder / "index.bin")
        mapping = self.mapping or RowMapping()
        return {
            "mapping": mapping.to_json(),
            "read": [f"{f.name}: {self.descriptions[n]}, {self.rows[n]:,} rows" for n, f in enumerate(self.files)],
            "bad": [asdict(row) for row in self.bad],
            "bad_count": self.bad_count,
            "same_answer": len(self.answers) == 1 and len(index) > 1,
        }

    def _pieces(self, advance: Any) -> Iterator[tuple[int, RawFile]]:
        for number, file in enumerate(self.files):
            with open_bytes(file) as stream:
                before = 0
                for piece in read_pieces(file, stream):
                    yield number, piece
                    advance((stream.tell() - before) / 1e6)
                    before = stream.tell()

    def _piece(self, number: int, piece: RawFile, out: IO[bytes]) -> npt.NDArray[Any]:
        """Write the usable rows of a piece; returns their records."""
        self.descriptions.setdefault(number, piece.description)
        self.rows[number] += len(piece.rows) + len(piece.bad)
        if self.mapping is None and piece.rows:
            self.mapping, self.texts = self._guess(piece)
        part = parts_by_file(self.files).get(piece.path.name)
        drafts, faults = drafts_of(piece, self.mapping or RowMapping(), self.texts, True, part)
        self._refuse(*faults)
        index = np.zeros(len(drafts), _INDEX)
        for place, draft in enumerate(drafts):
            self._note_answer(draft)
            names = _name(draft), asked_number(draft.example), _number(draft.example.cluster)
            index[place] = (out.tell(), *names, 1, number, _part_number(draft))
            out.write(json_line([draft.example.line, draft.example.fields]).encode())
        return index

    def _guess(self, piece: RawFile) -> tuple[RowMapping, tuple[str, ...]]:
        values = [row.values for row in piece.rows]
        mapping = guess_mapping(self.source, piece.columns, values, self.options, more_follow=True)
        return mapping, text_columns(values, mapping)

    def _refuse(self, *rows: BadRow) -> None:
        self.bad += rows[: max(0, MOST_BAD_ROWS - len(self.bad))]
        self.bad_count += len(rows)

    def _note_answer(self, draft: Draft) -> None:
        if len(self.answers) < 2:
            self.answers.add(tuple(map(normalize_label, draft.example.references)))

    def _with_numbers(self, index: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Number the rows that share a hash by their answers, then by their order."""
        mapping = self.mapping or RowMapping()  # without one there is no row
        with open(self.folder / "rows.jsonl", "rb") as file:
            for alike in _runs(index["name"]):
                answers = {row: _draft(mapping, file, int(index["start"][row])).answer for row in alike}
                index["alike"][sorted(alike, key=answers.__getitem__)] = np.arange(1, len(alike) + 1)
        return index

    def _without_repeated_ids(self, index: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Leave out the rows whose id an earlier row has."""
        mapping = self.mapping or RowMapping()  # without one there is no row
        usable = np.ones(len(index), dtype=np.bool_)
        with open(self.folder / "rows.jsonl", "rb") as file:
            for alike in _runs(index["name"]):
                found = [_draft(mapping, file, int(index["start"][row])).example for row in alike]
                names = [str(self.files[int(index["file"][row])]) for row in alike]
                for row, name, example in zip(alike[1:], names[1:], found[1:], strict=True):
                    fault = taken_id(example.id, f"{names[0]}:{found[0].line}")
                    self._refuse(BadRow(name, example.line, fault.problem, fault.expected, fault.fix))
                    usable[row] = False
        return index[usable]


def _runs(names: npt.NDArray[np.uint64]) -> Iterator[list[int]]:
    """Yield the rows of each name that several have, in their order."""
    order = np.argsort(names, kind="stable")
    ordered = names[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(ordered) else np.empty(0, np.int64)
    sizes = np.diff(np.append(starts, len(ordered)))
    for start, size in zip(starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        yield order[start : start + size].tolist()


def _name(draft: Draft) -> int:
    return _number(draft.example.id) if draft.example.id else int(draft.content, 16)


def _number(text: str | None) -> int:
    """Return a number that stands for a text; 0 for none."""
    return 0 if text is None else int.from_bytes(sha256(text.encode()).digest()[:8], "big")


def _part_number(draft: Draft) -> int:
    return -1 if draft.part is None else _PARTS.index(draft.part)
