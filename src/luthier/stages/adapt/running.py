"""Running one candidate as a child run: what a bake-off and the last training of a cross-validation both do."""

from __future__ import annotations

from luthier.core import config
from luthier.core.errors import CompatibilityError, GuardError, OutOfMemoryError
from luthier.core.listener import Listener, OnlyProgress, Tracker
from luthier.core.run import RunDirectory
from luthier.core.stages import run_stage
from luthier.models.device import ran_out_of_memory
from luthier.models.memory import release_memory


def attempt(stage: str, recipe: config.Config, child: RunDirectory) -> str:
    """Run a candidate; returns why its method does not work here, or nothing."""
    try:
        run_stage(stage, recipe, child)
    except (CompatibilityError, GuardError, OutOfMemoryError) as error:
        return f"failed: {error}"
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        return "failed: there was not enough memory"
    finally:
        release_memory()
    return ""


class ProgressOf(OnlyProgress):
    """Passes on the progress of a part of a run under the part's title."""

    def __init__(self, title: str, listener: Listener) -> None:
        super().__init__(listener)
        self._title = title

    def track(self, description: str, total: float | None, unit: str = "", done: float = 0) -> Tracker:
        """Start a progress bar."""
        return super().track(f"{self._title}: {description}", total, unit, done)
