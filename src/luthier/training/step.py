"""One optimizer step over a list of work: units first, backwards already divided, one update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

from luthier.core.errors import GuardError
from luthier.models.readout_model import Work
from luthier.training.engine.contract import Engine, NotFiniteError


@dataclass(frozen=True)
class StepRecord:
    """What one optimizer step was like. All of it is reproducible; times are logged apart."""

    step: int
    loss: float
    hit_rate: float
    predictions: int
    learning_rate: float
    gradient_norm: float
    tokens: int

    def to_json(self) -> dict[str, float | int]:
        """Return the line of metrics.jsonl."""
        return {
            "step": self.step,
            "train_total_loss": self.loss,
            "train_fraction_of_correct_next_step_preds": self.hit_rate,
            "train_num_predictions": self.predictions,
            "learning_rate": self.learning_rate,
            "gradient_norm": self.gradient_norm,
        }


def count_units(engine: Engine, work: Sequence[Work]) -> dict[str, float]:
    """Sum the units of a step's work over all micro-batches and ranks, from the batches alone.

    Work of one objective on one adapter shares its units; a second objective, or a second adapter, has its own.
    """
    units: dict[str, float] = {}
    for piece in work:
        for name, count in piece.objective.units(piece.batch).items():
            key = _key(piece, name)
            units[key] = units.get(key, 0.0) + count
    summed = engine.sum_over_ranks(units)
    empty = [key for key, count in summed.items() if count <= 0]
    if empty:
        raise GuardError(f"A step has no units for {empty[0]}: nothing in it is a target.")
    return summed


def train_step(engine: Engine, work: Sequence[Work], clip: float | None = 1.0) -> StepRecord:
    """Make one optimizer step: 1x8, 8x1 and any other split of the same work give the same gradient.

    Raises:
        GuardError: if the loss or the gradient is not finite, or a trained tensor got no gradient.
    """
    units = count_units(engine, work)
    loss_sum = 0.0
    counts: list[tuple[Tensor, Tensor]] = []
    for index, piece in enumerate(work):
        output = engine.forward(piece)
        loss = weighted_loss(piece, output.totals, units)
        value = float(loss.detach())  # a GPU is waited for here, and not again before the update
        if not isfinite(value):
            raise NotFiniteError(
                f"The loss is not finite ({value}); stopped before it reached the weights. Lower "
                "training.learning_rate."
            )
        engine.backward(loss * engine.averaging, last=index == len(work) - 1)
        loss_sum += value
        if "hits" in output.metrics:
            counts.append(output.metrics["hits"])
    update = engine.update(clip)
    hits, predictions = sum(float(found) for found, _ in counts), sum(float(counted) for _, counted in counts)
    return StepRecord(
        step=0,
        loss=loss_sum,
        hit_rate=hits / max(predictions, 1.0),
        predictions=int(predictions),
        learning_rate=update.learning_rate,
        gradient_norm=update.gradient_norm,
        tokens=sum(piece.batch.all_tokens for piece in work),
    )


def weighted_loss(piece: Work, totals: Mapping[str, Tensor], units: Mapping[str, float]) -> Tensor:
    """Combine an objective's totals: `coefficient * sum_name coefficient_name * total_name / units_name`."""
    terms = [piece.objective.coefficients[name] * total / units[_key(piece, name)] for name, total in totals.items()]
    combined: Tensor = torch.stack(terms).sum() * piece.coefficient
    return combined


def _key(piece: Work, name: str) -> str:
    return f"{piece.objective.name}/{piece.adapter}/{name}"
