"""Validation: the training loss and next-token hits on other sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from luthier.models.readout_model import Objective, Work
from luthier.segments import Batch, share
from luthier.segments.packing import micro_batches
from luthier.training.engine.contract import Engine
from luthier.training.step import count_units, weighted_loss


@dataclass(frozen=True)
class Validation:
    """Loss (nats a unit) and share of right next-token predictions on the validation sequences."""

    loss: float
    hit_rate: float
    predictions: int

    def to_json(self) -> dict[str, float | int]:
        """Return the values under their log names."""
        return {
            "eval_total_loss": self.loss,
            "eval_fraction_of_correct_next_step_preds": self.hit_rate,
            "eval_num_predictions": self.predictions,
        }


def validation_work(
    objective: Objective, sequences: Sequence[Batch], micro_tokens: int, adapter: str | None = "default"
) -> list[Work]:
    """Return the pieces that sequences are validated in."""
    return [Work(objective, share(batch), adapter) for batch in micro_batches(sequences, micro_tokens)]


@torch.no_grad()
def validate(
    engine: Engine, objective: Objective, sequences: Sequence[Batch], micro_tokens: int, adapter: str | None = "default"
) -> Validation:
    """Compute the objective on sequences without training on them."""
    work = validation_work(objective, sequences, micro_tokens, adapter)
    units = count_units(engine, work)
    engine.model.eval()
    loss = hits = count = 0.0
    for piece in work:
        output = engine.forward(piece)
        loss += float(weighted_loss(piece, output.totals, units))
        found, counted = output.metrics["hits"]
        hits, count = hits + float(found), count + float(counted)
    return Validation(loss, hits / max(count, 1.0), int(count))
