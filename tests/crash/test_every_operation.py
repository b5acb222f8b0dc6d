"""A save that is interrupted at each of its operations leaves the old state or the new one, and can be done again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from scenarios import OF_FILES, Scenario, endure, saved_weights

from luthier.adapters.full import Full
from luthier.adapters.lora import Lora, LoraConfig
from luthier.core import files, record
from luthier.training import checkpoints

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


@pytest.mark.parametrize("scenario", OF_FILES, ids=lambda scenario: scenario.name)
def test_every_point_leaves_the_old_or_the_new(scenario: Scenario, tmp_path: Path) -> None:
    passed = endure(scenario, tmp_path)
    assert passed["kill"] == passed["EIO"] == passed["ENOSPC"] >= 4
    assert passed["short"] >= 1


@pytest.mark.parametrize("name", ["adapter", "model"])
def test_every_point_of_saving_weights(name: str, tiny: Callable[..., Any], tmp_path: Path) -> None:
    method: Any = Lora(LoraConfig(rank=2)) if name == "adapter" else Full()
    loaded = tiny()
    attached = method.attach(loaded)
    passed = endure(saved_weights(name, attached, Path(loaded.facts.folder or "")), tmp_path)
    assert passed["kill"] >= 8


# ------------------------------------------------------------------------------------------------ negative controls


def scenario_named(name: str) -> Scenario:
    return next(scenario for scenario in OF_FILES if scenario.name == name)


def written_in_place(path: Path, content: str | bytes) -> None:
    with getattr(files, "open", open)(path, "wb") as file:  # the one that counts and fails, where there is one
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def filled_in_place(final: Path) -> Iterator[Path]:
    final.mkdir(parents=True, exist_ok=True)
    yield final


@pytest.mark.parametrize(
    ("name", "module", "protection", "instead"),
    [
        ("run finished", record, "write_atomically", written_in_place),
        ("later checkpoint, the oldest goes", checkpoints, "problem_of", None),
        ("later checkpoint, the oldest goes", files, "require_bytes", None),
        ("wave of answers stored", record.RunFiles, "_entries", None),
    ],
)
def test_without_its_protection_a_point_fails(
    name: str, module: Any, protection: str, instead: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative controls: written in place; a checkpoint taken unverified; sizes not compared; no record kept."""
    if protection == "problem_of":
        monkeypatch.setattr(checkpoints, "staged_folder", filled_in_place)
        monkeypatch.setattr(checkpoints, "verify", lambda folder: "")
    nothing: Any = (lambda *_: None) if protection != "_entries" else (lambda self, name: None)
    monkeypatch.setattr(module, protection, instead or nothing)
    with pytest.raises(AssertionError, match=rf"^{name}: "):
        endure(scenario_named(name), tmp_path)
