"""luthier tune on rows that are read from disk: the same weights as from memory, resumed, refused where it must be."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from command_line import (
    _WORDS,
    SETTINGS,
    done,
    json_lines,
    label_rows,
    luthier,
    manifest,
    page_text,
    refused,
    reproducible_files,
    require_equal_runs,
    write_rows,
)
from interrupting import Forks

from luthier.data import row_parts, row_store

STREAMED = ("data.stream=true", "precision=fp32", "training.checkpoint_every=1")

pytestmark = pytest.mark.usefixtures("same_waves")


@pytest.fixture(scope="module")
def streamed(files: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on labels.csv, its rows read from disk; read only."""
    run = tmp_path_factory.mktemp("streamed") / "run"
    done("tune", files / "labels.csv", "-m", model, "--run", run, *SETTINGS, *STREAMED)
    return run


def test_rows_from_disk_give_the_weights_of_rows_from_memory(
    streamed: Path, files: Path, model: Path, place: Path
) -> None:
    done("tune", files / "labels.csv", "-m", model, "--run", "memory", *SETTINGS, *STREAMED[1:])
    there, here = reproducible_files(streamed), reproducible_files(place / "memory")
    for name in ("adapter/adapter_model.safetensors", "metrics.jsonl", "steps/scores_confirm.json"):
        if name.endswith("confirm.json"):  # rows have other names: no column is taken for an id unasked
            continue
        assert there[name] == here[name], name
    texts = [[line["text"] for line in json_lines(run / "evaluation" / "confirm.jsonl")]
             for run in (streamed, place / "memory")]  # fmt: skip
    assert texts[0] == texts[1]
    kept = ("lengths", "training_tokens", "sequences", "answering", "task")
    assert {key: manifest(streamed)[key] for key in kept} == {key: manifest(place / "memory")[key] for key in kept}
    assert manifest(streamed)["data"] == manifest(place / "memory")["data"]


def test_it_says_what_follows(streamed: Path) -> None:
    page = page_text(streamed)
    assert "Rows are read from disk: at most 2,000 rows are held out to choose and to confirm each" in page
    assert "those of 30 rows to learn from" in page
    assert {line["part"] for line in json_lines(streamed / "parts.jsonl")} == {"tune", "choose", "confirm"}


def test_a_killed_run_goes_on_to_the_same_weights(streamed: Path, files: Path, model: Path, place: Path) -> None:
    forks = Forks()
    command = ("tune", files / "labels.csv", "-m", model, "--run", "run", *SETTINGS, *STREAMED)
    try:
        killed = forks.call("update", 3, "SIGKILL", *command, folder=place)
        assert killed.code == -9, killed
    finally:
        forks.close()
    assert "Going on after step 2 of" in done("resume", "run").said
    require_equal_runs(place / "run", streamed)


def test_other_verbs_know_what_was_learned(streamed: Path, place: Path) -> None:
    rows = [{k: v for k, v in row.items() if k != "split"} for row in label_rows()]
    write_rows(place / "rows.csv", rows[:30])
    assert "30 of these 30 rows were learned from or chosen on" in done("evaluate", streamed, "rows.csv").said


def test_rows_are_divided_and_copies_of_held_out_rows_removed(
    model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_parts, "MOST_HELD_OUT", 12)
    draw = random.Random(2)
    rows = [{"text": " ".join(draw.choice(_WORDS) for _ in range(9)), "label": str(n % 3)} for n in range(120)]
    rows += [{"text": row["text"].upper(), "label": row["label"]} for row in rows[:60]]
    write_rows(place / "rows.jsonl", rows)
    called = done("tune", "rows.jsonl", "-m", model, "--run", "run", *SETTINGS, *STREAMED, "training.epochs=0.5")
    parts = manifest(place / "run")["data"]["parts"]
    assert 5 <= parts["choose"] <= 12
    assert 5 <= parts["confirm"] <= 12
    assert parts["tune"] > 140
    held = {line["messages"][0]["content"].lower() for line in json_lines(place / "run" / "parts.jsonl")
            if line["part"] != "tune"}  # fmt: skip
    learned = [line["messages"][0]["content"] for line in json_lines(place / "run" / "parts.jsonl")
               if line["part"] == "tune"]  # fmt: skip
    assert len(learned) == parts["tune"]
    assert held.isdisjoint(text.lower() for text in learned)
    assert "Rows are read from disk" in called.said


def test_the_size_of_the_files_decides_and_adapt_refuses(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_store, "LARGE_BYTES", 1000)
    text = refused("adapt", files / "labels.csv", "-m", model, "--run", "run")
    assert "Use luthier tune, take a sample of the rows, or, if they fit, data.stream=false." in text
    assert not (place / "run").exists()
    called = luthier("tune", files / "labels.csv", "-m", model, "--run", "run", *SETTINGS, "data.fold=[1,5]")
    assert "divided once, not into folds" in called.err


def test_faults_of_rows_stop_before_a_model_is_read(model: Path, place: Path) -> None:
    rows = label_rows()
    rows[7]["label"] = rows[9]["label"] = ""
    write_rows(place / "rows.csv", rows)
    text = refused("tune", "rows.csv", "-m", model, *STREAMED)
    assert "2 of 60 rows cannot be used. Mend them, or leave them out with --skip-bad." in text
    assert "rows.csv:9: the answer (column 'label') is empty" in text
    called = done("tune", "rows.csv", "-m", model, "--run", "run", *SETTINGS, *STREAMED, "--skip-bad",
                  "training.epochs=0.2")  # fmt: skip
    assert "2 bad rows left out" in called.said
    assert len(json_lines(place / "run" / "bad_rows.jsonl")) == 2
    rows = label_rows()
    rows[3]["text"] = "<|end|> x"
    for row in rows:
        row["label"] = "same" if row["id"] == "r3" else row["label"]
    (place / "more.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = refused("tune", "more.jsonl", "-m", model, *STREAMED)
    assert "1 of 30 rows cannot be used with this model: line 4: " in text
    write_rows(place / "equal.csv", [{**row, "label": "a"} for row in label_rows()])
    assert "All 60 rows have the same answer ('a')" in refused("tune", "equal.csv", "-m", model, *STREAMED)
