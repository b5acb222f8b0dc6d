"""Data at addresses: read as if it lay here, and what is said where it cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from luthier.core.errors import DataError
from luthier.data import read_examples

ROWS = "text,label\n" + "".join(f"row {n},{'ab'[n % 2]}\n" for n in range(6))


@pytest.fixture
def bucket() -> Iterator[fsspec.AbstractFileSystem]:
    """A store in memory with a folder of two parts, a file beside them, and a hidden one."""
    store = fsspec.filesystem("memory")
    for name, text in {"train.csv": ROWS, "test.csv": ROWS, "README": "x", ".hidden.csv": "x"}.items():
        store.pipe_file(f"/bucket/{name}", text.encode())
    yield store
    store.rm("/bucket", recursive=True)


@pytest.mark.usefixtures("bucket")
def test_a_file_at_an_address() -> None:
    dataset = read_examples("memory://bucket/train.csv")
    assert (dataset.source, dataset.description) == (
        "memory://bucket/train.csv",
        "train.csv: CSV (delimiter ',', UTF-8), 6 rows",
    )
    assert [example.prompt for example in dataset.examples][:2] == ["row 0", "row 1"]


@pytest.mark.usefixtures("bucket")
def test_a_folder_at_an_address() -> None:
    dataset = read_examples("memory://bucket")
    assert len(dataset) == 12
    assert "not read: README" in dataset.description
    assert dataset.given_sizes() == {"confirm": 6, "tune": 6}


@pytest.mark.usefixtures("bucket")
def test_the_digest_is_that_of_the_same_file_here(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(ROWS)
    assert read_examples("memory://bucket/train.csv").digest == read_examples(tmp_path / "train.csv").digest


@pytest.mark.usefixtures("bucket")
def test_bad_rows_carry_the_address(bucket: fsspec.AbstractFileSystem) -> None:
    bucket.pipe_file("/bucket/holes.csv", b"text,label\nfine,a\n,b\n")
    with pytest.raises(DataError, match=r"memory://bucket/holes\.csv:3: column 'text' is empty"):
        read_examples("memory://bucket/holes.csv")


@pytest.mark.usefixtures("bucket")
def test_nothing_there() -> None:
    with pytest.raises(DataError, match=r"^There is nothing at memory://bucket/tain\.csv\. Check the address"):
        read_examples("memory://bucket/tain.csv")


def test_an_unknown_protocol() -> None:
    with pytest.raises(DataError, match=r"there is no protocol s4://\. Did you mean 's3'\?"):
        read_examples("s4://bucket/rows.csv")
