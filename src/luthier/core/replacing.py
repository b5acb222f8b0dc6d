"""Making room for a run: the one it replaces is put aside, and deleted only when the new one has made something."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.core.errors import RunError
from luthier.core.record import RECORD

if TYPE_CHECKING:
    from luthier.core.run import RunDirectory

_MADE = ("metrics.jsonl", "steps/*.json", "evaluation/*.jsonl", "checkpoints/*", "children/*/manifest.json")


def make_room(run: RunDirectory, overwrite: bool) -> None:
    """Put aside what stands where a run is to be made.

    Raises:
        RunError: if it is no run, is at work, or must not be replaced.
    """
    if not run.path.exists() and _replaced(run).exists():  # a kill came just after it was put aside
        os.replace(_replaced(run), run.path)
    if not run.path.exists() or not any(run.path.iterdir()):
        return
    if not run.is_run(run.path):
        if _hardly_begun(run.path):
            shutil.rmtree(run.path)
            return
        raise RunError(
            f"{run.path} exists and is not a run directory; --overwrite only replaces runs. Choose another place "
            "with --run DIR."
        )
    if not overwrite:
        raise RunError(f"{run.path} already exists. Go on with it: luthier resume {run.path}. Replace it: --overwrite.")
    with run.working():
        pass  # nobody else is
    shutil.rmtree(_replaced(run), ignore_errors=True)
    os.replace(run.path, _replaced(run))


def _hardly_begun(folder: Path) -> bool:
    """Say whether a folder is what a kill left of a run that was being made: it had no manifest yet, and no results."""
    names = {path.name for path in folder.iterdir()}
    steps = list((folder / "steps").iterdir()) if "steps" in names else ["none"]
    return not steps and all(name in ("steps", RECORD, "recipe.yaml") or name.endswith(".part") for name in names)


def _replaced(run: RunDirectory) -> Path:
    """Where the run is kept that this one replaces."""
    return run.path.with_name(f".{run.path.name}.replaced")


def settle(run: RunDirectory) -> bool:
    """Let a run that made something replace the one put aside for it; one that made nothing goes without trace.

    Returns:
        Whether the run stays.
    """
    if made_something(run):
        shutil.rmtree(_replaced(run), ignore_errors=True)
        return True
    shutil.rmtree(run.path, ignore_errors=True)
    if _replaced(run).exists():
        os.replace(_replaced(run), run.path)
    elif run.path.parent == Path("runs"):
        with suppress(OSError):  # it holds other runs
            run.path.parent.rmdir()
    return False


def made_something(run: RunDirectory) -> bool:
    """Say whether there is anything that would have to be computed again; a run that cannot be read counts as that."""
    if not run.is_run(run.path):
        return False
    if any(next(run.path.glob(name), None) for name in _MADE):
        return True
    try:
        return run.status in ("paused", "finished")
    except RunError:
        return True
