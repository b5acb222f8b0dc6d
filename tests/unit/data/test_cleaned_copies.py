"""Cleaned copies: the rows that stay are as they were, in the format they came in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from data_samples import Write

from luthier.core.errors import DataError
from luthier.data.cleaning import build_rules, clean, rows_of
from luthier.data.cleaning.writing import cleaned_copy
from luthier.data.formats import Content, read_raw
from luthier.data.options import ReadOptions
from luthier.data.sources import read_examples


def copy_of(path: Path, *names: str) -> bytes:
    """Return the cleaned copy of a file; the default rules, or others."""
    dataset = read_examples(path, ReadOptions(skip_bad=True), need_answers=False)
    cleaned = clean(rows_of(dataset.examples, dataset.mapping), build_rules(names), dataset.given)
    content = Content.load(path)
    return cleaned_copy(content, read_raw(content), cleaned.kept, cleaned.changed)


MASKING = ("default", "personal_data")


def test_lines_that_stay_are_copied_as_they_are(write: Write) -> None:
    """The order of keys, spaces, the way numbers are written, an escape, a key that stands twice; not line ends."""
    odd = r'{ "label":"x",  "text": "caf\u00e9", "n": 1.50, "m": 2e3 }'
    lines = [odd, '{"text": "twice", "label": "x"}', "", '{"text": "twice", "label": "x"}', "{broken", odd[:-1] + "}"]
    path = write("rows.jsonl", "\r\n".join(lines))
    assert copy_of(path).decode() == f'{odd}\n{{"text": "twice", "label": "x"}}\n'


def test_a_changed_line_is_written_anew(write: Write) -> None:
    lines = ['{"text": "mail é a@example.com", "label": "x", "n": 1.50}', '{"text":"b",  "label":"y"}']
    copied = copy_of(write("rows.jsonl", "\n".join(lines)), *MASKING).decode()
    assert copied == '{"text":"mail é <EMAIL>","label":"x","n":1.5}\n{"text":"b",  "label":"y"}\n'


def test_csv_rows_are_copied_with_their_quotes_and_line_breaks(write: Write) -> None:
    rows = [
        "text;label",
        '"a ""quoted"" one; two\r\nlines";x',
        "plain;x",
        "plain;x",
        '"open cell;x',
        "after it;'y'",
    ]
    path = write("rows.csv", "\r\n".join(rows))
    expected = ["text;label", '"a ""quoted"" one; two\r\nlines";x', "plain;x", "after it;'y'", ""]
    assert copy_of(path).decode() == "\r\n".join(expected)


def test_a_changed_csv_row_keeps_delimiter_and_quotes(write: Write) -> None:
    path = write("rows.csv", 'sep=;\ntext;note;label\n"a@example.com; ""b""";;x\nfine;1,5;y\n')
    expected = 'sep=;\ntext;note;label\n"<EMAIL>; ""b""";;x\nfine;1,5;y\n'
    assert copy_of(path, *MASKING).decode() == expected
    tabs = write("rows.tsv", "text\tlabel\na@example.com, b\tx\nfine\ty\n")
    assert copy_of(tabs, *MASKING).decode() == "text\tlabel\n<EMAIL>, b\tx\nfine\ty\n"


@pytest.mark.parametrize(("codec", "mark"), [("cp1252", ""), ("utf-16", ""), ("utf-8-sig", "\ufeff"), ("utf-8", "")])
def test_the_copy_is_utf_8(write: Write, codec: str, mark: str) -> None:
    path = write("rows.csv", "text,label\nSchöne Grüße,x\nSchöne Grüße,x\n".encode(codec))
    assert copy_of(path) == f"{mark}text,label\nSchöne Grüße,x\n".encode()


def test_a_json_document_becomes_a_list_of_its_rows(write: Write) -> None:
    """All rows start on one line: they are told apart by their names."""
    rows = [{"text": "a", "label": "x"}, {"text": "a", "label": "x"}, {"text": "b@example.com", "label": "y"}]
    path = write("rows.json", json.dumps({"version": 1, "rows": rows}))
    assert json.loads(copy_of(path, *MASKING)) == [rows[0], {"text": "<EMAIL>", "label": "y"}]


def test_a_squad_document_becomes_a_list_of_its_questions(write: Write) -> None:
    """And is read back as it was."""
    questions = [{"id": i, "question": q, "answers": [{"text": "Bonn", "answer_start": 0}]}
                 for i, q in (("1", "Which town?"), ("2", "Which town?"), ("3", "Mail bob@example.com"))]  # fmt: skip
    paragraphs = [{"context": "Bonn lies there.", "qas": questions}]
    path = write("dev.json", json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}))
    copied = copy_of(path, *MASKING)
    again = read_examples(write("copy.json", copied))
    assert [(e.id, e.prompt, e.references, e.cluster) for e in again.examples] == [
        ("1", "Bonn lies there.\n\nWhich town?", ("Bonn",), "0-0"),
        ("3", "Bonn lies there.\n\nMail <EMAIL>", ("Bonn",), "0-0"),
    ]


def parquet(path: Path, **columns: Any) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    texts = ["a", "a", "mail c@example.com", "d"]
    numbers = pyarrow.array([1, 1, 3, None], type=pyarrow.int16())
    path = parquet(tmp_path / "rows.parquet", text=texts, label=["x", "x", "y", "y"], n=numbers)
    copied = pyarrow.parquet.read_table(pyarrow.BufferReader(copy_of(path, *MASKING)))
    assert copied.to_pydict() == {"text": ["a", "mail <EMAIL>", "d"], "label": ["x", "y", "y"], "n": [1, 3, None]}
    assert copied.schema.field("n").type == pyarrow.int16()


def test_a_parquet_column_that_takes_no_masks(tmp_path: Path) -> None:
    """A dictionary of dates and texts: what was read of the date is a text, which the column does not take."""
    import datetime

    notes = [{"day": datetime.date(2024, 5, 3), "text": f"{name}@example.com"} for name in "ab"]
    path = parquet(tmp_path / "rows.parquet", text=["a", "b"], label=["x", "y"], extra=notes)
    with pytest.raises(DataError, match=r"new texts do not fit the column 'extra' .*Write the table as JSON Lines"):
        copy_of(path, *MASKING)
