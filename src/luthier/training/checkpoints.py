"""Checkpoints that are whole or absent.

A checkpoint is staged in a folder of its own, every file synced, a manifest with sizes and SHA-256 written last, and
the folder renamed. Resume takes the newest that verifies and says which it skipped. Tensors are safetensors, all else
JSON. An old checkpoint goes only when a newer one is safe, under another name first.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from luthier.core.errors import GuardError
from luthier.core.files import read_json, staged_folder, write_json, write_synced
from luthier.core.sealed import problem_of, read_checked, seal, with_check
from luthier.training.state import TrainingState
from luthier.training.tensor_file import tensor_pieces

_MANIFEST = "checkpoint.json"


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: Where they are.
        keep: How many of the newest stay, the best one apart.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep

    def save(self, state: TrainingState, *, best: bool = False) -> Path:
        """Write the state as it is between two updates; `best` makes it the one that `restore_best` takes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        final = self.folder / _name(state.step)
        if final.exists() and verify(final):  # skipped at resume; the run has come here again
            _delete(final)
        if not final.exists():
            self._write(state.state_dict(), final)
        if best:
            write_json(self.folder / "best.json", with_check({"step": state.step, "folder": final.name}))
        self._rotate()
        return final

    def resume_newest_that_verifies(self, state: TrainingState, say: Callable[[str], None] = lambda text: None) -> bool:
        """Load the newest checkpoint that verifies; says which were skipped and why. False if there is none."""
        for folder in sorted(self._all(), reverse=True):
            problem = verify(folder)
            if problem:
                say(f"checkpoint {folder.name} skipped: {problem}")
                continue
            state.load_state_dict(_read(folder))
            return True
        return False

    def restore_best(self, state: TrainingState) -> int | None:
        """Load the best checkpoint's trained parameters; returns its step, or None if none was marked.

        Raises:
            GuardError: if the best checkpoint, or the note of which it is, does not verify.
        """
        best = self._best()
        if best is None:
            return None
        if best["step"] != state.step:
            folder = self.folder / best["folder"]
            if problem := verify(folder):
                raise GuardError(
                    f"The best checkpoint {folder} is broken: {problem}. Start the run again, or keep the last weights "
                    "with training.keep_best=false."
                )
            stored = _read(folder)
            state.engine.load_state_dict({"tensors": _without_random(stored["tensors"]), **stored["values"]["engine"]})
        return int(best["step"])

    def remove(self) -> None:
        """Delete all: the run is finished and its adapter saved."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, state: dict[str, Any], final: Path) -> None:
        with staged_folder(final) as staged:
            write_synced(staged / "tensors.safetensors", tensor_pieces(state["tensors"]))
            write_json(staged / "values.json", state["values"])
            seal(staged, _MANIFEST, step=state["values"]["step"])

    def _all(self) -> list[Path]:
        return [p for p in self.folder.glob("step-*") if p.is_dir()] if self.folder.exists() else []

    def _best(self) -> dict[str, Any] | None:
        """Return which checkpoint is the best one; None if none was marked."""
        record = self.folder / "best.json"
        if not record.exists():
            return None
        try:
            found = read_checked(record)
            if found != {"step": found.get("step"), "folder": _name(int(found.get("step", -1)))}:
                raise ValueError(f"{record.name} holds something else")
            return found
        except ValueError as error:
            raise GuardError(
                f"{record} is broken, so nobody knows which checkpoint is the best one: {error}. Put it back from a "
                "copy, or start the run again."
            ) from None

    def _rotate(self) -> None:
        """Delete old checkpoints, never the best one and never the newest that verifies."""
        best = self._best()
        for old in sorted(self._all())[: -self.keep]:
            if best is None or old.name != best["folder"]:
                _delete(old)
        for torn in self.folder.glob(".step-*.part"):
            shutil.rmtree(torn, ignore_errors=True)


def verify(folder: Path) -> str:
    """Return what is wrong with a checkpoint, or an empty string."""
    if problem := problem_of(folder, _MANIFEST):
        return problem
    step = read_json(folder / _MANIFEST).get("step")
    return "" if folder.name == _name(step) else f"it is of step {step}, not of the one in its name"


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _delete(folder: Path) -> None:
    """Delete a checkpoint under another name: a kill in between leaves none that is half."""
    hidden = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(hidden, ignore_errors=True)
    os.replace(folder, hidden)
    shutil.rmtree(hidden)


def _read(folder: Path) -> dict[str, Any]:
    try:
        return {"tensors": load_file(folder / "tensors.safetensors"), "values": read_json(folder / "values.json")}
    except SafetensorError as error:
        raise OSError(f"{folder} cannot be read: {error}") from error


def _without_random(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("random/")}
