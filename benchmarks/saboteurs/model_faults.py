"""The faults of model folders, the same for every tool: all it has to do is to load the folder and begin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from material import planted_model

Plant = Callable[[Path], dict[str, Any]]


def plants_of_models(base: Callable[[Path], Path], begin: Callable[[Path, Path], Any]) -> dict[int, Plant]:
    """Return the plants of the faults that lie in a model's folder.

    Args:
        base: From a fault's work folder to the sound model.
        begin: Lets the tool work in a folder with a model.
    """

    def begun(folder: Path, fault: int) -> None:
        begin(folder, planted_model(base(folder), folder / "model", fault, folder / "trace"))

    def pointer(folder: Path) -> dict[str, Any]:
        begun(folder, 45)
        return {"harm": True, "measured": "no error"}

    def code(folder: Path, fault: int) -> dict[str, Any]:
        try:
            begun(folder, fault)
        except Exception:  # an error is only of interest where the code did not run before it
            if not (folder / "trace").exists():
                raise
        ran = (folder / "trace").exists()
        return {"harm": ran, "measured": "the code ran" if ran else "the code did not run"}

    def endless(folder: Path) -> dict[str, Any]:
        begun(folder, 49)
        return {"harm": False, "measured": "came to an end"}

    return {45: pointer, 47: lambda folder: code(folder, 47), 48: lambda folder: code(folder, 48), 49: endless}
