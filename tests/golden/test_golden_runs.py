"""Today's code opens the runs of every earlier version, and they say and answer what they did (see make.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command_line import done, json_lines

import luthier
from luthier.core.files import read_json
from luthier.core.run import SCHEMA_VERSION, RunDirectory

RUNS = pytest.mark.parametrize("name", ["adapt", "tune"])


def expected(golden: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(golden / "expected.json")["runs"][name]
    return found


def test_there_are_golden_runs_of_this_schema() -> None:
    folders = [path.parent for path in Path(__file__).parent.glob("*/expected.json")]
    assert folders
    versions = {
        RunDirectory.open(folder / name).manifest["schema_version"] for folder in folders for name in ("adapt", "tune")
    }
    assert SCHEMA_VERSION in versions, "make golden runs of the new schema: python tests/golden/make.py"


@RUNS
def test_it_answers_new_rows_as_it_did(golden: Path, name: str) -> None:
    called = done("answer", name, "new.csv", "--precision", "fp32", "--run", "out", "--json")
    texts = [line["text"] for line in json_lines(golden / "out" / "answers.jsonl")]
    assert texts == expected(golden, name)["answers"]
    assert len(texts) == called.json["verdict"]["answers"] == 12


@RUNS
def test_it_is_evaluated_on_later_rows(golden: Path, name: str) -> None:
    called = done("evaluate", name, "labelled.csv", "--precision", "fp32", "--run", "out", "--json")
    assert called.json["scores"]["scores"]["accuracy"]["value"] == expected(golden, name)["accuracy"]


@RUNS
def test_its_scores_can_be_read(golden: Path, name: str) -> None:
    run = luthier.Run(RunDirectory.open(Path(name)))
    stored = {(row["evaluation"], row["metric"]): row["value"] for row in expected(golden, name)["scores"]}
    frame = run.scores()
    found = {(row.evaluation, row.metric): row.value for row in frame.itertuples()}
    assert found == pytest.approx(stored)
    assert len(found) >= 6
    assert (frame["low"] <= frame["value"]).all()
    assert run.verdict == expected(golden, name)["verdict"]
    assert run.to_json()["status"] == run.status == "finished"


def test_the_two_are_compared_on_the_rows_they_were_proved_on(golden: Path) -> None:
    (claim,) = done("compare", "adapt", "tune", "--json").json
    chosen = read_json(golden / "expected.json")["chosen"]
    proofs = (("adapt", f"confirm_{chosen}"), ("tune", "confirm"))
    values = [
        next(row["value"] for row in expected(golden, name)["scores"]
             if (row["evaluation"], row["metric"]) == (evaluation, claim["metric"]))
        for name, evaluation in proofs
    ]  # fmt: skip
    assert [claim["base_value"], claim["candidate_value"]] == pytest.approx(values)
    assert claim["rows"] == 30


def test_they_are_listed(golden: Path) -> None:
    told = done("runs", "--in", ".", "--json").json
    assert [(line["run"], line["stage"], line["status"]) for line in told] == [
        ("adapt", "adapt", "finished"), ("tune", "tune", "finished")
    ]  # fmt: skip
    assert all("accuracy" in line["verdict"] for line in told)
    assert all(line["model"] == "model" and line["data"] == "rows.csv" for line in told)
    assert all(line["weights_bytes"] > 10_000 for line in told)


@RUNS
def test_it_is_shown_resumed_and_merged(golden: Path, name: str) -> None:
    assert done("show", name, "failures", "--json").json is not None
    assert done("show", name, "answers", "--part", "confirm", "--json").json
    assert "is finished: there is nothing left to do" in done("resume", name).said
    merged = Path(done("merge", name, "--to", "plain", "--json").json["model"])
    assert (merged / "model.safetensors").is_file()
