"""TensorBoard events under the tags that hosted tuning services use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any


class TensorBoardLog:
    """Writes scalars, each name as a tag `/name`; use it as a context manager.

    Args:
        folder: Where event files go.
        step: Steps already done; later ones of an interrupted run are purged.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        self._step = step
        self._writer: Any = None

    def __enter__(self) -> TensorBoardLog:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(self._folder), purge_step=self._step + 1)
        return self

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Write all numbers of one step."""
        for name, value in values.items():
            if name != "step":
                self._writer.add_scalar(f"/{name}", value, step)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
