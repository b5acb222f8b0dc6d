"""luthier data clean: a cleaned copy, what was done beside it, and nothing written over."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from command_line import TICKETS, done, json_lines, refused, runs_in, write_rows

import luthier

QUESTION = "Where is the blue parcel that I ordered on a cold morning in the old town, number"


def rows() -> list[dict[str, Any]]:
    return [
        {"id": "a", "text": f"{QUESTION} 11?", "label": "shipping"},
        {"id": "b", "text": "My lamp flickers, ask ann@example.com", "label": "defect"},
        {"id": "c", "text": f"{QUESTION} 12?", "label": "shipping"},
        {"id": "d", "text": "My lamp flickers, ask ann@example.com", "label": "defect"},
        {"id": "e", "text": "", "label": "defect"},
        {"id": "f", "text": "?!", "label": "other"},
    ]


@pytest.fixture
def file(place: Path) -> Path:
    return write_rows(place / "rows.csv", rows())


def test_a_file_at_an_address_is_copied_here(file: Path, place: Path) -> None:
    (place / "here").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place / "here")
        found = done("data", "clean", f"file://{file}", "--json").json
    assert runs_in(place / "here") == ["rows.clean.csv", "rows.clean.log.jsonl"]
    assert (found["kept"], found["out"]) == (2, "rows.clean.csv")
    assert f"file://{place} is a folder" in refused("data", "clean", f"file://{place}")


def test_conversations_are_cleaned_by_what_is_asked_and_answered(place: Path) -> None:
    """Columns beside the conversation do not make two equal ones different."""
    talk = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]
    other = [talk[0], {"from": "gpt", "value": "Go away."}]
    lines = [{"conversations": turns, "n": n} for n, turns in enumerate((talk, talk, other))]
    (place / "talk.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = done("data", "clean", "talk.jsonl", "--json").json
    assert (found["kept"], found["removed"]) == (2, 1)


def test_a_copy_is_written_and_why_rows_are_missing(file: Path, place: Path) -> None:
    before = file.read_bytes()
    called = done("data", "clean", "rows.csv", "--json")
    assert file.read_bytes() == before
    assert runs_in(place) == ["rows.clean.csv", "rows.clean.log.jsonl", "rows.csv"]
    with open("rows.clean.csv", newline="") as copy:
        assert list(csv.DictReader(copy)) == rows()[:2]
    assert json_lines(place / "rows.clean.log.jsonl") == [
        {"line": 4, "id": "c", "rule": "near_duplicates", "effect": "removed", "reason": "nearly the same as line 2"},
        {"line": 5, "id": "d", "rule": "exact_duplicates", "effect": "removed", "reason": "the same as line 3"},
        {"line": 6, "id": None, "rule": "bad_rows", "effect": "removed", "reason": "column 'text' is empty"},
        {
            "line": 7,
            "id": "f",
            "rule": "length",
            "effect": "removed",
            "reason": "0 words in the question, fewer than 1",
        },
    ]
    found = called.json
    assert (found["out"], found["log"]) == ("rows.clean.csv", "rows.clean.log.jsonl")
    assert {key: found[key] for key in ("rows", "kept", "removed", "changed")} == {
        "rows": 6, "kept": 2, "removed": 4, "changed": 0,
    }  # fmt: skip
    assert [(r["rule"], r["rows"], r["removed"], r["changed"]) for r in found["rules"]] == [
        ("exact_duplicates", 5, 1, 0),
        ("near_duplicates", 4, 1, 0),
        ("length", 3, 1, 0),
        ("repetition", 2, 0, 0),
    ]
    assert found["rules"][1]["samples"] == [
        {"line": 4, "id": "c", "reason": "nearly the same as line 2", "text": f"{QUESTION} 12?"}
    ]
    assert found["bad_rows"] == ["rows.csv:6: column 'text' is empty; expected text; fill it, or remove the row"]


def test_the_screen_says_what_each_rule_did(file: Path) -> None:
    said = done("data", "clean", "rows.csv").said
    assert "rows.csv: CSV (delimiter ',', UTF-8), 6 rows. prompt <- text, answer <- label, id <- id." in said
    assert "exact_duplicates 5 1 0 near_duplicates 4 1 0 length 3 1 0 repetition 2 0 0" in said
    assert "Not applied: language, personal_data (--rules default,language,personal_data)" in said
    assert "near_duplicates 4 nearly the same as line 2" in said
    assert "2 of 6 rows stay Written to rows.clean.csv; which rows were removed or changed" in said


def test_the_cleaned_copy_has_nothing_left_to_clean(file: Path) -> None:
    done("data", "clean", "rows.csv")
    again = done("data", "clean", "rows.clean.csv", "--json").json
    assert (again["rows"], again["kept"], again["removed"]) == (2, 2, 0)


def test_a_dry_run_writes_nothing(file: Path, place: Path) -> None:
    called = done("data", "clean", "rows.csv", "--dry-run", "--json")
    assert runs_in(place) == ["rows.csv"]
    assert (called.json["kept"], called.json["out"], called.json["log"]) == (2, None, None)
    assert "Nothing was written (--dry-run)" in called.said


def test_rules_and_their_settings(file: Path, place: Path) -> None:
    done("data", "clean", "rows.csv", "length.fewest_words=7", "-o", "out.csv", "--rules", "length, personal_data")
    with open("out.csv", newline="") as copy:
        assert [row["id"] for row in csv.DictReader(copy)] == ["a", "b", "c", "d"]
    text = Path("out.csv").read_text()
    assert text.count("<EMAIL>") == 2
    assert "@" not in text
    log = json_lines(place / "out.log.jsonl")
    assert [(line["id"], line["effect"]) for line in log] == [
        ("b", "changed"), ("d", "changed"), (None, "removed"), ("f", "removed"),
    ]  # fmt: skip
    assert "example.com" not in json.dumps(log)


def test_json_lines_with_an_answer_to_name(place: Path) -> None:
    lines = [{"q": "one", "good": "x", "at": 1}, {"q": "one", "good": "x", "at": 2}, {"q": "one", "good": "y", "at": 3}]
    write_rows(place / "rows.jsonl", lines)
    done("data", "clean", "rows.jsonl", "--prompt", "{q}", "--answer", "good")
    assert json_lines(place / "rows.clean.jsonl") == [lines[0], lines[2]]
    unknown = done("data", "clean", "rows.jsonl", "--prompt", "{q}", "--dry-run", "--json").json
    assert unknown["removed"] == 0  # the rows differ in columns of which one may be the answer


def test_nothing_is_written_over(file: Path, place: Path) -> None:
    assert "is not written over the file itself (rows.csv)" in refused("data", "clean", "rows.csv", "-o", "./rows.csv")
    assert "the file itself" in refused("data", "clean", "rows.csv", "-o", "rows.csv", "--overwrite")
    done("data", "clean", "rows.csv")
    text = refused("data", "clean", "rows.csv")
    assert "rows.clean.csv is there already. Choose another --out, or replace it with --overwrite." in text
    done("data", "clean", "rows.csv", "--overwrite")
    assert "There is no folder new to write out.csv in." in refused("data", "clean", "rows.csv", "-o", "new/out.csv")
    assert f"{place.name} is a folder. Name a file" in refused("data", "clean", "rows.csv", "-o", place)
    assert "is a folder. Clean its files one by one: luthier data clean" in refused("data", "clean", place)
    assert runs_in(place) == ["rows.clean.csv", "rows.clean.log.jsonl", "rows.csv"]


def test_if_no_row_would_stay_nothing_is_written(file: Path, place: Path) -> None:
    text = refused("data", "clean", "rows.csv", "length.fewest_words=99")
    assert "rows.csv: no row would be left, so nothing was written. Choose other rules, or other limits." in text
    assert runs_in(place) == ["rows.csv"]


def test_mistakes_are_named_before_anything_is_read(place: Path) -> None:
    assert "Unknown rule 'lenght'." in refused("data", "clean", "none.csv", "--rules", "lenght")
    assert "'length' is no" not in refused("data", "clean", "none.csv")
    assert "There is no file or folder none.csv." in refused("data", "clean", "none.csv")
    assert "'most_words' is not an override" in refused("data", "clean", "none.csv", "most_words")


def test_the_shipped_tickets_stay_as_they_are(place: Path) -> None:
    found = luthier.clean(TICKETS, "out.csv", rules=["default", "language"])
    assert (found["rows"], found["kept"], found["removed"]) == (360, 360, 0)
    assert Path("out.csv").read_bytes() == TICKETS.read_bytes()
