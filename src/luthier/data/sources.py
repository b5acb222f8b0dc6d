"""Read a data file or a folder of files into examples: the one way in."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from luthier.core.errors import BadRow, DataError
from luthier.core.files import append_lines, sha256_text
from luthier.core.types import EMPTY, Example
from luthier.data.formats import Content, RawFile, read_raw
from luthier.data.formats.raw import DataFile
from luthier.data.guessing import guess_mapping
from luthier.data.mapping import PartName, RowMapping, map_rows, part_named
from luthier.data.options import ReadOptions
from luthier.data.places import data_files
from luthier.data.values import shorten

_SHOWN_CHARACTERS = 400


@dataclass(frozen=True)
class SampleRow:
    """One row as a model will see it, shortened for display."""

    where: str
    conversation: str
    answer: str


@dataclass(frozen=True)
class Dataset:
    """Examples and where they come from.

    Attributes:
        source: The file or folder, as the user wrote it.
        description: What was read, in words: format, rows, left-out files.
        examples: The usable rows, in the order of the files.
        mapping: What comes from where; apply it to new files to read them alike.
        bad_rows: The rows that were left out (only with `skip_bad`; else they stop the reading).
        digest: SHA-256 of the content; of one file it is what `sha256sum` prints.
        given: For data that comes in parts: "tune", "choose" or "confirm" by example id; else empty.
        samples: Up to three rows, from the start, the middle and the end, as they are rendered.
        more_bad_rows: How many rows were left out beyond those of `bad_rows`, which are the first of them.
    """

    source: str
    description: str
    examples: Sequence[Example]
    mapping: RowMapping
    bad_rows: tuple[BadRow, ...]
    digest: str
    given: Mapping[str, PartName] = field(default_factory=lambda: EMPTY)
    samples: tuple[SampleRow, ...] = ()
    more_bad_rows: int = 0

    def __len__(self) -> int:
        return len(self.examples)

    def given_sizes(self) -> dict[str, int]:
        """Return how many rows come in each part; empty if the data has no parts."""
        return dict(Counter(self.given.values()))

    def save_bad_rows(self, path: Path) -> None:
        """Append the rows that were left out to a JSON Lines file."""
        append_lines(path, map(asdict, self.bad_rows))


def read_examples(
    path: str | Path,
    options: ReadOptions | None = None,
    *,
    mapping: RowMapping | None = None,
    need_answers: bool = True,
) -> Dataset:
    """Read a data file, or all data files of a folder.

    Args:
        path: A CSV, JSON, JSON Lines or Parquet file, or a folder of these; also an address that fsspec knows.
        options: What the user says about columns; the rest is guessed.
        mapping: The mapping of an earlier run, instead of options and guessing.
        need_answers: Whether every row must have a right answer. Off for rows that are only to be answered.

    Raises:
        DataError: if nothing can be read, if columns are ambiguous, or if rows cannot be used; it lists all of them.
        ConfigError: if an option names a column that is not there.
    """
    options = options or ReadOptions()
    paths, left_out = files_of(path)
    contents = [Content.load(file) for file in paths]
    files = [read_raw(content) for content in contents]
    columns = tuple(dict.fromkeys(name for file in files for name in file.columns))
    _require_rows(str(path), files)
    if mapping is None:
        rows = [row.values for file in files for row in file.rows]
        mapping = guess_mapping(str(path), columns, rows, options, need_answers=need_answers)
    else:
        mapping.check_columns(columns, str(path), need_answers=need_answers)
        mapping = mapping.for_columns(columns)
    mapped = map_rows(files, mapping, need_answers=need_answers, parts=parts_by_file(paths))
    stop_at_bad_rows(str(path), mapped.bad, len(mapped.bad), len(mapped.examples), options.skip_bad)
    return Dataset(
        source=str(path),
        description=_describe(files, left_out),
        examples=mapped.examples,
        mapping=mapping,
        bad_rows=mapped.bad,
        digest=_digest(contents),
        # One part alone (only a test file, say) is no division: such data is divided like any other.
        given=mapped.given if len(set(mapped.given.values())) > 1 else EMPTY,
        samples=sample_rows(mapped.examples, mapped.places),
    )


# ---------------------------------------------------------------------------------------------------------- files


def files_of(root: str | Path) -> tuple[Sequence[DataFile], list[str]]:
    """Return the data files of a path, and the names of the files beside them that are not read."""
    files, left_out = data_files(root)
    if len({part for file in files if (part := part_of_file(file))}) > 1:  # train, validation, test
        left_out = sorted([*left_out, *(file.name for file in files if not part_of_file(file))])
        files = [file for file in files if part_of_file(file)]  # others beside them are no rows
    return files, left_out


def part_of_file(file: DataFile) -> PartName | None:
    """Return the part that a file's name stands for: "train-00000-of-00001" and "my_test" do."""
    found = {part for word in re.split(r"[^a-z]+", file.stem.lower()) if (part := part_named(word))}
    return found.pop() if len(found) == 1 else None


def parts_by_file(files: Sequence[DataFile]) -> dict[str, PartName]:
    """Return the files that stand for parts, by name; none of a single file."""
    if len(files) < 2:
        return {}
    return {file.name: part for file in files if (part := part_of_file(file))}


def _digest(contents: Sequence[Content]) -> str:
    digests = [(c.path.name, hashlib.sha256(c.data).hexdigest()) for c in contents]
    return digests[0][1] if len(digests) == 1 else sha256_text(*(part for pair in digests for part in pair))


def _describe(files: Sequence[RawFile], left_out: Sequence[str]) -> str:
    """Say what was read: "tickets.csv: CSV (delimiter ';', Windows-1252), 300 rows"."""
    parts = [f"{f.path.name}: {f.description}, {len(f.rows) + len(f.bad):,} rows" for f in files]
    if left_out:
        parts.append(f"not read: {', '.join(left_out)}")
    return "; ".join(parts)


# ------------------------------------------------------------------------------------------------------- bad rows


def _require_rows(source: str, files: Sequence[RawFile]) -> None:
    """Stop if no row could even be read."""
    bad = [row for file in files for row in file.bad]
    if not bad and not any(file.rows for file in files):
        raise DataError(f"{source} holds no rows. Add some, or give another file.")
    if not any(file.rows for file in files):
        raise DataError(f"{source}: none of {len(bad)} row(s) can be read.", bad)


def stop_at_bad_rows(source: str, rows: Sequence[BadRow], bad: int, good: int, skip_bad: bool) -> None:
    """Stop if no row can be used, or some cannot and they are not to be left out.

    Args:
        source: The file or folder.
        rows: Bad rows, all or the first of them.
        bad, good: How many there are.
        skip_bad: Whether bad rows are left out.
    """
    if not good:
        raise DataError(f"{source}: none of {bad} row(s) can be used.", rows)
    if bad and not skip_bad:
        raise DataError(
            f"{source}: {bad:,} of {good + bad:,} rows cannot be used. Mend them, or leave them out with --skip-bad.",
            rows,
        )


# -------------------------------------------------------------------------------------------------------- display


def sample_rows(examples: Sequence[Example], places: Sequence[str], count: int = 3) -> tuple[SampleRow, ...]:
    """Return rows from the start, the middle and the end, as the model will see them."""
    return tuple(sample_row(examples[index], places[index]) for index in evenly(len(examples), count))


def evenly(total: int, count: int) -> list[int]:
    """Return so many positions from the first to the last, at even distances; all if there are fewer."""
    if total <= count:
        return list(range(total))
    return sorted({round((total - 1) * k / max(count - 1, 1)) for k in range(count)})


def sample_row(example: Example, place: str) -> SampleRow:
    """Return a row as the model will see it, shortened."""
    first = example.messages[0]
    alone = len(example.messages) == 1 and first.role == "user"
    texts = [m.content if alone else f"[{m.role}] {m.content}" for m in example.messages]
    others = f"  (or {len(example.references) - 1} other right answers)" if len(example.references) > 1 else ""
    answer = shorten(example.reference, _SHOWN_CHARACTERS) + others if example.references else ""
    return SampleRow(place, shorten("\n".join(texts), _SHOWN_CHARACTERS), answer)
