"""Stages by name. A stage is `run(config, run)`; all it needs is the config, all it yields is the run directory.

No stage imports a stage: a stage that needs another calls `run_stage`, which finds it in a lazy table.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from luthier.core.config import Config
from luthier.core.errors import RunError, unknown_name
from luthier.core.recipe_text import load_recipe
from luthier.core.run import RunDirectory
from luthier.core.stopping import Paused

STAGES = {
    "adapt": "luthier.stages.adapt",
    "tune": "luthier.stages.tune",
    "prompt": "luthier.stages.prompt",
    "baseline": "luthier.stages.baseline",
    "evaluate": "luthier.stages.evaluate",
    "answer": "luthier.stages.answer",
    "judge": "luthier.stages.judge",
    "compare": "luthier.stages.judged_comparison",
}
"""Stage name -> module with `Config` (its recipe) and `run(config, run)`."""


def _module(name: str) -> ModuleType:
    if name not in STAGES:
        raise unknown_name("stage", name, STAGES)
    return importlib.import_module(STAGES[name])


def config_class(name: str) -> type[Config]:
    """Return the recipe class of a stage."""
    found: type[Config] = _module(name).Config
    return found


def run_stage(name: str, config: Config, run: RunDirectory) -> RunDirectory:
    """Run a stage to its end unless it has ended before; a stop marks it as paused and unwinds.

    Raises:
        Paused: if a stop was asked for; its text says how to go on.
        RunError: if another process is at work on the run, or its directory vanishes meanwhile.
    """
    if run.status == "finished":
        run.tidy()
        return run
    module = _module(name)
    with run.working():
        run.update(status="running")
        try:
            module.run(config, run)
        except (Paused, KeyboardInterrupt, BrokenPipeError) as stop:
            run.pause()
            raise type(stop)(f"Go on with: luthier resume {run.path}") from None
        except Exception as error:
            if not RunDirectory.is_run(run.path):
                raise _gone(run) from error
            run.fail(f"{type(error).__name__}: {error}")
            raise
    return run


def _gone(run: RunDirectory) -> RunError:
    return RunError(
        f"The run directory {run.path} is gone: it was moved or deleted while the run was at work, so its results "
        "could not be written. If it was moved, go on with it there: luthier resume NEW_PLACE. Else start again."
    )


def recipe_of(run: RunDirectory) -> Any:
    """Return the parsed recipe of an existing run."""
    run.files.read("recipe.yaml")  # refused if it is not what the run wrote
    path = run.path / "recipe.yaml"
    text = load_recipe(path)
    return config_class(run.manifest["stage"]).parse(text.values, str(path), text.lines)
