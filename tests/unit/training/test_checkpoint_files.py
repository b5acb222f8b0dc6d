"""Checkpoints: verified, skipped with a reason, rotated without losing the best."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from luthier.core.errors import GuardError
from luthier.core.files import write_json
from luthier.core.sealed import read_checked
from luthier.training.checkpoints import Checkpoints, verify


class FakeEngine:
    """Holds one tensor."""

    def __init__(self) -> None:
        self.weight = torch.zeros(3)

    def load_state_dict(self, state: Any) -> None:
        assert "random/torch" not in state["tensors"]
        self.weight = state["tensors"]["parameter/w"].clone()


class FakeState:
    """What Checkpoints needs of a TrainingState."""

    def __init__(self, step: int = 0) -> None:
        self.step = step
        self.engine = FakeEngine()
        self.engine.weight += step

    def state_dict(self) -> dict[str, Any]:
        tensors = {"parameter/w": self.engine.weight, "random/torch": torch.get_rng_state()}
        return {"tensors": tensors, "values": {"step": self.step, "engine": {}}}

    def load_state_dict(self, state: Any) -> None:
        self.step = state["values"]["step"]
        self.engine.weight = state["tensors"]["parameter/w"].clone()


def save(folder: Path, *steps: int, best: int | None = None, keep: int = 2) -> Checkpoints:
    checkpoints = Checkpoints(folder, keep)
    for step in steps:
        checkpoints.save(FakeState(step), best=step == best)  # type: ignore[arg-type]
    return checkpoints


def resume(folder: Path) -> tuple[int | None, list[str]]:
    state, said = FakeState(), []
    found = Checkpoints(folder).resume_newest_that_verifies(state, said.append)  # type: ignore[arg-type]
    if found:
        assert state.engine.weight.tolist() == [float(state.step)] * 3
    return (state.step if found else None), said


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_checkpoint_holds_safetensors_and_json_and_verifies(tmp_path: Path) -> None:
    save(tmp_path, 5)
    folder = tmp_path / "step-00000005"
    assert names(folder) == ["checkpoint.json", "tensors.safetensors", "values.json"]
    assert verify(folder) == ""
    assert resume(tmp_path) == (5, [])
    assert resume(tmp_path / "absent") == (None, [])


def test_of_two_the_newest_is_taken(tmp_path: Path) -> None:
    save(tmp_path, 9, 10)
    assert resume(tmp_path)[0] == 10


def damage(folder: Path, kind: str) -> None:
    tensors = folder / "tensors.safetensors"
    content = bytearray(tensors.read_bytes())
    if kind == "flipped":
        content[-1] ^= 1
        tensors.write_bytes(content)
    elif kind == "cut":
        tensors.write_bytes(content[:-4])
    elif kind == "missing":
        tensors.unlink()
    elif kind == "no manifest":
        (folder / "checkpoint.json").unlink()
    else:
        (folder / "checkpoint.json").write_text("{")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("flipped", "the checksum of tensors.safetensors differs"),
        ("cut", "tensors.safetensors has"),
        ("missing", "tensors.safetensors is missing"),
        ("no manifest", "its manifest is missing or broken"),
        ("torn manifest", "its manifest is missing or broken"),
    ],
)
def test_a_broken_newest_is_skipped_and_the_reason_said(tmp_path: Path, kind: str, reason: str) -> None:
    save(tmp_path, 5, 10)
    damage(tmp_path / "step-00000010", kind)
    step, said = resume(tmp_path)
    assert step == 5
    assert len(said) == 1
    assert said[0].startswith(f"checkpoint step-00000010 skipped: {reason}")
    damage(tmp_path / "step-00000005", kind)
    assert resume(tmp_path)[0] is None


def test_a_broken_checkpoint_is_replaced_when_the_run_comes_there_again(tmp_path: Path) -> None:
    save(tmp_path, 5, 10)
    damage(tmp_path / "step-00000010", "flipped")
    checkpoints = save(tmp_path, 10, best=10)
    assert verify(tmp_path / "step-00000010") == ""
    assert resume(tmp_path) == (10, [])
    state = FakeState(12)
    assert checkpoints.restore_best(state) == 10  # type: ignore[arg-type]
    assert state.engine.weight.tolist() == [10.0] * 3


def test_rotation_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    save(tmp_path, 1, 2, 3, 4, 5, best=2)
    assert names(tmp_path) == ["best.json", "step-00000002", "step-00000004", "step-00000005"]
    save(tmp_path, 6, best=6)
    assert names(tmp_path) == ["best.json", "step-00000005", "step-00000006"]
    assert read_checked(tmp_path / "best.json") == {"step": 6, "folder": "step-00000006"}


def test_the_best_is_restored_without_turning_back_the_random_state(tmp_path: Path) -> None:
    checkpoints = save(tmp_path, 1, 2, 3, best=1)
    before = torch.get_rng_state()
    state = FakeState(3)
    assert checkpoints.restore_best(state) == 1  # type: ignore[arg-type]
    assert state.engine.weight.tolist() == [1.0] * 3
    assert torch.equal(torch.get_rng_state(), before)
    assert Checkpoints(tmp_path / "absent").restore_best(state) is None  # type: ignore[arg-type]


def test_a_broken_best_is_not_restored(tmp_path: Path) -> None:
    checkpoints = save(tmp_path, 1, 2, best=1)
    damage(tmp_path / "step-00000001", "flipped")
    state = FakeState(2)
    with pytest.raises(GuardError, match=r"best checkpoint .* is broken: the checksum .*keep_best=false"):
        checkpoints.restore_best(state)  # type: ignore[arg-type]
    assert state.engine.weight.tolist() == [2.0] * 3


def test_a_kill_while_saving_leaves_nothing_that_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 5)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, 10)
    assert names(tmp_path) == ["step-00000005"]
    killed_outright = tmp_path / ".step-00000010.999.part"  # a kill that no program sees
    killed_outright.mkdir()
    (killed_outright / "tensors.safetensors").write_bytes(b"half")
    assert resume(tmp_path) == (5, [])
    save(tmp_path, 11)
    assert names(tmp_path) == ["step-00000005", "step-00000011"]  # what the kill left is gone


def test_a_file_may_be_added_to_a_checkpoint_but_not_changed(tmp_path: Path) -> None:
    save(tmp_path, 5)
    (tmp_path / "step-00000005" / "note.txt").write_text("mine")
    assert verify(tmp_path / "step-00000005") == ""
    write_json(tmp_path / "step-00000005" / "values.json", {"step": 6})
    assert "values.json" in verify(tmp_path / "step-00000005")
