"""Fixtures of the saboteurs; those of the end-to-end tests are theirs too."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from command_line import SETTINGS, luthier, runs_in
from small_runs import adapted, files, model, place, taught, tuned

from luthier.training.engine.single import SingleDeviceEngine

__all__ = ["adapted", "files", "model", "place", "taught", "tuned"]


@pytest.fixture
def tokenizer(model: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model)


@pytest.fixture
def copied(model: Path, place: Path) -> Path:
    """A copy of the model, to be tampered with."""
    return Path(shutil.copytree(model, place / "copy"))


@pytest.fixture(scope="session")
def stopped_once(files: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after step 3 of 4, with a checkpoint a step; read only."""
    import signal

    original = SingleDeviceEngine.update

    def signalled(self: SingleDeviceEngine, clip: float | None) -> Any:
        if self.updates == 2:
            signal.raise_signal(signal.SIGTERM)
        return original(self, clip)

    run = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SingleDeviceEngine, "update", signalled)
        called = luthier("tune", files / "labels.csv", "-m", model, *SETTINGS, "training.checkpoint_every=1", "--run",
                         run)  # fmt: skip
    assert called.code == 130
    assert {"step-00000002", "step-00000003"} <= set(runs_in(run / "checkpoints"))
    return run


@pytest.fixture
def stopped(stopped_once: Path, place: Path) -> Path:
    """A copy of that run, to be gone on with."""
    return Path(shutil.copytree(stopped_once, place / "run"))
