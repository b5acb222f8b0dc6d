"""Early stopping on a validation loss, and which step was the best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


class EarlyStopping:
    """Stops after `patience` validations without improvement; None never stops but still knows the best step."""

    def __init__(self, patience: int | None = None, min_delta: float = 0.0) -> None:
        self.patience = patience
        self.min_delta = min_delta
        self.best: float | None = None
        self.best_step = 0
        self._since = 0

    def observe(self, step: int, value: float) -> None:
        """Take in one validation; lower is better, and what is not finite never is an improvement."""
        if math.isfinite(value) and (self.best is None or value < self.best - self.min_delta):
            self.best, self.best_step, self._since = value, step, 0
        else:
            self._since += 1

    @property
    def is_best(self) -> bool:
        """Whether the latest validation was the best one."""
        return self.best is not None and self._since == 0

    @property
    def satisfied(self) -> bool:
        """Whether it is time to stop."""
        return self.patience is not None and self._since >= self.patience

    def state_dict(self) -> Mapping[str, Any]:
        """Return what was seen."""
        return {"best": self.best, "best_step": self.best_step, "since": self._since}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what was seen."""
        self.best, self.best_step, self._since = state["best"], state["best_step"], state["since"]
