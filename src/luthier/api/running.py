"""Making runs and going on with them: what all verbs end in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from luthier.core.config import Config
from luthier.core.errors import ConfigError, LuthierError
from luthier.core.listener import Listener
from luthier.core.run import RunDirectory
from luthier.core.stages import recipe_of, run_stage
from luthier.core.stopping import StopFlag
from luthier.handle import Run


def start(
    stage: str,
    recipe: Config,
    *,
    run: str | Path | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
    stop: StopFlag | None = None,
) -> Run:
    """Run a stage in a new run directory; where nothing could be done, none is left."""
    directory = RunDirectory.create(Path(run) if run else None, stage, recipe, overwrite=overwrite, listener=listener)
    directory.stop = directory.stop if stop is None else stop
    try:
        run_stage(stage, recipe, directory)
    except (LuthierError, OSError) as error:
        if directory.made_something:
            error.add_note(_kept(directory))
        raise
    finally:
        directory.settle()
    return Run(directory)


def _kept(run: RunDirectory) -> str:
    return f"What was done is kept in {run.path}; luthier resume {run.path} goes on with it."


def resume(run: str | Path, *, listener: Listener | None = None, stop: StopFlag | None = None) -> Run:
    """Go on with an interrupted run; a finished one is returned as it is."""
    require_run_or_file(run)
    directory = RunDirectory.open(Path(run), listener)
    directory.stop = directory.stop if stop is None else stop
    stage, status = directory.manifest["stage"], directory.status
    if status == "finished":
        directory.tidy()
        directory.listener.say(f"`{directory.path}` ({stage}) is finished: there is nothing left to do.")
        return Run(directory)
    directory.listener.say(f"Going on with `{directory.path}` ({stage}).")
    with begun_elsewhere(directory.path):
        try:
            run_stage(stage, recipe_of(directory), directory)
        except OSError as error:
            error.add_note(_kept(directory))
            raise
    directory.settle()
    return Run(directory)


@contextmanager
def begun_elsewhere(run: Path) -> Iterator[None]:
    """Say with an error that the paths in a run's recipe are seen from another folder, if they are."""
    try:
        yield
    except LuthierError as error:
        begun_in = os.getcwd()
        with suppress(LuthierError):  # a manifest that cannot be read is what the error is about
            begun_in = RunDirectory(run).manifest.get("folder", begun_in) if RunDirectory.is_run(run) else begun_in
        if begun_in != os.getcwd():
            error.add_note(f"The run was begun in {begun_in}: the paths in its recipe are seen from there.")
        raise


def data_section(data: str | Path, read: dict[str, Any] | None, kind: str | None, seed: int) -> dict[str, Any]:
    """Return the `data` section of a recipe."""
    if RunDirectory.is_run(Path(data)):
        raise ConfigError(
            f"{data} is a run directory, not data. Go on with it: luthier resume {data}. Its recipe can be run again: "
            f"luthier tune {data}/recipe.yaml."
        )
    given = {key: value for key, value in (read or {}).items() if value is not None}
    return {"path": str(data), "read": given, "kind": kind, "seed": seed}


def require_run_or_file(spec: str | Path) -> None:
    """Stop where a run or a file was meant and nothing is there, before anything is made or fetched."""
    from luthier.evaluation.opening import require_there

    require_there(str(spec))
