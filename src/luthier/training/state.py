"""All that changes during training, in one place: a checkpoint is this and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from luthier.core.protocols import Stateful
from luthier.models.device import random_state, set_random_state
from luthier.training.engine.contract import Engine
from luthier.training.source import WorkSource
from luthier.training.step import StepRecord, train_step


@dataclass
class TrainingState:
    """Everything a resumed run needs to equal an uninterrupted one bit for bit.

    On a CPU. On a GPU some kernels add up in the order in which they end, resumed or not: there, a run equals itself
    only up to rounding.
    """

    engine: Engine
    source: WorkSource
    clip: float | None = 1.0
    step: int = 0
    parts: dict[str, Stateful] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """Return tensors under "tensors", all else as JSON values under "values"."""
        engine = dict(self.engine.state_dict())
        tensors = engine.pop("tensors")
        tensors["random/torch"] = torch.get_rng_state()
        if (state := random_state(self._device)) is not None:
            tensors["random/device"] = state
        values = {
            "step": self.step,
            "engine": engine,
            "source": self.source.state_dict(),
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
        }
        return {"tensors": tensors, "values": values}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        values, tensors = state["values"], dict(state["tensors"])
        torch.set_rng_state(tensors.pop("random/torch"))
        if (random := tensors.pop("random/device", None)) is not None:
            set_random_state(self._device, random)
        self.engine.load_state_dict({"tensors": tensors, **values["engine"]})
        self.source.load_state_dict(values["source"])
        self.step = int(values["step"])
        for name, part in self.parts.items():
            part.load_state_dict(values["parts"][name])

    @property
    def _device(self) -> torch.device:
        return next(self.engine.model.parameters()).device


def fit(state: TrainingState) -> Iterator[StepRecord]:
    """Train until the source is finished, yielding a record an update.

    Evaluating, logging, saving and stopping are plain statements in the loop of whoever iterates.
    """
    state.engine.model.train()
    while (work := state.source.next()) is not None:
        record = train_step(state.engine, work, state.clip)
        state.step += 1
        yield replace(record, step=state.step)
        state.engine.model.train()
