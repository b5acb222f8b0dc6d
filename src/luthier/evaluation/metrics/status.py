"""How answers ended: empty, cut at the output limit, failed. Lower is better; none needs a right answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from luthier.core.types import Answer, Example
from luthier.evaluation.metrics.rows import identity_text, mean_of_first_column


@dataclass(frozen=True)
class _Status:
    name = ""
    higher_is_better = False
    reduction = "mean"
    bounds = (0.0, 1.0)

    @property
    def identity(self) -> str:
        """Name with all settings."""
        return identity_text(self.name)

    def measure(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """Return (1.0,) if the answer ended in this way, else (0.0,)."""
        return (float(self._ended_so(answer)),)

    def value(self, rows: Any) -> Any:
        """Map rows `[..., n, 1]` to shares `[...]`."""
        return mean_of_first_column(rows)

    def _ended_so(self, answer: Answer) -> bool:
        raise NotImplementedError


@dataclass(frozen=True)
class Empty(_Status):
    """Share of answers without a visible character (0 to 1); failed and missing answers are among them."""

    name = "empty"

    def _ended_so(self, answer: Answer) -> bool:
        return answer.finish == "failed" or not answer.text.strip()


@dataclass(frozen=True)
class Cut(_Status):
    """Share of answers cut at the output limit before they ended their turn (0 to 1)."""

    name = "cut"

    def _ended_so(self, answer: Answer) -> bool:
        return answer.finish == "length"


@dataclass(frozen=True)
class Failed(_Status):
    """Share of answers that failed or are missing (0 to 1)."""

    name = "failed"

    def _ended_so(self, answer: Answer) -> bool:
        return answer.finish == "failed"
