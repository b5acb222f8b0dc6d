"""Labelled pairs: read from columns or preferences, and refused where it is not clear what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from luthier.core.errors import ConfigError, DataError
from luthier.data.options import ReadOptions
from luthier.evaluation.judges.labelled import LabelledPair, PairColumns, read_pairs


def pairs_of(folder: Path, rows: list[dict[str, Any]], **columns: str) -> list[LabelledPair]:
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_pairs(str(path), ReadOptions(), PairColumns(**columns))[1]


def row(label: Any, question: str = "Why is the sky blue?", **more: Any) -> dict[str, Any]:
    return {"instruction": question, "response1": "Because of air.", "response2": "It is not.", "label": label, **more}


def test_pairs_with_annotators_are_read(tmp_path: Path) -> None:
    found = pairs_of(
        tmp_path,
        [
            row("1", annotators=[1, 1, 0]),
            row("tie", annotators=[0, 2, 0]),
            row(2, "How are you today?", annotators=[2, 2, 2]),
        ],
    )
    assert [pair.label for pair in found] == ["first", "tie", "second"]
    assert found[0].annotators == ("first", "first", "tie")
    assert found[0].answers == ("Because of air.", "It is not.")
    assert found[0].example.references == ()
    assert found[0].example.prompt == "Why is the sky blue?"
    assert found[0].example.cluster == found[1].example.cluster != found[2].example.cluster


def test_labels_may_be_letters_words_or_the_columns_names(tmp_path: Path) -> None:
    said = ["A", "b", "First", "second", "tie", "response2", "model_a", "C"]
    found = pairs_of(tmp_path, [row(label, f"Question number {i}?") for i, label in enumerate(said)])
    assert [p.label for p in found] == ["first", "second", "first", "second", "tie", "second", "first", "tie"]


def test_columns_can_be_named(tmp_path: Path) -> None:
    rows = [{"prompt": "Why?", "ours": "a", "theirs": "b", "who": who} for who in ("ours", "theirs")]
    found = pairs_of(tmp_path, rows, first="ours", second="theirs", label="who")
    assert [pair.label for pair in found] == ["first", "second"]
    with pytest.raises(DataError, match=r"no two columns with answers.*Name them with --first and --second"):
        pairs_of(tmp_path, rows)
    with pytest.raises(ConfigError, match=r"has no column 'hers'. It has prompt, ours, theirs, who"):
        pairs_of(tmp_path, rows, first="ours", second="hers")
    with pytest.raises(DataError, match=r"no column that says which answer is better.*Name it with --label"):
        pairs_of(tmp_path, rows, first="ours", second="theirs")


def test_preferences_are_turned_round_by_their_names(tmp_path: Path) -> None:
    rows = [
        {"id": str(i), "prompt": f"Question {i}?", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(40)
    ]
    found = pairs_of(tmp_path, rows)
    assert {pair.label for pair in found} == {"first", "second"}
    assert 10 < sum(pair.label == "first" for pair in found) < 30
    for pair in found:
        assert pair.answers[0 if pair.label == "first" else 1].startswith("good")
        assert pair.example.references == ()
    again = pairs_of(tmp_path, rows)
    assert [pair.label for pair in again] == [pair.label for pair in found]


def test_ranked_completions_may_tie(tmp_path: Path) -> None:
    rows = [{"prompt": "Why?", "completions": ["a", "b"], "ranks": [1, 1]}]
    rows += [{"prompt": "How?", "completions": ["a", "b"], "ranks": [2, 1]}]
    found = pairs_of(tmp_path, rows)
    assert found[0].label == "tie"
    assert found[1].answers[("first", "second").index(found[1].label)] == "b"


def test_labels_that_may_mean_two_things_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"0 may mean a tie or the first answer. Write first, second and tie"):
        pairs_of(tmp_path, [row(0), row(1)])
    with pytest.raises(DataError, match=r"1 of 2 rows have no label(.|\n)*'label' is 'maybe'; expected 1, 2 or tie"):
        pairs_of(tmp_path, [row("1"), row("maybe")])
    with pytest.raises(DataError, match=r"holds 1 pair\(s\); to measure agreement there must be two"):
        pairs_of(tmp_path, [row("1")])
