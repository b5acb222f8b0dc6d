from __future__ import annotations

import csv
from pathlib import Path

import pytest
from data_samples import Write

from luthier.core.errors import DataError
from luthier.data.formats import Content, RawFile, read_raw


def read(path: Path) -> RawFile:
    return read_raw(Content.load(path))


def values(file: RawFile) -> list[dict[str, str]]:
    return [dict(row.values) for row in file.rows]


@pytest.mark.parametrize(("delimiter", "name"), [(",", "','"), (";", "';'"), ("\t", "tab")])
def test_delimiters_are_found_by_content_whatever_the_suffix(write: Write, delimiter: str, name: str) -> None:
    path = write("rows.dat", f"text{delimiter}label\nA fine day{delimiter}good\nRain{delimiter}bad\n")
    file = read(path)
    assert file.description == f"CSV (delimiter {name}, UTF-8)"
    assert values(file) == [{"text": "A fine day", "label": "good"}, {"text": "Rain", "label": "bad"}]


def test_commas_within_texts_do_not_mislead_the_sniffer(write: Write) -> None:
    rows = "".join(f"Well, number {i}, as they say, is here;yes\n" for i in range(20))
    file = read(write("rows.csv", "text;label\n" + rows))
    assert "delimiter ';'" in file.description
    assert file.rows[3].values == {"text": "Well, number 3, as they say, is here", "label": "yes"}


def test_one_column_with_commas_stays_one_column(write: Write) -> None:
    file = read(write("rows.csv", 'text\nHello, world\n"Quoted, too"\n'))
    assert file.description == "CSV (one column, UTF-8)"
    assert values(file) == [{"text": "Hello, world"}, {"text": "Quoted, too"}]


def test_line_breaks_in_cells_and_the_lines_on_which_rows_start(write: Write) -> None:
    text = 'text,label\r\n"one\r\ntwo\r\nthree",a\r\n\r\nfour,b\r\n"five\nsix",c\r\nseven,d\r\n'
    file = read(write("rows.csv", text))
    assert [(row.line, row.values["label"]) for row in file.rows] == [(2, "a"), (6, "b"), (7, "c"), (9, "d")]
    assert file.rows[0].values["text"] == "one\r\ntwo\r\nthree"


@pytest.mark.parametrize(
    ("codec", "mark", "name"),
    [
        ("utf-8", b"", "UTF-8"),
        ("utf-8", b"\xef\xbb\xbf", "UTF-8 with BOM"),
        ("utf-16-le", b"\xff\xfe", "UTF-16"),
        ("utf-16-be", b"\xfe\xff", "UTF-16"),
        ("utf-16-le", b"", "UTF-16 without BOM"),
        ("utf-16-be", b"", "UTF-16 without BOM"),
        ("utf-32-le", b"\xff\xfe\x00\x00", "UTF-32"),
        ("cp1252", b"", "Windows-1252"),
    ],
)
def test_encodings_are_found_and_named(write: Write, codec: str, mark: bytes, name: str) -> None:
    text = "text;label\nDas Café „Grün“ kostet 5 €;gut\nÜbel;schlecht\n"
    file = read(write("rows.csv", mark + text.encode(codec)))
    assert name in file.description
    assert file.columns == ("text", "label")  # a byte order mark is not part of the first name
    assert file.rows[0].values["text"] == "Das Café „Grün“ kostet 5 €"


def test_a_few_wrong_bytes_in_utf8_are_bad_rows_not_another_encoding(write: Write) -> None:
    data = "text,label\nCafé é è ü,a\n".encode() + b"caf\xe9,b\n" + "naïve,c\n".encode()
    file = read(write("rows.csv", data))
    assert [row.values["label"] for row in file.rows] == ["a", "c"]
    assert file.rows[0].values["text"] == "Café é è ü"
    assert str(file.bad[0]) == (
        f"{file.path}:3: column 'text' holds bytes or escapes that are no character; expected valid UTF-8 text; "
        "save the file as UTF-8 or correct the character"
    )


def test_all_rows_of_wrong_width_are_reported_with_their_lines(write: Write) -> None:
    file = read(write("rows.csv", "text,label\na,b,c\nd,e\nf\ng,h,\n"))
    assert [(row.line, row.problem, row.expected) for row in file.bad] == [
        (2, "the row has 3 cell(s)", "2, as in the header"),
        (4, "the row has 1 cell(s)", "2, as in the header"),
    ]
    assert "double quotes" in file.bad[0].fix
    assert values(file) == [{"text": "d", "label": "e"}, {"text": "g", "label": "h"}]  # an empty cell too many is fine


def test_a_quote_that_never_closes_costs_one_row_not_the_rest(write: Write) -> None:
    file = read(write("rows.csv", 'text,label\nfine,a\n"broken,b\nfine too,c\nlast,d\n'))
    assert [row.values["label"] for row in file.rows] == ["a", "c", "d"]
    assert [(row.line, row.problem) for row in file.bad] == [(3, "a quoted cell opens here and never closes")]


def test_text_after_a_closing_quote_is_reported(write: Write) -> None:
    file = read(write("rows.csv", 'text,label\n"He said "hi" to me",a\n"He said ""hi""",b\n'))
    assert file.bad[0].line == 2
    assert file.bad[0].fix == 'write a quote inside a quoted cell twice: ""'
    assert values(file) == [{"text": 'He said "hi"', "label": "b"}]


def test_spaces_before_quotes_excel_hints_and_empty_rows(write: Write) -> None:
    spaced = read(write("spaced.csv", 'text, label\n"a, b", "x, y"\n"c", "z"\n'))
    assert values(spaced)[0] == {"text": "a, b", "label": "x, y"}
    excel = read(write("excel.csv", "sep=;\ntext;label\na;b\n;\n;\n"))
    assert (excel.rows[0].line, values(excel)) == (3, [{"text": "a", "label": "b"}])


def test_headers_without_names_and_with_a_name_twice(write: Write) -> None:
    assert read(write("index.csv", ",text,label\n0,a,b\n")).columns == ("column_1", "text", "label")
    with pytest.raises(DataError, match=r"twice\.csv:1: the header names the column\(s\) 'text' twice"):
        read(write("twice.csv", "text,text\na,b\n"))


def test_a_header_alone_is_an_error(write: Write) -> None:
    with pytest.raises(DataError, match=r"has a header but no rows: 'text', 'label'\."):
        read(write("rows.csv", "text,label\n\n"))


def test_long_cells_are_read_and_the_parsers_limit_is_restored(write: Write) -> None:
    before = csv.field_size_limit()
    file = read(write("rows.csv", "text,label\n" + "x" * 200_000 + ",a\n"))
    assert len(str(file.rows[0].values["text"])) == 200_000
    assert csv.field_size_limit() == before == 131_072


def test_an_empty_cell_of_a_single_column_is_a_row_a_blank_line_is_none(write: Write) -> None:
    file = read(write("rows.csv", 'text\nfirst\n""\n\n  \n\u2003\nlast\n'))
    assert [(row.line, row.values["text"]) for row in file.rows] == [(2, "first"), (3, ""), (6, "\u2003"), (7, "last")]
