"""A disk that is full, failing or closed in mid-run: a clear sentence, and the last good checkpoint intact."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from command_line import SETTINGS, done, leftovers, luthier, status
from faulty_files import Operations, failing

from luthier.cli.session import advice
from luthier.core.run import RunDirectory
from luthier.core.stages import config_class
from luthier.stages.material import DataConfig, require_same_model
from luthier.training.checkpoints import Checkpoints, verify


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("ENOSPC", "The disk is full, or what you may use of it: free some space (luthier runs says what runs take)."),
        ("EIO", "The disk did not do what it was told: it may be failing. Copy what you need to another one."),
    ],
)
def test_training_stops_with_a_sentence_and_goes_on_to_the_same_bytes(
    files: Path, model: Path, tuned: Path, place: Path, monkeypatch: pytest.MonkeyPatch, fault: Any, sentence: str
) -> None:
    operations = Operations(fault)
    original = Checkpoints.save

    def until_the_third(self: Checkpoints, state: Any, *, best: bool = False) -> Path:
        if state.step == 3:
            operations.at = len(operations.names) + 1
        return original(self, state, best=best)

    command = ("tune", files / "labels.csv", "-m", model, "--run", "run", *SETTINGS, "training.checkpoint_every=1")
    with monkeypatch.context() as patch, failing(operations):
        patch.setattr(Checkpoints, "save", until_the_third)
        called = luthier(*command)
    assert called.code == 2
    said = " ".join(called.err.split())
    assert sentence in said
    assert "run/checkpoints/.step-00000003." in said
    assert "What was done is kept in run; luthier resume run goes on with it." in said
    assert "Traceback" not in called.err
    saved = sorted(path for path in (place / "run" / "checkpoints").glob("step-*"))
    assert [path.name for path in saved] == ["step-00000001", "step-00000002"]
    assert [verify(path) for path in saved] == ["", ""]
    assert "Going on after step 2 of 4." in done("resume", "run").said
    assert (status(place / "run"), leftovers(place / "run")) == ("finished", [])
    for name in ("adapter/adapter_model.safetensors", "metrics.jsonl", "evaluation/confirm.jsonl"):
        assert (place / "run" / name).read_bytes() == (tuned / name).read_bytes()


def test_advice_is_given_where_something_can_be_done() -> None:
    assert "make the folder writable, or choose another with --run DIR" in advice(OSError(errno.EROFS, "Read-only"))
    assert "make the folder writable" in advice(PermissionError(errno.EACCES, "Permission denied"))
    assert advice(FileNotFoundError(errno.ENOENT, "No such file")) == ""


def test_a_run_on_a_disk_that_is_closed_says_so_and_is_left_as_it_was(place: Path) -> None:
    from luthier.core import files

    run = RunDirectory.create(place / "run", "tune", config_class("tune").parse({"data": {"path": "rows.csv"}}))
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file() and path.name != ".lock"}

    def closed(path: Any, mode: str = "r", *more: Any, **options: Any) -> Any:
        if mode[0] in "wa":
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return open(path, mode, *more, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "open", closed, raising=False)
        called = luthier("resume", "run")
    assert called.code == 2
    assert "Read-only file system: run/" in called.err
    assert "make the folder writable" in called.err
    assert {path: path.read_bytes() for path in before} == before


def test_a_run_goes_on_with_its_own_model_only(place: Path) -> None:
    from luthier.core.errors import RunError

    run = RunDirectory.create(place / "run", "tune", DataConfig(path="rows.csv"))
    require_same_model(run, "a" * 64)
    run.update(model={"name": "m", "digest": "a" * 64})
    require_same_model(run, "a" * 64)
    with pytest.raises(RunError, match=r"has changed since the run began \(digest aaaaaaaaaaaa, now bbbbbbbbbbbb\)"):
        require_same_model(run, "b" * 64)
