"""Checkpoints that are whole or absent.

A checkpoint is staged in a folder of its own, every file synced, a manifest with sizes and SHA-256 written last, and
the folder renamed. Resume takes the newest that verifies and says which it skipped. Tensors are safetensors, all else
JSON.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from luthier.core.errors import GuardError
from luthier.core.files import read_json, sha256_file, staged_folder, write_json
from luthier.training.state import TrainingState

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
        final = self.folder / f"step-{state.step:08d}"
        if final.exists() and verify(final):  # skipped at resume; the run has come here again
            shutil.rmtree(final)
        if not final.exists():
            self._write(state.state_dict(), final)
        if best:
            write_json(self.folder / "best.json", {"step": state.step, "folder": final.name})
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
            GuardError: if the best checkpoint does not verify.
        """
        record = self.folder / "best.json"
        if not record.exists():
            return None
        best = read_json(record)
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
            save_file({k: v.contiguous() for k, v in state["tensors"].items()}, staged / "tensors.safetensors")
            write_json(staged / "values.json", state["values"])
            files = {p.name: {"bytes": p.stat().st_size, "sha256": sha256_file(p)} for p in sorted(staged.iterdir())}
            write_json(staged / _MANIFEST, {"step": state["values"]["step"], "files": files})

    def _all(self) -> list[Path]:
        return [p for p in self.folder.glob("step-*") if p.is_dir()] if self.folder.exists() else []

    def _rotate(self) -> None:
        """Delete old checkpoints, never the best one and never the newest that verifies."""
        record = self.folder / "best.json"
        best = read_json(record)["folder"] if record.exists() else None
        for old in sorted(self._all())[: -self.keep]:
            if old.name != best:
                shutil.rmtree(old)
        for torn in self.folder.glob(".step-*.part"):
            shutil.rmtree(torn, ignore_errors=True)


def verify(folder: Path) -> str:
    """Return what is wrong with a checkpoint, or an empty string."""
    try:
        files = read_json(folder / _MANIFEST)["files"]
    except (OSError, ValueError, KeyError):
        return "its manifest is missing or broken"
    for name, wanted in files.items():
        path = folder / name
        if not path.exists():
            return f"{name} is missing"
        if path.stat().st_size != wanted["bytes"]:
            return f"{name} has {path.stat().st_size} bytes instead of {wanted['bytes']}"
        if sha256_file(path) != wanted["sha256"]:
            return f"the checksum of {name} differs"
    return ""


def _read(folder: Path) -> dict[str, Any]:
    try:
        return {"tensors": load_file(folder / "tensors.safetensors"), "values": read_json(folder / "values.json")}
    except SafetensorError as error:
        raise OSError(f"{folder} cannot be read: {error}") from error


def _without_random(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("random/")}
