"""What a training loop needs of an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from luthier.core.errors import GuardError
from luthier.core.protocols import Stateful
from luthier.models.readout_model import LossOutput, ReadoutModel, Work


class NotFiniteError(GuardError):
    """A loss or a gradient is infinite or no number; nothing of it has reached the weights."""


@dataclass(frozen=True)
class UpdateRecord:
    """One optimizer update: the gradient's norm before clipping, and the learning rate it was made with."""

    gradient_norm: float
    learning_rate: float


class Engine(Stateful, Protocol):
    """Runs forwards and backwards and makes updates, on one device or many.

    Attributes:
        averaging: The factor by which the backend divides gradients when it combines ranks (1 on a single device).
    """

    model: ReadoutModel
    averaging: float

    def sum_over_ranks(self, units: Mapping[str, float]) -> dict[str, float]:
        """Sum units over all ranks, in one small reduction."""
        ...

    def forward(self, work: Work) -> LossOutput:
        """Compute the totals of one piece of work."""
        ...

    def backward(self, loss: Tensor, last: bool) -> None:
        """Accumulate gradients; `last` says that the update follows."""
        ...

    def update(self, clip: float | None) -> UpdateRecord:
        """Check that the gradient is finite, clip it, update and clear it.

        Raises:
            GuardError: on a gradient that is not finite, or missing where something is trained.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return trained parameters, optimizer moments and step."""
        ...
