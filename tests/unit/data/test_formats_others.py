from __future__ import annotations

import datetime
import decimal
import pickle
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from data_samples import Write

from luthier.core.errors import ConfigError, DataError
from luthier.data import FORMATS
from luthier.data.formats import Content, read_raw


def write_parquet(path: Path, columns: dict[str, list[object]]) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_parquet_rows_become_json_values(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "rows.bin",
        {
            "text": ["a", None],
            "answers": [["x", "y"], []],
            "record": [{"product": "kettle", "id": None}, {"product": "lamp", "id": 3}],
            "when": [datetime.date(2024, 5, 6), None],
            "price": [decimal.Decimal("1.50"), decimal.Decimal("2.00")],
            "score": [0.5, float("nan")],
            "raw": [b"caf\xc3\xa9", b"ok"],
        },
    )
    file = read_raw(Content.load(path))
    assert (file.format, file.description) == ("parquet", "Parquet")
    assert [row.line for row in file.rows] == [1, 2]
    assert dict(file.rows[0].values) == {
        "text": "a",
        "answers": ["x", "y"],
        "record": {"product": "kettle", "id": None},
        "when": "2024-05-06",
        "price": 1.5,
        "score": 0.5,
        "raw": "café",
    }
    assert file.rows[1].values["price"] == 2
    assert file.rows[1].values["score"] is None


def test_bytes_that_are_no_text_are_a_bad_row(tmp_path: Path) -> None:
    file = read_raw(
        Content.load(write_parquet(tmp_path / "rows.parquet", {"text": ["a", "b"], "raw": [b"\xff", b"x"]}))
    )
    assert [row.line for row in file.rows] == [2]
    assert (file.bad[0].line, file.bad[0].problem) == (1, "column 'raw' holds bytes or escapes that are no character")


def test_parquet_that_is_damaged_or_has_no_rows(tmp_path: Path) -> None:
    whole = write_parquet(tmp_path / "rows.parquet", {"text": ["a"] * 100}).read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[:-20])
    with pytest.raises(DataError, match=r"cut\.parquet is a damaged Parquet file .* Copy or download it again\."):
        read_raw(Content.load(tmp_path / "cut.parquet"))
    with pytest.raises(DataError, match="has columns but no rows: text"):
        read_raw(Content.load(write_parquet(tmp_path / "none.parquet", {"text": []})))


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.csv", b"", r"empty\.csv is empty\. A data file has at least a header and a row"),
        ("blank.jsonl", b"\xef\xbb\xbf \r\n\n", r"blank\.jsonl is empty"),
        ("pointer.csv", LFS, r"pointer\.csv is a Git LFS pointer, not the data itself\. Run 'git lfs pull'"),
        ("page.csv", b"\n<!DOCTYPE html>\n<html><body>404</body>", "is an HTML page, not data: a download often saves"),
        ("page.json", b"<!-- x --><html>", "is an HTML page"),
        ("rows.csv", pickle.dumps([{"text": "a"}]), "is a pickle, which can run code when it is opened"),
        ("rows.bin", pickle.dumps({"a": 1}, protocol=0), "is a pickle"),
        ("rows.pkl", pickle.dumps(["x" * 300], protocol=2), "is a pickle"),
        ("book.csv", b"PK\x03\x04\x14\x00", "is a zip archive or an Excel workbook. Export the table as CSV"),
        ("rows.csv", b"\x1f\x8b\x08\x00", "is compressed with gzip. Unpack it first"),
        ("rows.csv", b"text,label\nabc\x00\x01\x02,d\n" * 5, "is a binary file of an unknown kind"),
        (
            "rows.csv",
            b"text,label\ncaf\x81\x8d,d\n",
            "rows.csv:2: byte 0x81 is not valid UTF-8, UTF-16 or Windows-1252; expected text in .*; save it as UTF-8",
        ),
        (
            "rows.csv",
            b"\xff\xfea\x00b",
            "rows.csv:1: the file is cut off in the middle of a character; expected text in UTF-16; copy",
        ),
    ],
)
def test_files_that_are_no_data_are_one_clear_sentence(write: Write, name: str, data: bytes, message: str) -> None:
    path = write(name, data)
    with pytest.raises(DataError, match=message) as caught:
        read_raw(Content.load(path))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_every_format_of_the_table_is_complete() -> None:
    assert list(FORMATS) == ["parquet", "squad", "json", "jsonl", "csv"]
    for name in FORMATS:
        assert FORMATS.get(name).name == name
        assert len(FORMATS.summary(name)) > 20
    with pytest.raises(ConfigError, match=r"Unknown format 'jsonlines'\. Known: .* Did you mean 'jsonl'\?"):
        FORMATS.get("jsonlines")
