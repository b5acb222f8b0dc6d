"""`luthier data check` names every kind of bad row as `file:line: what; expected …; what to do`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from data_samples import sentence

from luthier.cli.main import app

COUNT = 40
TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def rows() -> list[dict[str, Any]]:
    return [{"text": sentence(n), "label": ("x", "y")[n % 2]} for n in range(COUNT)]


def talks() -> list[dict[str, Any]]:
    return [
        {"messages": [{"role": "user", "content": sentence(n)}, {"role": "assistant", "content": sentence(n + 99, 3)}]}
        for n in range(COUNT)
    ]


def check(name: str) -> tuple[int, list[str], str]:
    """Return the exit status, the bad rows, and standard error."""
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, ["data", "check", name, "--json"])
    found = json.loads(result.stdout) if result.stdout else {"bad_rows": []}
    return result.exit_code, found["bad_rows"], result.stderr


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def changed(base: Sequence[dict[str, Any]], number: int, row: Any) -> list[str]:
    """Return the lines of a file with another row at a place; a text is put there as it is."""
    lines = [json.dumps(r, ensure_ascii=False) for r in base]
    lines[number] = row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)
    return lines


JSON_LINES: dict[str, tuple[list[str], str]] = {
    "a missing field": (
        changed(rows(), 4, {"label": "x"}),
        "a.jsonl:5: column 'text' is missing; expected text; fill it, or remove the row",
    ),
    "an empty answer": (
        changed(rows(), 4, {"text": "t", "label": " "}),
        "a.jsonl:5: the answer (column 'label') is empty; expected a right answer; fill it, or remove the row",
    ),
    "a wrong type": (
        changed(rows(), 4, {"text": {"a": 1}, "label": "x"}),
        "a.jsonl:5: column 'text' holds an object; expected text, as in the other rows; write the text alone",
    ),
    "a wrong type of the answer": (
        changed(rows(), 4, {"text": "t", "label": [["x"]]}),
        "a.jsonl:5: column 'label' holds a list that is not of texts; expected text, as in the other rows; write the "
        "text alone",
    ),
    "a conversation of a wrong type": (
        changed(talks(), 4, {"messages": 3}),
        "a.jsonl:5: 'messages' is of type int; expected "
        '[{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]; write the conversation as a list',
    ),
    "an unknown role": (
        changed(talks(), 4, {"messages": [{"role": "usr", "content": "q"}, TURNS[1]]}),
        "a.jsonl:5: turn 1 has the unknown role 'usr'. Did you mean 'user'?; expected one of system, user, assistant, "
        "tool; rename the role",
    ),
    "a key that stands twice": (
        changed(rows(), 4, '{"text": "t", "label": "x", "label": "y"}'),
        "a.jsonl:5: the key 'label' stands twice in one object; expected one JSON object on each line; remove one of "
        "them",
    ),
    "a key that stands twice within": (
        changed(talks(), 4, '{"messages": [{"role": "user", "role": "user", "content": "q"}]}'),
        "a.jsonl:5: the key 'role' stands twice in one object; expected one JSON object on each line; remove one of "
        "them",
    ),
    "the last line torn": (
        changed(rows(), COUNT - 1, '{"text": "so far and no furt'),
        f"a.jsonl:{COUNT}: the last line is cut off; expected one JSON object on each line; copy or download the file "
        "again, or remove the line",
    ),
    "another line torn": (
        changed(rows(), 4, '{"text": "so far and no furt'),
        "a.jsonl:5: no valid JSON (Unterminated string starting at at character 10); expected one JSON object on each "
        "line; correct or remove the line",
    ),
    "half a character": (
        changed(rows(), 4, '{"text": "\\ud800", "label": "x"}'),
        "a.jsonl:5: column 'text' holds bytes or escapes that are no character; expected valid UTF-8 text; save the "
        "file as UTF-8 or correct the character",
    ),
    "a zero": (
        changed(rows(), 4, '{"text": "\\u0000", "label": "x"}'),
        "a.jsonl:5: column 'text' holds bytes or escapes that are no character; expected valid UTF-8 text; save the "
        "file as UTF-8 or correct the character",
    ),
}  # fmt: skip


@pytest.mark.parametrize("problem", JSON_LINES)
def test_problems_of_json_lines(problem: str) -> None:
    lines, message = JSON_LINES[problem]
    Path("a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert check("a.jsonl")[:2] == (1, [message])


def test_a_key_that_stands_twice_in_a_json_document() -> None:
    lines = changed(rows(), 4, '{"text": "t", "label": "x", "label": "y"}')
    Path("a.json").write_text("[\n" + ",\n".join(lines) + "\n]")
    message = "a.json:6: the key 'label' stands twice in one object; expected every key once; remove one of them"
    assert check("a.json")[:2] == (1, [message])
    listed = ",\n".join(map(json.dumps, rows()))
    Path("a.json").write_text(f'{{"rows": [], "rows": [{listed}]}}')
    assert check("a.json") == (
        2, [], "luthier: a.json: the key 'rows' stands twice in one object, so that rows would be lost; remove one of "
        "them.\n",
    )  # fmt: skip


def test_a_json_document_that_is_cut_off() -> None:
    text = "[\n" + ",\n".join(map(json.dumps, rows()))
    Path("a.json").write_text(text[:-5])
    assert check("a.json") == (
        2, [], f"luthier: a.json:{COUNT + 1}: the file is cut off in the middle of a value; expected a list of JSON "
        "objects, or an object that holds one; copy or download it again\n",
    )  # fmt: skip


def test_what_json_itself_cannot_place_has_its_line() -> None:
    for value, words in (("1" * 5_000, "no usable JSON ("), ("[" * 50_000 + "]" * 50_000, "JSON nested too deeply")):
        lines = changed(rows(), 4, f'{{"text": "t", "label": "x", "n": {value}}}')
        Path("a.json").write_text("[\n" + ",\n".join(lines) + "\n]")
        code, _, said = check("a.json")
        assert (code, said.startswith(f"luthier: a.json:6: {words}")) == (2, True)


def test_a_key_twice_in_a_squad_file() -> None:
    Path("a.json").write_text(
        '{"data": [{"title": "t", "paragraphs": [{"context": "a b", "qas": [{"question": "q", "question": "r", '
        '"answers": [{"text": "a", "answer_start": 0}]}]}]}]}'
    )
    assert check("a.json")[2] == (
        "luthier: a.json: the key 'question' stands twice in one object, and one of its values would be lost; remove "
        "one of them.\n"
    )


def test_bytes_that_are_no_utf8() -> None:
    lines = [line.encode() for line in changed([{**row, "label": "é"} for row in rows()], 9, rows()[9])]
    Path("a.jsonl").write_bytes(b"\n".join([*lines[:4], b'{"text": "caf\xff", "label": "x"}', *lines[5:]]))
    message = (
        "a.jsonl:5: column 'text' holds bytes or escapes that are no character; expected valid UTF-8 text; save the "
        "file as UTF-8 or correct the character"
    )
    assert check("a.jsonl")[:2] == (1, [message])


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_zero_bytes_among_text(suffix: str) -> None:
    if suffix == "csv":
        lines = ["text,label", *(",".join(row.values()) for row in rows())]
    else:
        lines = [json.dumps(row) for row in rows()]
    lines[4] = lines[4].replace("x", "\0x").replace("y", "\0y")
    Path(f"a.{suffix}").write_text("\n".join(lines) + "\n")
    code, bad, _ = check(f"a.{suffix}")
    assert (code, len(bad)) == (1, 1)
    assert bad[0].startswith(f"a.{suffix}:5: ")


def test_problems_of_csv() -> None:
    lines = ["text,label", *(",".join(row.values()) for row in rows())]
    lines[4], lines[7], lines[9], lines[-1] = "t", "t,x,y", "t,", "so far and no furt"
    Path("a.csv").write_text("\n".join(lines))
    assert check("a.csv")[:2] == (1, [
        "a.csv:5: the row has 1 cell(s); expected 2, as in the header; add the missing cell, or close the quoted one",
        "a.csv:8: the row has 3 cell(s); expected 2, as in the header; put a cell that holds the delimiter in double "
        "quotes",
        "a.csv:10: the answer (column 'label') is empty; expected a right answer; fill it, or remove the row",
        f"a.csv:{COUNT + 1}: the last line is cut off; expected 2 cell(s), as in the header; copy or download the file "
        "again, or complete or remove the line",
    ])  # fmt: skip


def test_a_quote_that_opens_in_the_last_line() -> None:
    lines = ["text,label", *(",".join(row.values()) for row in rows())]
    Path("a.csv").write_text("\n".join([*lines, '"so far']))
    code, bad, _ = check("a.csv")
    assert (code, len(bad), bad[0].startswith(f"a.csv:{COUNT + 2}: the last line is cut off; ")) == (1, 1, True)
