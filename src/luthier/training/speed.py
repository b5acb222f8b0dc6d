"""How fast this machine trains: some pieces of work, computed and thrown away."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import torch

from luthier.models.device import random_apart, wait_for
from luthier.models.readout_model import Work
from luthier.training.engine.contract import Engine

_ENOUGH_SECONDS = 5.0
"""Slow machines are timed with one piece; others with several, as one alone is off by a fifth now and then."""


def tokens_per_second(engine: Engine, work: Sequence[Work]) -> float:
    """Time forward and backward: the median of the pieces after the first, which warms up.

    Leaves no trace in the training.
    """
    engine.model.train()
    speeds: list[float] = []
    spent, device = 0.0, next(engine.model.parameters()).device
    with random_apart(device):
        for piece in work:
            wait_for(device)
            began = time.monotonic()
            output = engine.forward(piece)
            engine.backward(torch.stack([total * 0.0 for total in output.totals.values()]).sum(), last=True)
            wait_for(device)
            seconds = time.monotonic() - began
            speeds.append(piece.batch.all_tokens / seconds)
            spent += seconds
            if len(speeds) > 1 and spent > _ENOUGH_SECONDS:
                break
    for parameter in engine.model.parameters():
        parameter.grad = None
    return statistics.median(speeds[1:] or speeds)
