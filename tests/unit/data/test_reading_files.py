from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from data_samples import Write, sentence

from luthier.core.errors import DataError
from luthier.core.types import Example
from luthier.data import ReadOptions, RowMapping, read_examples, split

CSV = "text;label\nIch möchte mein Geld zurück;Erstattung\nWo ist mein Paket?;Lieferung\nDanke!;Lob\nHallo;Lob\n"


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_one_file_from_end_to_end(write: Write) -> None:
    path = write("tickets.csv", CSV.encode("cp1252"))
    data = read_examples(path)
    assert data.description == "tickets.csv: CSV (delimiter ';', Windows-1252), 4 rows"
    assert data.mapping.explain() == "prompt <- text, answer <- label"
    assert next((e.prompt, e.reference, e.line) for e in data.examples) == (
        "Ich möchte mein Geld zurück",
        "Erstattung",
        2,
    )
    assert (len(data), data.bad_rows, dict(data.given)) == (4, (), {})
    assert data.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [(s.where, s.conversation, s.answer) for s in data.samples] == [
        (f"{path}:2", "Ich möchte mein Geld zurück", "Erstattung"),
        (f"{path}:4", "Danke!", "Lob"),
        (f"{path}:5", "Hallo", "Lob"),
    ]


def test_the_format_and_the_encoding_change_nothing_but_the_digest(write: Write, tmp_path: Path) -> None:
    rows = [dict(zip(("text", "label"), line.split(";"), strict=True)) for line in CSV.splitlines()[1:]]
    paths = [
        write("a.csv", CSV),
        write("b.csv", b"\xef\xbb\xbf" + CSV.replace(";", "\t").replace("\n", "\r\n").encode()),
        write("c.csv", CSV.encode("utf-16")),
        write("d.jsonl", lines(*rows)),
        write("e.json", json.dumps({"rows": rows}, indent=2)),
        tmp_path / "f.parquet",
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), paths[-1])
    read = [read_examples(path) for path in paths]
    content = [[(e.id, e.messages, e.references) for e in data.examples] for data in read]
    assert all(found == content[0] for found in content)
    assert len({data.digest for data in read}) == 6


def test_samples_show_conversations_and_several_answers(write: Write) -> None:
    turns = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "x" * 500},
        {"role": "assistant", "content": "A"},
    ]
    sample = read_examples(write("a.jsonl", lines({"messages": turns}))).samples[0]
    assert sample.conversation.startswith("[system] S\n[user] xxx")
    assert len(sample.conversation) == 400
    assert sample.conversation.endswith("…")
    several = read_examples(write("b.jsonl", lines({"question": "q", "answers": ["a", "b", "c"]})))
    assert several.samples[0].answer == "a  (or 2 other right answers)"


def test_examples_travel_as_json(write: Write) -> None:
    for example in read_examples(write("a.jsonl", lines({"text": "x", "label": {"a": [1, None]}}))).examples:
        assert Example.from_json(json.loads(json.dumps(example.to_json()))) == example


def test_all_bad_rows_stop_the_reading_at_once(write: Write) -> None:
    path = write("a.csv", "text,label\nfine,a\n,b\nfine,\none,two,three\nfine,c\n")
    with pytest.raises(DataError) as caught:
        read_examples(path)
    assert str(caught.value) == (
        f"{path}: 3 of 5 rows cannot be used. Mend them, or leave them out with --skip-bad.\n"
        f"  {path}:3: column 'text' is empty; expected text; fill it, or remove the row\n"
        f"  {path}:4: the answer (column 'label') is empty; expected a right answer; fill it, or remove the row\n"
        f"  {path}:5: the row has 3 cell(s); expected 2, as in the header; put a cell that holds the delimiter in "
        "double "
        "quotes"
    )
    assert len(caught.value.rows) == 3


def test_bad_rows_can_be_left_out_and_are_kept_with_their_reasons(write: Write, tmp_path: Path) -> None:
    path = write("a.csv", "text,label\nfine,a\n,b\n")
    data = read_examples(path, ReadOptions(skip_bad=True))
    assert (len(data), len(data.bad_rows)) == (1, 1)
    data.save_bad_rows(tmp_path / "bad_rows.jsonl")
    assert json.loads((tmp_path / "bad_rows.jsonl").read_text()) == {
        "file": str(path),
        "line": 3,
        "problem": "column 'text' is empty",
        "expected": "text",
        "fix": "fill it, or remove the row",
    }


def test_no_usable_row_is_an_error_even_when_skipping(write: Write) -> None:
    with pytest.raises(DataError, match=r"none of 2 row\(s\) can be used"):
        read_examples(write("a.csv", "text,label\n,b\n,c\n"), ReadOptions(skip_bad=True))
    with pytest.raises(DataError, match=r"none of 1 row\(s\) can be read"):
        read_examples(write("a.jsonl", "[1]x\n"), ReadOptions(skip_bad=True))


def test_missing_paths_name_the_nearest(write: Write, tmp_path: Path) -> None:
    write("tickets.csv", CSV)
    with pytest.raises(DataError) as caught:
        read_examples(tmp_path / "ticket.csv")
    assert str(caught.value) == (
        f"There is no file or folder {tmp_path / 'ticket.csv'}. Did you mean 'tickets.csv'? Give the path of a CSV, "
        "JSON, "
        "JSON Lines or Parquet file."
    )
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"holds no parquet, squad, json, jsonl, csv files \(found: no files\)"):
        read_examples(tmp_path / "none")


# -------------------------------------------------------------------------------------------------------- folders


def part(name: str, count: int, start: int) -> str:
    return lines(*({"text": sentence(n), "label": f"{name} {n % 2}"} for n in range(start, start + count)))


def test_a_folder_with_given_parts(write: Write, tmp_path: Path) -> None:
    write("d/train.jsonl", part("a", 30, 0))
    write("d/validation.jsonl", part("b", 10, 100))
    write("d/my_test-00000-of-00001.jsonl", part("c", 10, 200))
    write("d/contexts.jsonl", lines({"context": "x"}))
    write("d/README.md", "About")
    data = read_examples(tmp_path / "d")
    assert data.given_sizes() == {"tune": 30, "choose": 10, "confirm": 10}
    assert data.description == (
        "my_test-00000-of-00001.jsonl: JSON Lines (UTF-8), 10 rows; train.jsonl: JSON Lines (UTF-8), 30 rows; "
        "validation.jsonl: JSON Lines (UTF-8), 10 rows; not read: README.md, contexts.jsonl"
    )
    parts = split(data.examples, given=data.given)
    assert {e.reference[0] for e in parts.tune} == {"a"}
    assert {e.reference[0] for e in parts.confirm} == {"c"}
    assert data.samples[0].where == f"{tmp_path / 'd' / 'my_test-00000-of-00001.jsonl'}:1"


def test_a_folder_without_parts_is_all_its_files(write: Write, tmp_path: Path) -> None:
    write("d/one.csv", CSV)
    write("d/two.jsonl", lines({"text": "x", "label": "y"}))
    write("d/.hidden.csv", "broken")
    data = read_examples(tmp_path / "d")
    assert (len(data), dict(data.given)) == (5, {})
    write("d/two.jsonl", lines({"text": "x", "label": "z"}))
    assert read_examples(tmp_path / "d").digest != data.digest


def test_a_test_file_alone_is_no_division(write: Write, tmp_path: Path) -> None:
    write("d/test.csv", CSV)
    assert dict(read_examples(tmp_path / "d").given) == {}
    assert dict(read_examples(tmp_path / "d" / "test.csv").given) == {}
    write("d/test_2.csv", CSV)
    data = read_examples(tmp_path / "d")
    assert (len(data), dict(data.given)) == (8, {})


def test_a_split_column_gives_the_parts(write: Write) -> None:
    rows = [
        {"text": sentence(n), "label": "ab"[n % 2], "split": s} for n, s in enumerate(["train", "dev", "test"] * 12)
    ]
    data = read_examples(write("a.jsonl", lines(*rows)))
    assert data.given_sizes() == {"tune": 12, "choose": 12, "confirm": 12}
    assert split(data.examples, given=data.given).tune[1].line == 4


# -------------------------------------------------------------------------------------------- the mapping of a run


def test_a_runs_mapping_reads_new_rows_without_answers(write: Write) -> None:
    old = read_examples(
        write("old.csv", "id,text,label\n1,a,x\n2,b,y\n"), ReadOptions(prompt=r"Read:\n{text}", answer="label")
    )
    mapping = RowMapping.parse(old.mapping.to_json())
    new = read_examples(write("new.jsonl", lines({"text": "c", "other": 1})), mapping=mapping, need_answers=False)
    assert [(e.prompt, e.references) for e in new.examples] == [("Read:\nc", ())]
    assert new.samples[0].answer == ""
    with pytest.raises(DataError, match=r"new\.jsonl has no column 'label', which this mapping needs"):
        read_examples(write("new.jsonl", lines({"text": "c"})), mapping=mapping)


def test_unlabelled_rows_have_the_names_of_their_labelled_twins(write: Write) -> None:
    labelled = read_examples(write("a.csv", "text,label\na,x\nb,y\n"))
    bare = read_examples(write("b.csv", "text\nb\na\n"), need_answers=False)
    assert [e.id for e in bare.examples] == [e.id for e in labelled.examples][::-1]
