"""Interrupted and resumed equals uninterrupted, byte for byte: adapters, metrics, answers.

Real processes, real signals. SIGTERM asks (the run ends the step or wave under way and is paused), SIGKILL gives no
time for anything. See `interrupting.py` for how the moment is chosen.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import (
    done,
    json_lines,
    label_rows,
    leftovers,
    manifest,
    refused,
    reproducible_files,
    status,
    write_rows,
)
from interrupting import WAVE, Ended, Forks

from luthier.core.errors import RunError
from luthier.core.run import RunDirectory
from luthier.evaluation import answering
from luthier.stages.material import DataConfig

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
KILLED = -9
TUNE = ("training.epochs=3", "batch.sequences=8", "batch.micro_tokens=150", "training.checkpoint_every=4",
        "training.validations=2")  # fmt: skip
"""24 rows in eights: 9 steps of several micro-batches each; validations (and so best checkpoints) at 4 and 9."""
ADAPT = ("--budget", "5h", "--try", "as_is,told_format,lora")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """The processes compute with one thread and in small waves; this one does too, so that bytes can be compared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answering, "WAVE", WAVE)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    found = Forks()
    yield found
    found.close()


Interrupt = Callable[..., Ended]


@pytest.fixture
def interrupted(forks: Forks, place: Path) -> Interrupt:
    """Call the command line in a process of its own that is interrupted at a place."""
    return partial(forks.call, folder=place)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 rows to tune, 30 to choose and 30 to confirm: evaluations take two waves of 20."""
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.csv", label_rows(24, 30, 30))


@pytest.fixture(scope="module")
def tune_whole(rows: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "tune"
    done("tune", rows, "-m", model, "--run", run, *TUNE)
    return run


@pytest.fixture(scope="module")
def adapt_whole(rows: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "adapt"
    done("adapt", rows, "-m", model, "--run", run, *ADAPT)
    return run


def assert_same(run: Path, whole: Path) -> None:
    found, expected = reproducible_files(run), reproducible_files(whole)
    assert set(found) == set(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    assert leftovers(run) == []
    assert status(run) == "finished"
    if manifest(whole)["stage"] == "tune":  # a bake-off keeps the winner's weights only
        assert any(name.endswith("adapter_model.safetensors") for name in expected)
    assert any(name.endswith("metrics.jsonl") for name in expected)
    assert any("evaluation/" in name for name in expected)


def steps_logged(run: Path) -> int:
    path = run / "metrics.jsonl"
    return len(json_lines(path)) if path.exists() else 0


def answers(run: Path, name: str) -> int:
    path = run / "evaluation" / f"{name}.jsonl"
    return len(json_lines(path)) if path.exists() else 0


def test_sigterm_in_mid_accumulation(
    rows: Path, model: Path, place: Path, interrupted: Interrupt, tune_whole: Path
) -> None:
    """The signal comes between two micro-batches of a step; the step is ended, saved, and gone on from."""
    ended = interrupted("backward", 17, "SIGTERM", "tune", rows, "-m", model, "--run", "run", *TUNE)
    assert ended.code == 130, ended.err
    assert "Stopping when the step under way is done; press Ctrl-C again to stop at once." in ended.out
    assert "Stopped; nothing is lost. Go on with: luthier resume run" in ended.err
    assert status(place / "run") == "paused"
    steps = steps_logged(place / "run")
    assert 1 < steps < 9
    assert (place / "run" / "checkpoints" / f"step-{steps:08d}").is_dir()
    called = done("resume", "run")
    assert f"Going on after step {steps} of 9." in called.said
    assert_same(place / "run", tune_whole)


def test_kill_in_mid_accumulation_between_checkpoints(
    rows: Path, model: Path, place: Path, interrupted: Interrupt, tune_whole: Path
) -> None:
    """Killed in step 7: steps 5 and 6 were logged, but step 4 is the last that was saved."""
    ended = interrupted("update", 7, "SIGKILL", "tune", rows, "-m", model, "--run", "run", *TUNE)
    assert ended.code == KILLED
    assert status(place / "run") == "running"
    assert steps_logged(place / "run") == 6
    called = done("resume", "run")
    assert "Going on after step 4 of 9." in called.said
    assert_same(place / "run", tune_whole)


def test_kill_before_the_first_checkpoint(
    rows: Path, model: Path, place: Path, interrupted: Interrupt, tune_whole: Path
) -> None:
    assert interrupted("update", 2, "SIGKILL", "tune", rows, "-m", model, "--run", "run", *TUNE).code == KILLED
    assert not (place / "run" / "checkpoints").exists()
    assert steps_logged(place / "run") == 1
    done("resume", "run")
    assert_same(place / "run", tune_whole)


@pytest.mark.parametrize(
    ("wave", "name", "ended", "part"),
    [(2, "SIGTERM", 130, "before_confirm"), (4, "SIGKILL", KILLED, "confirm")],
)
def test_in_mid_evaluation(
    rows: Path,
    model: Path,
    place: Path,
    interrupted: Interrupt,
    tune_whole: Path,
    wave: int,
    name: str,
    ended: int,
    part: str,
) -> None:
    """Asked in the second wave before training, killed in the second after it: the wave that is whole is kept."""
    assert interrupted("wave", wave, name, "tune", rows, "-m", model, "--run", "run", *TUNE).code == ended
    assert answers(place / "run", part) == WAVE
    done("resume", "run")
    assert_same(place / "run", tune_whole)


def test_a_wave_that_was_written_in_part_is_answered_again_whole(
    rows: Path, model: Path, place: Path, interrupted: Interrupt, tune_whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers torn in the middle of a line: the rows computed together are those of the uninterrupted run."""
    from luthier.evaluation.answerers import Prompted

    assert interrupted("wave", 2, "SIGTERM", "tune", rows, "-m", model, "--run", "run", *TUNE).code == 130
    file = place / "run" / "evaluation" / "before_confirm.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:12]) + lines[12][:25])
    record = place / "run" / "checksums.jsonl"  # a wave is recorded when it is whole
    record.write_text("".join(line for line in record.open() if file.name not in line))
    asked: list[int] = []
    original = Prompted.answer

    def counted(self: Prompted, examples: Any, *more: Any) -> Any:
        asked.append(len(examples))
        return original(self, examples, *more)

    monkeypatch.setattr(Prompted, "answer", counted)
    done("resume", "run")
    assert asked == [20, 10, 20, 10, 1, 1, 1]  # before tuning, after tuning, how long one takes
    assert_same(place / "run", tune_whole)


def test_a_stop_reaches_a_child_that_is_found_again(place: Path) -> None:
    """A bake-off that was resumed can be stopped again, in the candidate it was resumed in."""
    run = RunDirectory.create(place / "run", "tune", DataConfig(path="x"))
    run.child("lora", "tune", DataConfig(path="y"))
    found = RunDirectory.open(run.path).child("lora", "tune", DataConfig(path="y"))
    again = RunDirectory(run.path, stop=run.stop).child("lora", "tune", DataConfig(path="y"))
    run.stop.set()
    assert again.stop_requested
    assert not found.stop_requested


def test_full_tuning_killed_after_its_training(rows: Path, model: Path, place: Path, interrupted: Interrupt) -> None:
    """The model before is gone from memory by then, and is not asked again: its answers are stored."""
    settings = (*TUNE, "adapter.method=full", "training.learning_rate=1e-3")
    done("tune", rows, "-m", model, "--run", "whole", *settings)
    assert interrupted("wave", 4, "SIGKILL", "tune", rows, "-m", model, "--run", "run", *settings).code == KILLED
    assert answers(place / "run", "confirm") == WAVE
    called = done("resume", "run")
    assert "Going on after step 9 of 9." in called.said
    found, expected = reproducible_files(place / "run"), reproducible_files(place / "whole")
    assert found == expected
    assert "model/model.safetensors" in expected


def test_adapt_stopped_in_a_candidates_training(
    rows: Path, model: Path, place: Path, interrupted: Interrupt, adapt_whole: Path
) -> None:
    """The run as a whole is paused and named, not its child; its plan is kept."""
    ended = interrupted("update", 4, "SIGTERM", "adapt", rows, "-m", model, "--run", "run", *ADAPT)
    assert ended.code == 130, ended.err
    assert ended.err.rstrip().endswith("Stopped; nothing is lost. Go on with: luthier resume run")
    assert (status(place / "run"), status(place / "run" / "children" / "lora")) == ("paused", "paused")
    assert steps_logged(place / "run" / "children" / "lora") == 4
    plan = (place / "run" / "steps" / "plan.json").read_bytes()
    finished = (place / "run" / "children" / "as_is" / "manifest.json").read_bytes()
    done("resume", "run")
    assert (place / "run" / "steps" / "plan.json").read_bytes() == plan
    assert (place / "run" / "children" / "as_is" / "manifest.json").read_bytes() == finished  # not run again
    assert_same(place / "run", adapt_whole)


def test_adapt_killed_in_an_evaluation(
    rows: Path, model: Path, place: Path, interrupted: Interrupt, adapt_whole: Path
) -> None:
    """Two waves are the model as it is; the fourth is the second one of the model told the format."""
    assert interrupted("wave", 4, "SIGKILL", "adapt", rows, "-m", model, "--run", "run", *ADAPT).code == KILLED
    assert status(place / "run" / "children" / "as_is") == "finished"
    assert answers(place / "run" / "children" / "told_format", "choose") == WAVE
    done("resume", "run")
    assert_same(place / "run", adapt_whole)


def test_adapt_killed_while_confirming(
    rows: Path, model: Path, place: Path, interrupted: Interrupt, adapt_whole: Path
) -> None:
    """Six waves are the candidates', the eighth is the second one on confirm: the choice is not made again."""
    assert interrupted("wave", 8, "SIGKILL", "adapt", rows, "-m", model, "--run", "run", *ADAPT).code == KILLED
    chosen = manifest(place / "run")["chosen"]
    assert not (place / "run" / "report.html").exists()
    done("resume", "run")
    assert manifest(place / "run")["chosen"] == chosen
    assert_same(place / "run", adapt_whole)


@pytest.mark.parametrize("count", [12, 29, 44, 58, 77])
def test_killed_while_a_file_is_written(
    rows: Path, model: Path, place: Path, interrupted: Interrupt, tune_whole: Path, count: int
) -> None:
    """Killed at some of the moments at which a file is about to be safe: nothing half-written is taken for whole."""
    assert interrupted("sync", count, "SIGKILL", "tune", rows, "-m", model, "--run", "run", *TUNE).code == KILLED
    done("resume", "run")
    assert_same(place / "run", tune_whole)


def test_resumed_from_elsewhere_the_run_says_where_it_began(
    rows: Path, model: Path, place: Path, interrupted: Interrupt, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "rows.csv").write_bytes(rows.read_bytes())
    assert interrupted("wave", 2, "SIGTERM", "tune", "rows.csv", "-m", model, "--run", "run", *TUNE).code == 130
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    text = refused("resume", "../run")
    assert "There is no file or folder rows.csv." in text
    assert f"The run was begun in {place}: the paths in its recipe are seen from there." in text
    assert status(place / "run") == "failed"
    monkeypatch.chdir(place)
    with open("rows.csv", "a") as file:
        file.write("r999,new row,other,train\n")
    text = refused("resume", "run")
    assert "rows.csv has changed since run began" in text
    assert "Put the file back, or start a new run." in text
    (place / "rows.csv").write_bytes(rows.read_bytes())
    done("resume", "run")


# ----------------------------------------------------------------------------------------------- two at once


def test_two_processes_do_not_work_on_one_run(
    rows: Path, model: Path, place: Path, interrupted: Interrupt, tune_whole: Path
) -> None:
    """The second is refused in a sentence and touches nothing; the first goes on to the same bytes."""
    assert interrupted("wave", 2, "SIGTERM", "tune", rows, "-m", model, "--run", "run", *TUNE).code == 130
    before = {path: path.read_bytes() for path in (place / "run").rglob("*") if path.is_file()}
    with RunDirectory(place / "run").working():
        for verb in (("resume", "run"), ("tune", rows, "-m", model, "--run", "run", "--overwrite")):
            text = refused(*verb)
            assert text == ("luthier: Another process is at work on run. Wait until it has ended, or stop it; then go "
                            "on with: luthier resume run.")  # fmt: skip
        assert {path: path.read_bytes() for path in (place / "run").rglob("*") if path.is_file()} == before
    done("resume", "run")
    assert_same(place / "run", tune_whole)


def test_two_processes_that_resume_at_once(
    rows: Path, model: Path, place: Path, interrupted: Interrupt, tune_whole: Path
) -> None:
    """Whichever comes first goes on; the other is refused, or comes when there is nothing left to do."""
    assert interrupted("update", 3, "SIGTERM", "tune", rows, "-m", model, "--run", "run", *TUNE).code == 130
    # In the waves of `tune_whole`: what is computed together decides how it rounds, in bf16 enough to change an answer.
    code = (
        f"from luthier.evaluation import answering; answering.WAVE = {WAVE}; from luthier.cli.main import main; main()"
    )
    command = [sys.executable, "-c", code, "resume", "run"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    both = [
        subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=240) for process in both]
    for process, (out, err) in zip(both, said, strict=True):
        busy = process.returncode == 2 and err.startswith("luthier: Another process is at work on run.")
        assert process.returncode == 0 or busy, (out, err)
    assert 0 in [process.returncode for process in both]
    assert_same(place / "run", tune_whole)


def test_the_lock_of_a_killed_process_is_free(place: Path) -> None:
    """A fork that holds the lock is killed; the run can be worked on at once."""
    run = RunDirectory.create(place / "run", "tune", DataConfig(path="x"))
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        with run.working():
            os.write(told, b"x")
            signal.pause()
    os.read(ready, 1)
    with pytest.raises(RunError, match="Another process is at work"), run.working():
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with run.working():
        pass
