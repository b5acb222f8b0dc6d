"""How two computations of the same step are compared: gradients, their distances, and true float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from luthier.models.readout_model import LossOutput, ReadoutModel, Work
from luthier.segments import Batch
from luthier.training.engine.contract import UpdateRecord
from luthier.training.engine.single import SingleDeviceEngine
from luthier.training.optim import OptimizerConfig, Schedule
from luthier.training.step import StepRecord, count_units, train_step, weighted_loss

Gradients = Mapping[str, Tensor]

PACKING = (
    "llama",
    "llama_untied",
    "qwen2",
    "qwen3",
    "mistral",
    "gemma2",
    "gemma3_text",
    "granite",
    "cohere",
    "phi",
    "gpt_neox",
    "gpt2",
)
"""The tiny families that pack; a test holds this against `FAMILIES`."""

SHAPES = {
    "sequences": (-1, -1, -1, -1, -1),
    "shared prefix": (-1, 0, 0, -1, 3, 3, 3),
    "infix": (-1, 0, 0, 1, 1, 2, -1, 6, -1, 3),
}
"""Forests as the parents of their segments; "infix" goes from a root over a child to grandchildren and one further."""


class TrueFloat64(TorchFunctionMode):
    """Leave float64 alone where a family's code casts to fp32 (norms, rotary angles, softmax).

    With it every family computes in float64 throughout, so two ways of computing the same thing agree to 1e-12.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if args and isinstance(args[0], Tensor) and args[0].dtype == torch.float64:
            if func is Tensor.float:
                return args[0]
            args = tuple(torch.float64 if a is torch.float32 else a for a in args)
            kwargs = {k: torch.float64 if v is torch.float32 else v for k, v in kwargs.items()}
        return func(*args, **kwargs)


def train_all(model: Any) -> None:
    """Let every weight have a gradient."""
    for parameter in model.module.parameters():
        parameter.requires_grad_(True)


def backward(readout: ReadoutModel, work: Work, *between: Any) -> tuple[float, Gradients]:
    """Return the loss a unit and all gradients of one piece of work; `between` is called before the backward."""
    readout.zero_grad(set_to_none=True)
    output: LossOutput = readout(work)
    units = work.objective.units(work.batch)
    loss = torch.stack([total / units[name] for name, total in output.totals.items()]).sum()
    for call in between:
        call()
    loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach()), {n: p.grad.clone() for n, p in readout.module.named_parameters() if p.grad is not None}


class RecordingEngine(SingleDeviceEngine):
    """The single-device engine, keeping the last gradient before it is clipped and used."""

    gradients: Gradients

    def update(self, clip: float | None) -> UpdateRecord:
        """Keep the gradients, then update."""
        self.gradients = {n: p.grad.clone() for n, p in self.trained.items() if p.grad is not None}
        return super().update(clip)


def step(readout: ReadoutModel, work: Sequence[Work]) -> tuple[StepRecord, Gradients]:
    """Make one step at learning rate 0; return its record and the gradient that the update got."""
    engine = RecordingEngine(readout, OptimizerConfig(), Schedule(0.0, 1, shape="constant"))
    return train_step(engine, work), engine.gradients


def distance(found: Gradients, wanted: Gradients) -> tuple[float, float]:
    """Return the distance of all gradients together, and that of the worst tensor, both relative.

    The worst tensor's is relative to its largest entry, floored at a millionth of the whole gradient's norm: some
    gradients are zero in theory (biases of keys) and rounding noise in practice.
    """
    assert found.keys() == wanted.keys()
    assert wanted
    norm = torch.sqrt(sum((g.double().square().sum() for g in wanted.values()), torch.zeros((), dtype=torch.float64)))
    apart = torch.sqrt(
        sum(((found[n].double() - g.double()).square().sum() for n, g in wanted.items()), torch.zeros(()))
    )
    worst = max(
        float((found[n].double() - g.double()).abs().max() / (g.abs().max() + 1e-6 * norm)) for n, g in wanted.items()
    )
    return float(apart / norm), worst


def assert_same(
    found: tuple[float, Gradients], wanted: tuple[float, Gradients], exact: bool, true: Gradients | None = None
) -> None:
    """Hold loss and gradients against each other: float64 to 1e-12, fp32 to its rounding (1e-6, 3e-6, 1e-5).

    Args:
        found: Loss and gradients.
        wanted: Those they are compared with.
        exact: Whether both were computed in float64.
        true: The gradients of `wanted`'s computation in float64. Granite's attention does not divide its scores by the
            root of their width, so its gradients err by 5e-6 to 1.5e-5 on every processor, more than the bounds that
            hold elsewhere. Two computations that err as `wanted` does lie at most twice its error apart.
    """
    loss, whole, worst = (1e-12, 1e-12, 1e-12) if exact else (1e-6, 3e-6, 1e-5)
    if true is not None:
        rounding = distance(wanted[1], true)
        assert max(rounding) <= 1e-4, "not the rounding of fp32: that of bf16 or TF32 is 1e-3"
        whole, worst = max(whole, 2 * rounding[0]), max(worst, 2 * rounding[1])
    assert abs(found[0] - wanted[0]) <= loss * abs(wanted[0])
    apart = distance(found[1], wanted[1])
    assert apart[0] <= whole
    assert apart[1] <= worst


def loss_of(readout: ReadoutModel, work: Sequence[Work]) -> Tensor:
    """Return the loss of a whole step, with its graph."""
    engine = SingleDeviceEngine(readout, OptimizerConfig(), Schedule(0.0, 1))
    units = count_units(engine, work)
    return torch.stack([weighted_loss(piece, readout(piece).totals, units) for piece in work]).sum()


class SequenceMeans:
    """A second kind of work: the mean negative log-probability of each sequence, one unit a sequence."""

    name = "sequence_means"
    needs: frozenset[str] = frozenset({"causal"})
    coefficients: Mapping[str, float] = {"means": 1.5}

    def __init__(self) -> None:
        from luthier.models.readouts import TokenLogps

        self.readouts = (TokenLogps(),)

    def units(self, batch: Batch) -> Mapping[str, float]:
        """Count sequences."""
        return {"means": float(batch.targets.sequences)}

    def __call__(self, read: Mapping[str, Tensor], batch: Batch) -> LossOutput:
        """Sum the sequences' means."""
        sequence, logps = batch.targets.sequence, read["logps"]
        sums = torch.zeros(batch.targets.sequences, dtype=logps.dtype).index_add(0, sequence, -logps)
        counts = torch.bincount(sequence, minlength=batch.targets.sequences)
        return LossOutput({"means": (sums / counts.clamp(min=1)).sum()}, {})
