from __future__ import annotations

import json
from pathlib import Path

import pytest
from data_samples import Write

from luthier.core.errors import DataError
from luthier.data.formats import Content, RawFile, read_raw


def read(path: Path) -> RawFile:
    return read_raw(Content.load(path))


def test_json_lines_with_blank_and_bad_lines(write: Write) -> None:
    lines = ['{"text": "a"}', "", '{"text": "b"', "[1]", '"c"', "{}", '{"text": "d\u2028e", "more": [1]}']
    file = read(write("rows.jsonl", "\r\n".join(lines)))
    assert (file.format, file.description) == ("jsonl", "JSON Lines (UTF-8)")
    assert [(row.line, row.values["text"]) for row in file.rows] == [(1, "a"), (7, "d\u2028e")]
    assert file.columns == ("text", "more")
    assert [(row.line, row.problem) for row in file.bad] == [
        (3, "no valid JSON (Expecting ',' delimiter at character 14)"),
        (4, "the line is a list"),
        (5, "the line is a string"),
        (6, "the object is empty"),
    ]
    assert {row.expected for row in file.bad} == {"one JSON object on each line"}


@pytest.mark.parametrize("name", ["rows.json", "rows.csv", "rows"])
def test_json_lines_are_recognised_whatever_the_suffix(write: Write, name: str) -> None:
    assert read(write(name, '{"text": "a, b"}\n{"text": "c"}\n')).format == "jsonl"


def test_a_broken_first_line_does_not_hide_json_lines(write: Write) -> None:
    file = read(write("rows.txt", '{"text": \n{"text": "b"}\n'))
    assert (file.format, len(file.rows), file.bad[0].line) == ("jsonl", 1, 1)


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows"])
def test_a_list_of_objects_with_the_lines_they_start_on(write: Write, name: str) -> None:
    text = '[\n  {"text": "a]",\n   "n": 1},\n\n  {"text": "b"}, 5, {}, {"text": "c"}\n]\n'
    file = read(write(name, text))
    assert (file.format, file.description) == ("json", "JSON (UTF-8)")
    assert [(row.line, row.values["text"]) for row in file.rows] == [(2, "a]"), (5, "b"), (5, "c")]
    assert [(row.line, row.problem) for row in file.bad] == [
        (5, "the list holds a number"),
        (5, "the list holds an empty object"),
    ]


def test_an_object_that_holds_one_list(write: Write) -> None:
    value = {"version": "1", "names": ["x"], "rows": [{"text": "a"}, {"text": "b"}], "end": {"rows": []}}
    pretty = read(write("pretty.json", json.dumps(value, indent=1)))
    assert [(row.line, row.values["text"]) for row in pretty.rows] == [(7, "a"), (10, "b")]
    assert [row.values["text"] for row in read(write("line.json", json.dumps(value))).rows] == ["a", "b"]


def test_one_conversation_is_one_row(write: Write) -> None:
    value = {"messages": [{"role": "user", "content": "hi"}]}
    assert [row.line for row in read(write("one.json", "\n\n" + json.dumps(value, indent=2))).rows] == [3]
    assert len(read(write("line.json", json.dumps(value))).rows) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n"a": [{"x": 1}],\n"b": [{"y": 1}]}', "is an object with the keys 'a', 'b', and not exactly one of them"),
        ('[{"a": 1},\n{"a": }]', r"rows.json:2: no valid JSON \(Expecting value in column 7\)"),
        ('"text"', "holds a string. Expected a list of JSON objects"),
        ("[]", "holds an empty list"),
    ],
)
def test_documents_of_another_shape_are_one_sentence(write: Write, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write("rows.json", text))


def test_values_that_json_lacks_and_half_characters(write: Write) -> None:
    deep = "[" * 400 + "]" * 400
    rows = ['{"x": NaN, "y": "a"}', r'{"y": "\ud800"}', '{"z": 1e999}', '{"n": ' + "9" * 5000 + "}", f'{{"d": {deep}}}']
    file = read(write("rows.jsonl", "\n".join(rows)))
    assert [row.values for row in file.rows][:2] == [{"x": None, "y": "a"}, {"z": None}]
    assert [row.line for row in file.bad][:2] == [2, 4]
    assert "no character" in file.bad[0].problem
    assert "no usable JSON" in file.bad[1].problem
