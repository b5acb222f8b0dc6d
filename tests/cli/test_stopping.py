"""What surrounds every verb: signals, errors and pipes end in a sentence and an exit status, never in a traceback."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from command_line import Called, label_rows, luthier, status, write_rows

from luthier.cli.session import perform
from luthier.core.errors import GuardError, RunError
from luthier.core.run import RunDirectory
from luthier.core.stopping import StopFlag, stop_on_signals


def performed(work: Callable[[Any, Any], Any], capsys: pytest.CaptureFixture[str], **options: Any) -> Called:
    try:
        perform(options.pop("as_json", False), work, **options)
        code = 0
    except typer.Exit as end:
        code = end.exit_code
    found = capsys.readouterr()
    return Called(code, found.out, found.err)


def raises(error: BaseException) -> Callable[..., Any]:
    def work(*_: Any, **__: Any) -> Any:
        raise error

    return work


def test_an_error_is_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    called = performed(raises(RunError("There is no run.")), capsys)
    assert called == Called(2, "", "luthier: There is no run.\n")


def test_what_the_system_refuses_is_a_sentence_too(capsys: pytest.CaptureFixture[str]) -> None:
    called = performed(raises(OSError(28, "No space left on device", "runs/1/adapter")), capsys)
    what = "The disk is full, or what you may use of it: free some space (luthier runs says what runs take)."
    assert called == Called(2, "", f"luthier: No space left on device: runs/1/adapter. {what}\n")


def test_a_fault_of_the_program_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        performed(raises(ZeroDivisionError()), capsys)


def test_what_cannot_be_gone_on_with_is_interrupted_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C at a verb without a run: there is nothing to resume, and nothing is promised."""

    def work(listener: Any, stop: StopFlag) -> None:
        signal.raise_signal(signal.SIGINT)

    assert performed(work, capsys) == Called(130, "", "Stopped.\n")


def test_the_first_ctrl_c_asks_and_the_second_insists(capsys: pytest.CaptureFixture[str]) -> None:
    def work(listener: Any, stop: StopFlag) -> None:
        signal.raise_signal(signal.SIGINT)
        assert stop
        signal.raise_signal(signal.SIGINT)

    called = performed(work, capsys, resumable=True)
    assert called.code == 130
    assert called.out == "Stopping when the step under way is done; press Ctrl-C again to stop at once.\n"
    assert called.err == "Stopped.\n"


def test_a_signal_in_the_middle_of_a_write_is_only_not_told() -> None:
    flag = StopFlag()

    def reentrant() -> None:
        raise RuntimeError("reentrant call inside <_io.BufferedWriter>")

    with stop_on_signals(flag, reentrant):
        signal.raise_signal(signal.SIGTERM)
    assert flag


def test_the_flag_reaches_the_run(files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop that is asked for before the first wave: the run is paused, named, and goes on."""
    from luthier.generation.local import LocalModel

    rows = write_rows(place / "rows.csv", label_rows(30, 15, 70))
    original = LocalModel.complete

    def interrupted(self: LocalModel, requests: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return original(self, requests)

    with monkeypatch.context() as patch:
        patch.setattr(LocalModel, "complete", interrupted)
        called = luthier("evaluate", model, rows, "--json")
    assert called.code == 130
    assert called.out == ""
    assert called.err.endswith("Stopped; nothing is lost. Go on with: luthier resume runs/1\n")
    assert status(place / "runs" / "1") == "paused"
    assert luthier("resume", "runs/1").code == 0
    assert status(place / "runs" / "1") == "finished"


def test_a_second_signal_names_the_run_too(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from luthier.generation.local import LocalModel

    def interrupted(self: LocalModel, requests: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(LocalModel, "complete", interrupted)
        called = luthier("evaluate", model, files / "labels.csv")
    assert called.code == 130
    assert called.err.endswith("Stopped. Go on with: luthier resume runs/1\n")
    assert luthier("resume", "runs/1").code == 0


def test_a_fault_in_the_middle_keeps_what_was_done_and_says_where(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 34: training that becomes infinite is stopped, and the answers before it are kept."""
    called = luthier("tune", files / "labels.csv", "-m", model, "precision=fp32", "training.learning_rate=1000")
    assert called.code == 2
    assert "is not finite" in called.err
    assert "What was done is kept in runs/1; luthier resume runs/1 goes on with it." in called.err
    assert status(place / "runs" / "1") == "failed"
    assert (place / "runs" / "1" / "evaluation" / "before_confirm.jsonl").exists()
    assert not (place / "runs" / "1" / "adapter").exists()


def test_a_fault_before_anything_is_done_leaves_nothing(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from luthier.stages import tune

    monkeypatch.setattr(tune, "load_model", raises(GuardError("broken")))
    called = luthier("tune", files / "labels.csv", "-m", model)
    assert (called.code, called.err) == (2, "luthier: broken\n")
    assert not (place / "runs").exists()
    (place / "runs" / "1").mkdir(parents=True)
    (place / "runs" / "1" / "mine.txt").write_text("x")
    luthier("tune", files / "labels.csv", "-m", model)
    assert [p.name for p in (place / "runs").rglob("*")] == ["1", "mine.txt"]


def test_a_table_that_is_read_no_further_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """luthier list metrics --json | head -1 ends well."""
    with open(tmp_path / "descriptor", "w") as file, monkeypatch.context() as patch:

        class Closed(io.StringIO):
            def write(self, text: str) -> int:
                raise BrokenPipeError(32, "Broken pipe")

            def fileno(self) -> int:
                return file.fileno()

        patch.setattr(sys, "stdout", Closed())
        with pytest.raises(typer.Exit) as end:
            perform(True, lambda listener, stop: [1])
    assert end.value.exit_code == 0


def test_a_run_whose_screen_is_closed_is_paused(files: Path, model: Path, tmp_path: Path) -> None:
    """luthier evaluate … | head -1: the run stops, says so on standard error, and can be gone on with."""
    command = [sys.executable, "-c", "from luthier.cli.main import main; main()", "evaluate", str(model),
               str(files / "labels.csv"), "--run", "run"]  # fmt: skip
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(command, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr == "Stopped: nobody reads the output any more. Go on with: luthier resume run\n"
    assert RunDirectory(tmp_path / "run").status == "paused"
