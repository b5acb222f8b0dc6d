"""Negative log-likelihood of the target tokens: the arithmetic that objectives on given text share.

They differ in what the targets are and how these count, which is in the data: a target has a token and a weight.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from luthier.models.readout_model import LossOutput
from luthier.models.readouts import NextTokenHits, Readout, TokenLogps
from luthier.segments import Batch


class NegativeLogLikelihood:
    """Negative log-likelihood of the target tokens (nats), one unit a target of weight 1.

    `-sum_p w_p log p(token_p | before) / sum_p w_p`, with the sums over the whole optimizer step.
    """

    needs = frozenset({"causal"})
    readouts: tuple[Readout, ...] = (TokenLogps(), NextTokenHits())
    coefficients: Mapping[str, float] = {"loss": 1.0}

    def units(self, batch: Batch) -> Mapping[str, float]:
        """Count the weighted targets."""
        return {"loss": float(batch.targets.weight.sum())}

    def __call__(self, read: Mapping[str, Tensor], batch: Batch) -> LossOutput:
        """Return the summed loss, and the sum and count of next-token hits."""
        weight = batch.targets.weight
        counted = weight > 0
        return LossOutput(
            totals={"loss": -(weight * read["logps"]).sum()},
            metrics={"hits": ((read["hits"] * counted).sum(), counted.sum())},
        )
