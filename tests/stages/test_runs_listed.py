"""luthier runs: what is told of each run, and deletion that asks first."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from command_line import done, manifest, refused, runs_in, write_rows
from pydantic import Field

import luthier as public
from luthier.cli.main import app
from luthier.core.config import Config
from luthier.core.disk import disk_use
from luthier.core.run import RunDirectory
from luthier.reporting.quantities import percent
from luthier.stages.runs import age, describe_run, runs_table, short_model, verdict_in_words


class Recipe(Config):
    model: str = "smollm2-135m-instruct"
    data: dict[str, str] = Field(default_factory=lambda: {"path": "data/tickets.csv"})


def make(path: Path, stage: str = "tune", **recipe: Any) -> RunDirectory:
    return RunDirectory.create(path, stage, Recipe(**recipe))


# ------------------------------------------------------------------------------------------------------------- listing


def test_real_runs_are_told_in_a_line_each(tuned: Path, adapted: Path, place: Path) -> None:
    told = done("runs", tuned, adapted, "--json").json
    assert [(line["run"], line["stage"], line["status"]) for line in told] == [
        (str(tuned), "tune", "finished"), (str(adapted), "adapt", "finished"),
    ]  # fmt: skip
    verdict = manifest(tuned)["verdict"]
    values = [percent(verdict[key]) for key in ("base_value", "candidate_value")]
    assert told[0]["verdict"] == f"accuracy {values[0]} -> {values[1]}: {verdict['verdict']}"
    assert told[0]["data"].endswith("labels.csv")
    assert told[0]["model"].endswith("llama")
    assert told[0]["weights_bytes"] == disk_use(tuned / "adapter") > 10_000
    assert told[0]["bytes"] == disk_use(tuned)
    winner = manifest(adapted)["chosen"].removeprefix("children/")
    assert told[1]["verdict"].startswith(f"{winner} exact match ")
    assert "target" in told[1]["verdict"]
    shown = done("runs", tuned, adapted).out
    assert "labels.csv" in shown
    assert "2 runs, " in shown


def test_runs_of_the_usual_folder_are_listed_in_order(files: Path, model: Path, place: Path) -> None:
    assert done("runs", "--json").json == []
    assert "luthier adapt YOUR_EXAMPLES.csv" in done("runs").out
    for _ in range(2):
        done("adapt", files / "labels.csv", "-m", model, "--budget", "15s")
    write_rows(place / "new.csv", [{"text": "blue invoice"}])
    done("answer", "runs/2", "new.csv")
    told = done("runs", "--json").json
    assert [(line["run"], line["stage"]) for line in told] == [
        ("runs/1", "adapt"), ("runs/2", "adapt"), ("runs/3", "answer")
    ]  # fmt: skip
    assert told[2]["verdict"] == "1 answers"
    assert told[2]["model"] == "runs/2"
    assert [line["run"] for line in done("runs", "3", "1", "--json").json] == ["runs/3", "runs/1"]
    frame = public.runs()
    assert list(frame["stage"]) == ["adapt", "adapt", "answer"]
    assert (datetime.now(UTC) - frame["created_at"].iloc[0]).total_seconds() < 600
    assert list(frame["bytes"]) == [line["bytes"] for line in told]


def test_another_folder_and_what_is_not_there(place: Path) -> None:
    make(place / "experiments" / "lora")
    assert [line["run"] for line in done("runs", "--in", "experiments", "--json").json] == ["experiments/lora"]
    assert len(public.runs(place / "experiments")) == 1
    assert "There is no folder elsewhere. Say where the runs are" in refused("runs", "--in", "elsewhere")
    text = refused("runs", "lroa", "--in", "experiments")
    assert "No run lroa; experiments holds: lora. Did you mean 'lora'?" in text
    assert "experiments is not a run directory" in refused("runs", "experiments")


def test_a_run_that_nobody_works_on_is_stopped_and_one_at_work_is_running(place: Path) -> None:
    run = make(place / "runs" / "1")
    assert describe_run(run.path)["status"] == "stopped"
    with run.working():
        assert describe_run(run.path)["status"] == "running"
    shown = done("runs").out
    assert "Go on with what was interrupted: luthier resume runs/1" in shown
    run.fail("DataError: no rows\nmore about it")
    line = describe_run(run.path)
    assert (line["status"], line["verdict"]) == ("failed", "DataError: no rows")


def test_a_broken_run_and_one_of_a_newer_version_do_not_stop_the_list(place: Path) -> None:
    broken, newer, whole = (make(place / "runs" / name) for name in "123")
    (broken.path / "manifest.json").write_text("{")
    newer.update(schema_version=99)
    whole.finish({"metric": "accuracy", "value": 0.5})
    told = done("runs", "--json").json
    assert [line["status"] for line in told] == ["unreadable", "unreadable", "finished"]
    assert told[1]["verdict"] == "made by a newer Luthier"


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (None, ""),
        ({"metric": "accuracy", "value": 0.5}, "accuracy 50 %"),
        ({"metric": "exact_match", "base_value": 0.125, "candidate_value": 0.75, "verdict": "better"},
         "exact match 12 % -> 75 %: better"),
        ({"answers": 12, "cut": 0, "failed": 3}, "12 answers, 3 failed"),
        ({"comparisons": [], "target": None}, "lora"),
        ({"comparisons": [{"metric": "rougeL", "candidate_value": 0.41, "verdict": "better"}] * 2,
          "target": {"status": "not reached"}}, "lora ROUGE-L F 41 %, better than both rivals, target not reached"),
        ({"comparisons": [{"metric": "rougeL", "candidate_value": 0.41, "verdict": "better"},
                          {"metric": "rougeL", "candidate_value": 0.41, "verdict": "not shown"}], "target": None},
         "lora ROUGE-L F 41 %, better: not shown"),
        ({"something": "of a later version"}, ""),
    ],
)  # fmt: skip
def test_verdicts_are_told_in_a_few_words(verdict: Any, words: str) -> None:
    found = verdict_in_words({"status": "finished", "chosen": "children/lora", "verdict": verdict})
    assert found == words


def test_ages_and_models_are_short() -> None:
    now = datetime(2025, 3, 10, 12, 0, 0, tzinfo=UTC)
    ages = {"2025-03-10T11:59:30+0000": "now", "2025-03-10T11:01:00+0000": "59 min", "2025-03-10T09:00:00+0200": "5 h",
            "2025-03-01T12:00:00+0000": "9 d", "2025-03-01T12:00:00": "", "": ""}  # fmt: skip
    assert {text: age(text, now) for text in ages} == ages
    assert age(None, now) == ""
    assert short_model("HuggingFaceTB/SmolLM2-135M-Instruct") == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert short_model("/models/team/tickets/base") == "…/tickets/base"


def test_the_table_sums_up_what_the_runs_take() -> None:
    line = {"run": "runs/1", "stage": "tune", "status": "finished", "data": None, "model": None, "verdict": "",
            "created_at": None, "bytes": 2_000_000, "weights_bytes": 1_500_000}  # fmt: skip
    table: Any = runs_table([line, line | {"run": "runs/2", "status": "paused"}])
    assert table.caption == (
        "2 runs, 4.0 MB, of which 3.0 MB are weights. Go on with what was interrupted: `luthier resume runs/2`"
    )
    assert [row[-1] for row in table.rows] == ["2.0 MB", "2.0 MB"]


# ------------------------------------------------------------------------------------------------------------ deleting


@pytest.fixture
def three(place: Path) -> Path:
    """Runs 1, 2 and 3; 3 was tuned on 1."""
    for number in (1, 2):
        make(place / "runs" / str(number)).finish()
    make(place / "runs" / "3", model="runs/1").finish()
    return place / "runs"


class Terminal(io.StringIO):
    """Standard input with somebody at it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "code", "left"), [("n\n", 2, ["1", "2", "3"]), ("y\n", 0, ["1", "3"])])
def test_deletion_asks_and_does_what_it_is_told(
    three: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    code: int,
    left: list[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    with pytest.raises(SystemExit) as end:
        app(["runs", "--delete", "2"])
    assert end.value.code == code
    assert runs_in(three) == left
    printed = capsys.readouterr()
    assert "Delete this run for good? [y/N]" in printed.err
    assert ("Nothing was deleted." in printed.err) == (code == 2)
    assert ("Deleted runs/2." in printed.out) == (code == 0)
    assert "tickets.csv" in printed.out  # what would go is shown first


def test_without_somebody_to_ask_nothing_is_deleted_unless_yes(three: Path) -> None:
    text = refused("runs", "--delete", "2")
    assert "there is nobody to ask here. Add --yes to delete without asking." in text
    assert runs_in(three) == ["1", "2", "3"]
    size = disk_use(three / "2") + disk_use(three / "3")
    called = done("runs", "--delete", "2", "runs/3", "--yes", "--json")
    assert called.json == {"deleted": ["runs/2", "runs/3"], "bytes": size}
    assert runs_in(three) == ["1"]


def test_what_another_run_needs_stays_and_so_does_all_that_was_named_with_it(three: Path) -> None:
    text = refused("runs", "--delete", "1", "2", "--yes")
    assert "Nothing was deleted. runs/1 is the model of runs/3: delete what needs it too, or keep it." in text
    assert runs_in(three) == ["1", "2", "3"]
    done("runs", "--delete", "1", "3", "--yes")
    assert runs_in(three) == ["2"]


def test_deletion_needs_names_of_runs(three: Path) -> None:
    assert "Say which runs to delete" in refused("runs", "--delete", "--yes")
    (three.parent / "thesis").mkdir()
    assert "thesis is not a run directory" in refused("runs", "--delete", "thesis", "--yes")
    assert (three.parent / "thesis").exists()
    assert "No run 7; runs holds: 1, 2, 3." in refused("runs", "--delete", "7", "--yes")
    with RunDirectory(three / "2").working():
        assert "A process is at work on runs/2" in refused("runs", "--delete", "2", "--yes")
    assert runs_in(three) == ["1", "2", "3"]
