"""What runs take on disk, and giving it back: sizes, the weights of candidates that lost, whole runs.

A folder is renamed to a hidden name first and deleted then, so that a process killed in between never leaves half of a
model under the name of a whole one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from luthier.core.errors import BudgetError, LuthierError, RunError, unknown_name
from luthier.core.files import remove_staged
from luthier.core.run import RunDirectory

_FORGOTTEN = ("adapter", "model", "checkpoints")
WEIGHTS = (*_FORGOTTEN, "merged")
"""Folders of a run that hold weights. A merged model was asked for by a person: it is counted, never forgotten."""


# ---------------------------------------------------------------------------------------------------- finding, sizes


def disk_use(folder: Path) -> int:
    """Return the bytes of all files below a folder: their lengths. Links are not followed; what vanishes counts 0."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(place) / name).lstat().st_size
    return total


def weights_use(run: RunDirectory) -> int:
    """Return the bytes of weights in a run and its children: adapters, models, merged models, checkpoints."""
    return sum(disk_use(member.path / name) for member in _family(run) for name in WEIGHTS)


def runs_in(folder: Path) -> list[RunDirectory]:
    """Return the runs that lie in a folder, by number, then by name; none if there is no such folder."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if not path.name.startswith(".") and RunDirectory.is_run(path)]
    return [RunDirectory(path) for path in sorted(found, key=_by_number)]


def is_at_work(run: RunDirectory) -> bool:
    """Say whether a process holds the run at this moment; a run that was killed still has the status "running"."""
    import filelock

    if not (run.path / ".lock").exists():
        return False
    lock = filelock.FileLock(run.path / ".lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        return True
    except (NotImplementedError, OSError):  # a file system without locks, or one that cannot be written to
        return False
    lock.release()
    return False


def _by_number(path: Path) -> tuple[int, int, str]:
    return (0, int(path.name), "") if path.name.isdecimal() else (1, 0, path.name)


def _family(run: RunDirectory) -> Iterator[RunDirectory]:
    """Yield a run, its children and theirs."""
    yield run
    for child in run.children():
        yield from _family(child)


def require_room(folder: Path, needed_bytes: int, what: str) -> None:
    """Stop before anything is begun that the disk cannot hold.

    Raises:
        BudgetError: with what is needed and what is free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise BudgetError(
            f"{what} needs up to {needed_bytes / 1e6:,.0f} MB on disk, and {free / 1e6:,.0f} MB are free at {folder}. "
            "Free some space (luthier runs shows what runs take), or put the run on another disk with --run DIR."
        )


# ------------------------------------------------------------------------------------- weights that can no longer win


def forget_losers(run: RunDirectory, kept: set[str]) -> int:
    """Remove the weights of child runs that lost; their recipes, scores and answers stay.

    Children that a kept one was built on (its recipe names them as model) stay as well. A child that another process
    is at work on is left alone.

    Args:
        run: A bake-off that has chosen.
        kept: Names of the child runs whose weights stay.

    Returns:
        Bytes freed. Each child remembers its share as `forgotten_bytes` in the manifest.

    Raises:
        RunError: if `kept` names a child that is not there; nothing is removed then.
    """
    children = {child.path.name: child for child in run.children()}
    for name in sorted(kept - children.keys()):
        raise unknown_name("child run", name, children, RunError)
    spared = _with_foundations(children, kept)
    losers = [child for name, child in children.items() if name not in spared and not is_at_work(child)]
    return sum(_forget_weights(member) for loser in losers for member in _family(loser))


def _with_foundations(children: dict[str, RunDirectory], kept: set[str]) -> set[str]:
    spared, waiting = set(kept), list(kept)
    while waiting:
        needed = needs(children[waiting.pop()])
        found = {name for name, child in children.items() if _lies_in(needed, child.path)} - spared
        spared |= found
        waiting += found
    return spared


def _forget_weights(run: RunDirectory) -> int:
    remove_staged(run.path)  # what a kill left of an earlier removal
    folders = [run.path / name for name in _FORGOTTEN if (run.path / name).is_dir()]
    if freed := sum(map(disk_use, folders)):  # said before it is done: then it is known to be gone
        run.update(forgotten_bytes=max(run.manifest.get("forgotten_bytes", 0), freed))
    for folder in folders:
        _remove(folder)
    return freed


# ------------------------------------------------------------------------------------------------------ deleting runs


def needs(run: RunDirectory) -> list[Path]:
    """Return where a run's recipe points to for what it cannot do without: models, at any depth of the recipe.

    An unfinished run also needs what it answers with and the rows it reads; a finished one has copies of them. Names of
    models that are no paths are among the results and do no harm: nothing lies there.
    """
    try:
        manifest, recipe = run.manifest, run.recipe
    except (OSError, ValueError, LuthierError):  # a broken run needs nothing: it cannot go on
        return []
    keys = {"model", "models"} if manifest.get("status") == "finished" else {"model", "models", "answerer", "path"}
    places = {Path(manifest.get("folder", ".")), Path.cwd()}  # runs may have been moved with their project
    return [(place / text).resolve() for text in _texts(recipe, keys) for place in places]


def _texts(value: Any, keys: set[str], wanted: bool = False) -> Iterator[str]:
    """Yield the texts that stand under some keys of a recipe, wherever these are."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, keys, key in keys)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, keys, wanted)
    elif wanted and isinstance(value, str):
        yield value


def _lies_in(paths: Iterable[Path], folder: Path) -> bool:
    return any(path.is_relative_to(folder.resolve()) for path in paths)


def check_deletable(paths: Sequence[Path], others: Iterable[RunDirectory]) -> None:
    """Stop if something must not be deleted.

    Args:
        paths: What is to be deleted, together.
        others: Runs that may depend on them; those among `paths` do not count.

    Raises:
        RunError: with a line for each path that is no run, is at work, is a part of a run, holds other runs, or is
            needed by another run.
    """
    doomed = {path.resolve() for path in paths}
    staying = [run for run in others if run.path.resolve() not in doomed]
    problems = [problem for path in paths if (problem := _problem(path, staying))]
    if problems:
        raise RunError("Nothing was deleted. " + "\n".join(problems))


def _problem(path: Path, staying: Sequence[RunDirectory]) -> str:
    """Say why a path must not be deleted; an empty text if it may."""
    if path.is_symlink():
        return f"{path} is a link: name the run that it points to."
    if not path.exists():
        return f"There is no run {path}."
    if not RunDirectory.is_run(path):
        return f"{path} is not a run directory (it has no manifest.json and recipe.yaml)."
    place = path.resolve()
    if place.parent.name == "children" and RunDirectory.is_run(place.parent.parent):
        return f"{path} is a part of the run {place.parent.parent.name}: delete that one as a whole."
    run = RunDirectory(place)
    if any(map(is_at_work, _family(run))):
        return f"A process is at work on {path}: wait until it has ended, or stop it."
    if strangers := _runs_inside(place):
        return f"{path} holds runs that are no part of it ({', '.join(strangers)}): move them elsewhere first."
    if users := [str(other.path) for other in staying if any(_lies_in(needs(m), place) for m in _family(other))]:
        return f"{path} is the model of {', '.join(users)}: delete what needs it too, or keep it."
    return ""


def _runs_inside(place: Path) -> list[str]:
    """Return runs below a run that it did not make."""
    below = [file.parent for file in place.rglob("manifest.json") if file.parent != place]
    return [str(p.relative_to(place)) for p in below if RunDirectory.is_run(p) and p.parent.name != "children"]


def delete_run(path: Path) -> int:
    """Delete a run for good (see `check_deletable`); returns the bytes freed."""
    return _remove(path.resolve())


def _remove(folder: Path) -> int:
    """Delete a folder under another name; returns its bytes."""
    freed = disk_use(folder)
    hidden = folder.with_name(f".{folder.name}.{os.getpid()}.part")  # `RunDirectory.working` clears what a kill left
    os.replace(folder, hidden)
    shutil.rmtree(hidden)
    return freed
