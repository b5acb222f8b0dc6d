"""Fixtures of the end-to-end tests: a place to work, small data files, a tiny model, runs that several tests read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import SETTINGS, dialogue_rows, done, label_rows, ticket_rows, write_rows
from interrupting import WAVE

Made = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def files(made_once: Made) -> Path:
    """A folder with labels.csv, tickets.csv and dialogues.jsonl; never written to."""

    def fill(folder: Path) -> None:
        write_rows(folder / "labels.csv", label_rows())
        write_rows(folder / "tickets.csv", ticket_rows())
        write_rows(folder / "dialogues.jsonl", dialogue_rows())

    return made_once("files", fill)


@pytest.fixture(scope="session")
def model(tiny_folder: Callable[[str], Path]) -> Path:
    """A tiny random model."""
    return tiny_folder("llama")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def tuned(files: Path, model: Path, made_once: Made) -> Path:
    """A finished run of `tune` with LoRA on labels.csv; read only."""

    def fill(folder: Path) -> None:
        done("tune", files / "labels.csv", "-m", model, "--run", folder / "lora", *SETTINGS)

    return made_once("tuned", fill) / "lora"


@pytest.fixture(scope="session")
def adapted(files: Path, model: Path, made_once: Made) -> Path:
    """A finished run of `adapt` on tickets.csv; read only."""

    def fill(folder: Path) -> None:
        done("adapt", files / "tickets.csv", "-m", model, "--run", folder / "run", "--budget", "1h", "--target", "0.8")

    return made_once("adapted", fill) / "run"


@pytest.fixture(scope="session")
def taught(files: Path, model: Path, made_once: Made) -> Path:
    """A finished run of full tuning that has learned the labels; read only."""

    def fill(folder: Path) -> None:
        rows = write_rows(folder / "rows.csv", label_rows(tune=72))
        done("tune", rows, "-m", model, "--run", folder / "full", "adapter.method=full", "training.learning_rate=1e-2",
             "training.epochs=6", "batch.sequences=8", "precision=fp32")  # fmt: skip

    return made_once("taught", fill) / "full"


@pytest.fixture(scope="module")
def same_waves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compute as the forked processes do: one thread, small waves; and let them use a cache of the test run."""
    import torch

    from luthier.evaluation import answering

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answering, "WAVE", WAVE)
        patch.setenv("LUTHIER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
    torch.set_num_threads(before)
