"""One process, one device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from luthier.core.errors import GuardError
from luthier.models.readout_model import LossOutput, ReadoutModel, Work
from luthier.training.engine.contract import NotFiniteError, UpdateRecord
from luthier.training.optim import OptimizerConfig, Schedule, build_optimizer

_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}
"""What AdamW keeps of each trained tensor after its first update."""


class SingleDeviceEngine:
    """Training on one device: gradients accumulate in place, nothing is averaged.

    Args:
        model: The module that is called; its attached adapters' parameters are trained.
        optimizer: Settings of the optimizer.
        schedule: Learning rate by update.
    """

    averaging = 1.0

    def __init__(self, model: ReadoutModel, optimizer: OptimizerConfig, schedule: Schedule) -> None:
        self.model = model
        self.schedule = schedule
        self.trained = {
            f"{name}/{parameter_name}": parameter
            for name, adapter in model.adapters.items()
            for parameter_name, parameter in adapter.parameters().items()
            if parameter.requires_grad
        }
        if not self.trained:
            raise GuardError("Nothing would be trained: no attached adapter has a trainable parameter.")
        self.optimizer = build_optimizer(optimizer, self.trained)
        self.updates = 0

    def sum_over_ranks(self, units: Mapping[str, float]) -> dict[str, float]:
        """Return the units as they are."""
        return dict(units)

    def forward(self, work: Work) -> LossOutput:
        """Compute the totals of one piece of work."""
        output: LossOutput = self.model(work)
        return output

    def backward(self, loss: Tensor, last: bool) -> None:
        """Accumulate gradients."""
        loss.backward()

    def update(self, clip: float | None) -> UpdateRecord:
        """See `Engine.update`."""
        without = [name for name, parameter in self.trained.items() if parameter.grad is None]
        if without:
            raise GuardError(
                f"{len(without)} of {len(self.trained)} trained tensors got no gradient (first: {without[0]}): an "
                "adapter was "
                "switched between forward and backward, or takes no part in the loss. Stopped before the update."
            )
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.trained.values() if p.grad is not None])
        if not torch.isfinite(norm):
            raise NotFiniteError(
                f"The gradient is not finite ({norm.item()}) at update {self.updates + 1}; stopped before it "
                "reached the weights. "
                "Usual causes: a learning rate that is too high, or a broken row. Lower training.learning_rate."
            )
        if clip is not None:
            torch.nn.utils.clip_grads_with_norm_(list(self.trained.values()), clip, norm)
        rate = self.schedule.at(self.updates)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.updates += 1
        for adapter in self.model.adapters.values():
            adapter.after_update(self.updates)
        return UpdateRecord(float(norm), rate)

    def state_dict(self) -> dict[str, Any]:
        """Return trained parameters, optimizer moments and the number of updates."""
        tensors: dict[str, Tensor] = {f"parameter/{n}": p.detach() for n, p in self.trained.items()}
        for name, parameter in self.trained.items():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer/{key}/{name}"] = value
        return {"tensors": tensors, "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; every tensor must be there and fit.

        Raises:
            GuardError: if a tensor is missing, surplus or of another shape.
        """
        tensors: dict[str, Tensor] = dict(state["tensors"])
        with torch.no_grad():
            for name, parameter in self.trained.items():
                stored = tensors.pop(f"parameter/{name}", None)
                if stored is None or stored.shape != parameter.shape:
                    raise GuardError(
                        f"The checkpoint has no tensor {name} of shape {tuple(parameter.shape)}: it is of another "
                        "adapter."
                    )
                parameter.copy_(stored)
        for key, value in tensors.items():
            _, moment, name = key.split("/", 2)
            if name not in self.trained:
                raise GuardError(f"The checkpoint holds {name}, which is not trained here: it is of another adapter.")
            parameter = self.trained[name]
            self.optimizer.state[parameter][moment] = value.to(parameter.device, copy=True)
        self.updates = int(state["updates"])
        without = [name for name, p in self.trained.items() if _MOMENTS - self.optimizer.state.get(p, {}).keys()]
        if self.updates and without:
            raise GuardError(
                f"The checkpoint lacks the optimizer's moments of {len(without)} tensors (first: {without[0]}): going "
                "on would not give the run that was begun. Remove this checkpoint, or start a new run."
            )
        for adapter in self.model.adapters.values():
            if self.updates:
                adapter.after_update(self.updates)
