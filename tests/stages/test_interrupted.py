"""Interrupted and resumed equals uninterrupted, byte for byte: adapters, metrics, answers.

Real processes, real signals. SIGTERM asks (the run ends the step or wave under way and is paused), SIGKILL gives no time
for anything. See `interrupting.py` for how the moment is chosen.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import done, json_lines, label_rows, leftovers, manifest, reproducible_files, status, write_rows
from interrupting import interrupted

KILLED = -signal.SIGKILL
TUNE = ("training.epochs=3", "batch.sequences=8", "batch.micro_tokens=150", "training.checkpoint_every=4",
        "training.validations=2")  # fmt: skip
"""24 rows in eights: 9 steps of several micro-batches each; validations (and so best checkpoints) at 4 and 9."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 rows to tune, 70 to choose and 70 to confirm: evaluations take two waves of 64."""
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.csv", label_rows(24, 70, 70))


@pytest.fixture(scope="module")
def tune_whole(rows: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "tune"
    done("tune", rows, "-m", model, "--run", run, *TUNE)
    return run


@pytest.fixture(scope="module")
def adapt_whole(rows: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "adapt"
    done("adapt", rows, "-m", model, "--run", run, "--budget", "5h")
    return run


def assert_same(run: Path, whole: Path) -> None:
    found, expected = reproducible_files(run), reproducible_files(whole)
    assert set(found) == set(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    assert leftovers(run) == []
    assert status(run) == "finished"
    assert any(name.endswith("adapter_model.safetensors") for name in expected)
    assert any(name.endswith("metrics.jsonl") for name in expected)
    assert any("evaluation/" in name for name in expected)


def steps_logged(run: Path) -> int:
    path = run / "metrics.jsonl"
    return len(json_lines(path)) if path.exists() else 0


def answers(run: Path, name: str) -> int:
    path = run / "evaluation" / f"{name}.jsonl"
    return len(json_lines(path)) if path.exists() else 0


def test_sigterm_in_mid_accumulation(rows: Path, model: Path, place: Path, tune_whole: Path) -> None:
    """The signal comes between two micro-batches of a step; the step is ended, saved, and gone on from."""
    ended = interrupted("backward", 23, "SIGTERM", "tune", rows, "-m", model, "--run", "run", *TUNE, folder=place)
    assert ended.returncode == 130, ended.stderr
    assert "Stopping when the step under way is done; press Ctrl-C again to stop at once." in ended.stdout
    assert "Stopped; nothing is lost. Go on with: luthier resume run" in ended.stderr
    assert status(place / "run") == "paused"
    steps = steps_logged(place / "run")
    assert 1 < steps < 9
    assert (place / "run" / "checkpoints" / f"step-{steps:08d}").is_dir()
    called = done("resume", "run")
    assert f"Going on after step {steps} of 9." in called.said
    assert_same(place / "run", tune_whole)


def test_kill_in_mid_accumulation_between_checkpoints(rows: Path, model: Path, place: Path, tune_whole: Path) -> None:
    """Killed in step 7: steps 5 and 6 were logged, but step 4 is the last that was saved."""
    ended = interrupted("update", 7, "SIGKILL", "tune", rows, "-m", model, "--run", "run", *TUNE, folder=place)
    assert ended.returncode == KILLED
    assert status(place / "run") == "running"
    assert steps_logged(place / "run") == 6
    called = done("resume", "run")
    assert "Going on after step 4 of 9." in called.said
    assert_same(place / "run", tune_whole)


def test_kill_before_the_first_checkpoint(rows: Path, model: Path, place: Path, tune_whole: Path) -> None:
    ended = interrupted("backward", 9, "SIGKILL", "tune", rows, "-m", model, "--run", "run", *TUNE, folder=place)
    assert ended.returncode == KILLED
    assert not (place / "run" / "checkpoints").exists()
    done("resume", "run")
    assert_same(place / "run", tune_whole)


@pytest.mark.parametrize(
    ("place_", "count", "name", "stored"),
    [("wave", 1, "SIGTERM", 64), ("wave", 4, "SIGKILL", 64)],
)
def test_in_mid_evaluation(
    rows: Path, model: Path, place: Path, tune_whole: Path, place_: str, count: int, name: str, stored: int
) -> None:
    """Before training between waves, and after it inside the second wave: whole waves are kept, none is repeated."""
    ended = interrupted(place_, count, name, "tune", rows, "-m", model, "--run", "run", *TUNE, folder=place)
    assert ended.returncode == (130 if name == "SIGTERM" else KILLED), ended.stderr
    part = "before_confirm" if count == 1 else "confirm"
    assert answers(place / "run", part) == stored
    done("resume", "run")
    assert_same(place / "run", tune_whole)


def test_adapt_stopped_in_a_candidates_training(rows: Path, model: Path, place: Path, adapt_whole: Path) -> None:
    """Two backwards are the calibration's; the run as a whole is paused and named, not its child."""
    ended = interrupted("update", 4, "SIGTERM", "adapt", rows, "-m", model, "--run", "run", "--budget", "5h",
                        folder=place)  # fmt: skip
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr.rstrip().endswith("Stopped; nothing is lost. Go on with: luthier resume run")
    assert (status(place / "run"), status(place / "run" / "children" / "lora")) == ("paused", "paused")
    assert status(place / "run" / "children" / "told_format") == "finished"
    plan = (place / "run" / "steps" / "plan.json").read_bytes()
    done("resume", "run")
    assert (place / "run" / "steps" / "plan.json").read_bytes() == plan
    assert manifest(place / "run")["chosen"] == manifest(adapt_whole)["chosen"]
    assert_same(place / "run", adapt_whole)


def test_adapt_killed_in_an_evaluation(rows: Path, model: Path, place: Path, adapt_whole: Path) -> None:
    """Calls 1 to 3 measure the machine; 4 and 5 are the model as it is; 7 is the second wave of the model told the
    format."""
    ended = interrupted("wave", 7, "SIGKILL", "adapt", rows, "-m", model, "--run", "run", "--budget", "5h",
                        folder=place)  # fmt: skip
    assert ended.returncode == KILLED
    assert status(place / "run" / "children" / "as_is") == "finished"
    assert answers(place / "run" / "children" / "told_format", "choose") == 64
    before = (place / "run" / "children" / "as_is" / "manifest.json").stat().st_mtime_ns
    done("resume", "run")
    assert (place / "run" / "children" / "as_is" / "manifest.json").stat().st_mtime_ns == before  # not run again
    assert_same(place / "run", adapt_whole)


def test_adapt_killed_while_confirming(rows: Path, model: Path, place: Path, adapt_whole: Path) -> None:
    """The choice has been made and is not made again."""
    ended = interrupted("wave", 11, "SIGKILL", "adapt", rows, "-m", model, "--run", "run", "--budget", "5h",
                        folder=place)  # fmt: skip
    assert ended.returncode == KILLED
    chosen = manifest(place / "run")["chosen"]
    assert not (place / "run" / "report.html").exists()
    done("resume", "run")
    assert manifest(place / "run")["chosen"] == chosen
    assert_same(place / "run", adapt_whole)


@pytest.mark.parametrize("count", [12, 29, 44, 58, 77])
def test_killed_while_a_file_is_written(
    rows: Path, model: Path, place: Path, tune_whole: Path, count: int, crash: Callable[..., int]
) -> None:
    """Killed at some of the moments at which a file is about to be safe: nothing half-written is taken for whole."""
    assert crash(count, "tune", rows, "-m", model, "--run", "run", *TUNE) == signal.SIGKILL
    done("resume", "run")
    assert_same(place / "run", tune_whole)


@pytest.fixture
def crash() -> Callable[..., int]:
    """Call the command line in a fork of this process that is killed at its n-th sync of a file; returns the signal."""
    import os

    from command_line import luthier

    def crashed(count: int, *arguments: object) -> int:
        child = os.fork()
        if child == 0:
            from interrupting import at_call

            at_call(os, "fsync", count, signal.SIGKILL)
            luthier(*arguments)
            os._exit(0)
        _, ended = os.waitpid(child, 0)
        return os.WTERMSIG(ended)

    return crashed
