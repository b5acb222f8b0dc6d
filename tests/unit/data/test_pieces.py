"""Files read piece by piece give what reading them whole gives, wherever a piece happens to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from luthier.core.errors import DataError
from luthier.data.formats import Content, RawFile, pieces, read_raw
from luthier.data.formats.csv import Layout, layout_of
from luthier.data.formats.pieces import read_pieces

QUOTED = 'text,label\n"one\nline\r\nbreak, ""quoted""",a\nplain,b\n\n"  ",\n"x","y"\n' * 3


def pieces_of(file: Path, size: int) -> list[RawFile]:
    with open(file, "rb") as stream:
        return list(read_pieces(file, stream, size))


def assert_same(file: Path, *sizes: int) -> int:
    """Compare both ways of reading; returns how many pieces the smallest size made."""
    whole = read_raw(Content.load(file))
    counts = []
    for size in sizes:
        found = pieces_of(file, size)
        assert [row for piece in found for row in piece.rows] == list(whole.rows), size
        assert [row for piece in found for row in piece.bad] == list(whole.bad), size
        assert {piece.description for piece in found} == {whole.description}, size
        assert list(dict.fromkeys(name for piece in found for name in piece.columns)) == list(whole.columns)
        counts.append(len(found))
    return max(counts)


@pytest.fixture
def as_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let delimiter and header be those of the whole file: tiny pieces do not show them, pieces of megabytes do."""
    whole: dict[str, Layout] = {}

    def layout(content: Content) -> Layout:
        return whole.setdefault(str(content.path), layout_of(Content.load(content.path)))

    monkeypatch.setattr(pieces, "layout_of", layout)
    monkeypatch.setattr(pieces, "_MOST_PIECES_OF_A_CELL", 1000)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("quoted", QUOTED),
        ("crlf", "text,label\r\na,b\r\n\"c\r\nd\",e\r\nf,g\r\n"),
        ("bom", "\ufefftext;label\na;b\nc;d\n\n\ne;f\n"),
        ("hint", 'sep=;\ntext;label\na,1;b\n"c;\n2";d\n'),
        ("hint and a quoted header", 'sep=;\n"te\nxt";label\na,1;b\n"c;\n2";d\n'),
        ("commas later", "text;label\na;b\n" + "c,d,e,f;g\n" * 20),
        ("spaced later", "text,label\n" + "a,b\n" * 30 + 'c, "d, e"\n' * 3),
        ("spaced", 'text, label\n"a", "b, c"\n' + "d,e\n" * 9),
        ("one column", 'text\n' + 'a\n' * 30 + 'a\n\n""\nb, c\n'),
        ("torn", "text,label\na,b\nc,d\ne"),
        ("torn in quotes", 'text,label\na,b\nc,d\n"e'),
        ("wrong rows", "text,label\na,b\nc,d,e\nf\ng,h\n\"i\"j,k\nl,m\n"),
        ("a stray quote", 'text,label\na,b\n"c,d\ne,f\ng,"h"\ni,j\n' + "k,l\n" * 8),
        ("no last line break", "text,label\na,b\nc,d"),
        ("old line breaks", "text,label\ra,b\rc,d\r"),
        ("long line", "text,label\n" + "a" * 200 + ",b\nc,d\n"),
        ("no characters", b"text,label\n\xc3\xa9\xc3\xa9,b\nc\xff,d\ne,f\xc3\xa9\xc3\xa9\n"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("as_of_the_whole")
def test_tables_with_delimiters(tmp_path: Path, name: str, content: str | bytes) -> None:
    many = assert_same(write(tmp_path / f"{name}.csv", content), *range(22, 70), 1 << 20)
    assert many > 1 or name == "old line breaks"


@pytest.mark.parametrize(
    "content",
    [
        '{"text": "a\\nb", "label": 1}\n\n{"text": "c", "label": 2, "new": [1]}\n' * 5,
        '\ufeff{"text": "a"}\r\n{"text": "\u2028 b"}\r\n[1]\r\n{}\r\n{"a": 1, "a": 2}\r\n',
        '{"text": "a"}\n{"text": "b"}\n{"text": "c',
        '{"text": "a"}\n{"text": \n{"text": "c"}\n',
        '{"text": "\u00e9"}\n{"text": "\\ud800"}\n{"text": "c"}',
    ],
)
def test_json_lines(tmp_path: Path, content: str) -> None:
    assert assert_same(write(tmp_path / "rows.jsonl", content), *range(8, 60), 1 << 20) > 2


def test_parquet_in_batches(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [{"text": f"row {n}", "label": n % 3, "more": {"a": [n]}, "none": None} for n in range(500)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet", row_group_size=200)
    assert assert_same(tmp_path / "rows.parquet", 500, 1 << 20) > 9


def test_a_json_document_is_one_piece(tmp_path: Path) -> None:
    rows = [{"text": f"row {n}", "label": "x"} for n in range(50)]
    for name, text in (("a.json", json.dumps(rows)), ("b.json", json.dumps({"data": rows}, indent=1))):
        assert assert_same(write(tmp_path / name, text), 100) == 1


def test_json_lines_under_another_name(tmp_path: Path) -> None:
    text = '{"text": "a", "label": "b"}\n' * 9
    for name in ("rows.json", "rows.txt"):
        assert assert_same(write(tmp_path / name, text), 60) > 2


def test_a_cell_that_never_closes_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "rows.csv", 'text,label\n"a,b\n' + "c,d\n" * 100)
    monkeypatch.setattr(pieces, "_MOST_PIECES_OF_A_CELL", 2)
    found = pieces_of(file, 40)
    assert [row.line for piece in found for row in piece.bad] == [2]
    assert "never closes" in next(row for piece in found for row in piece.bad).problem
    assert [row.line for piece in found for row in piece.rows] == list(range(3, 103))
    assert len([piece for piece in found if piece.rows]) > 5


@pytest.mark.parametrize(
    ("encoding", "name"), [("utf-16", "UTF-16"), ("utf-16-le", "UTF-16"), ("cp1252", "Windows-1252")]
)
def test_other_encodings_are_to_be_converted(tmp_path: Path, encoding: str, name: str) -> None:
    file = write(tmp_path / "rows.csv", ("text,label\n" + "caf\u00e9,b\n" * 20).encode(encoding))
    with pytest.raises(DataError, match=rf"is in {name}. Files that are read piece by piece .* iconv -f"):
        pieces_of(file, 60)


def test_what_is_no_data_is_refused(tmp_path: Path) -> None:
    for content, said in ((b"", "is empty"), (b"PK\x03\x04xxxx", "zip archive"), (b"PAR1xxxx", "damaged Parquet")):
        with pytest.raises(DataError, match=said):
            pieces_of(write(tmp_path / "rows.csv", content), 60)
