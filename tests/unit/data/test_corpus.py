"""Corpora: which files are documents, how they are read piece by piece, what is said of what cannot be read."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.core.errors import LuthierError
from luthier.data.corpus import Found, Section, Unusable, cut_into_sections, find_corpus
from luthier.data.corpus.sections import SectionCutter


def documents(path: Path, column: str | None = None) -> tuple[list[str], Found]:
    """Read a corpus whole: its documents, in their order."""
    found, texts = Found(), []
    for piece in find_corpus(str(path), column).sections(found):
        if isinstance(piece, Section):
            assert piece.text
            texts.append(piece.text) if piece.first else texts.append(texts.pop() + piece.text)
        elif piece.under_way:
            texts.pop()
    return texts, found


# ----------------------------------------------------------------------------------------------------------- sections


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("short", ["short"]),
        ("one two\nthree four five", ["one two\n", "three", " four five"]),  # a line's end, else before a space
        ("a\n\n\nbcdefgh ijk", ["a\n\n\n", "bcdefgh", " ijk"]),  # white space stays with what is before it
        ("abcdefghijklmnopqrstu", ["abcdefghij", "klmnopqrst", "u"]),  # no place at all: anywhere
    ],
)
def test_sections_end_where_lines_do(text: str, sections: list[str]) -> None:
    assert list(cut_into_sections(text, 10)) == sections


@given(st.text(alphabet="ab \n\té", max_size=120), st.lists(st.integers(0, 120), max_size=4))
@settings(max_examples=150, deadline=None)
def test_sections_joined_are_the_text_however_it_comes(text: str, cuts: list[int]) -> None:
    cutter, found = SectionCutter(10), []
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    for start, stop in itertools.pairwise(places):
        found += cutter.add(text[start:stop])
    found += cutter.rest()
    assert "".join(found) == text
    assert all(0 < len(section) <= 11 for section in found)
    assert found == list(cut_into_sections(text, 10))


# -------------------------------------------------------------------------------------------------------------- files


def test_every_format_gives_its_documents(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    texts = ['First,\none "quoted".', "Zweiter: äöü €", "third"]
    (tmp_path / "a.txt").write_text(texts[0], newline="")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.md").write_text(texts[1], encoding="utf-8-sig")
    (tmp_path / ".hidden.txt").write_text("no")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    assert documents(tmp_path)[0] == texts[:2]
    assert find_corpus(str(tmp_path)).left_out == ("picture.png",)
    rows = [{"text": text, "id": number} for number, text in enumerate(texts)]
    import json

    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    with open(tmp_path / "rows.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", "text"], delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    (tmp_path / "utf16.txt").write_text(texts[1], encoding="utf-16")
    for name in ("rows.jsonl", "rows.csv", "rows.parquet"):
        found = documents(tmp_path / name)
        assert found[0] == texts, name
        assert list(found[1].other_columns) == ["id"], name
    assert documents(tmp_path / "utf16.txt")[0] == [texts[1]]


def test_long_cells_are_read_and_the_parsers_limit_is_restored(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    (tmp_path / "rows.csv").write_text("id,text\n1," + "word " * 60_000 + "\n")
    assert documents(tmp_path / "rows.csv", "text")[0] == ["word " * 60_000]
    assert csv.field_size_limit() == before == 131_072


def test_the_column_is_the_only_one_or_the_one_that_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"passage": "x"}\n{"passage": "y"}\n')
    assert documents(path)[0] == ["x", "y"]
    path.write_text('{"passage": "x", "title": "t"}\n{"passage": "y"}\n')
    assert documents(path, "passage")[0] == ["x", "y"]
    with pytest.raises(LuthierError, match=r"has no column 'text'. There are: passage, title. .*corpus.column=NAME"):
        documents(path)
    with pytest.raises(LuthierError, match=r"no column 'pasage' Did you mean 'passage'\?"):
        documents(path, "pasage")


def test_files_called_train_and_test_are_parts(tmp_path: Path) -> None:
    for name in ("train.txt", "validation.txt", "test.txt", "README.md"):
        (tmp_path / name).write_text("text")
    corpus = find_corpus(str(tmp_path))
    assert [file.name for file in corpus.files] == ["test.txt", "train.txt", "validation.txt"]
    assert dict(corpus.parts) == {0: "confirm", 1: "tune", 2: "choose"}
    assert corpus.left_out == ("README.md",)
    (tmp_path / "train.txt").rename(tmp_path / "t.txt")
    (tmp_path / "validation.txt").unlink()
    assert not find_corpus(str(tmp_path)).parts  # one part alone is no division


def test_at_an_address(tmp_path: Path) -> None:
    import fsspec

    with fsspec.open("memory://corpus/deep/a.txt", "wb") as file:
        file.write(b"over there\n" * 400)
    corpus = find_corpus("memory://corpus")
    found = Found()
    text = "".join(piece.text for piece in corpus.sections(found) if isinstance(piece, Section))
    assert text == "over there\n" * 400
    assert len(corpus.digest()) == 64
    with pytest.raises(LuthierError, match="There is nothing at memory://nowhere"):
        find_corpus("memory://nowhere/x.txt").digest()


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    for name, content, said in [
        ("a.txt", b"\x00\x01\x02binary", "is a binary file of an unknown kind, no text"),
        ("a.jsonl", b"<!doctype html><html>", "is an HTML page, not data"),
        ("a.txt", b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        ("a.csv", b"\n", "has no header"),
        ("a.parquet", b"PAR1 and then nothing", "is a damaged Parquet file"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LuthierError, match=said):
            documents(tmp_path / name)
    empty = tmp_path / "folder"
    empty.mkdir()
    with pytest.raises(LuthierError, match=r"holds no texts \(.txt, .md\) or tables of them"):
        find_corpus(str(empty))


# ------------------------------------------------------------------------------------------------------------ bad rows


def test_bad_documents_are_named_by_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"fine\n" * 2000 + b"\xff here\nfine\n\xfe\xfe there\n")
    (tmp_path / "b.txt").write_text("good")
    (tmp_path / "c.jsonl").write_bytes(
        b'{"text": "good"}\n{"text": 3}\n{"other": "x"}\n[1]\n'
        b'{"text": "\\ud800"}\nno\n{"text": "\xff"}\n{"text": " "}\n'
    )
    (tmp_path / "d.csv").write_text('text,n\n"two\nlines",1\nshort\nlast,2\n')
    (tmp_path / "e.txt").write_text(" \n\n")
    texts, found = documents(tmp_path)
    assert texts == ["good", "good", "two\nlines", "last"]
    assert [(Path(row.file).name, row.line) for row in found.bad] == [
        ("a.txt", 2001), ("a.txt", 2003), ("c.jsonl", 2), ("c.jsonl", 3), ("c.jsonl", 4), ("c.jsonl", 5),
        ("c.jsonl", 6), ("c.jsonl", 7), ("d.csv", 4),
    ]  # fmt: skip
    assert (found.unusable, found.empty) == (8, 2)  # a text with two bad lines is one document
    assert "bytes or escapes that are no character; expected valid UTF-8 text" in str(found.bad[0])
    assert "the row has 1 cells, the header 2" in str(found.bad[-1])


def test_white_space_at_the_beginning_belongs_to_the_text(tmp_path: Path) -> None:
    text = "\n" * 9000 + "at last"
    (tmp_path / "a.txt").write_text(text)
    texts, found = documents(tmp_path / "a.txt")
    assert texts == [text]
    assert found.empty == 0


@given(
    st.sampled_from([".txt", ".jsonl", ".csv", ".parquet", ".md"]),
    st.one_of(
        st.binary(max_size=300),
        st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.lists(st.dictionaries(st.sampled_from(["text", "a"]), st.text(max_size=20), max_size=2), max_size=4).map(
            lambda rows: "\n".join(map(str, rows)).replace("'", '"').encode()
        ),
    ),
)
@settings(max_examples=120, deadline=None)
def test_any_bytes_give_documents_or_our_errors(tmp_path_factory: Any, suffix: str, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzzed{suffix}"
    path.write_bytes(content)
    try:
        texts, _ = documents(path)
    except LuthierError:  # anything else is a failure
        return
    assert all(text.strip() for text in texts)
    assert all(isinstance(piece, Section | Unusable) for piece in find_corpus(str(path)).sections(Found()))
    "".join(texts).encode()  # nothing that is no character
