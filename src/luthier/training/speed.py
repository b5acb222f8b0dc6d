"""How fast this machine trains: one piece of work, computed and thrown away."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from luthier.models.device import random_apart, wait_for
from luthier.models.readout_model import Work
from luthier.training.engine.contract import Engine


def tokens_per_second(engine: Engine, work: Sequence[Work]) -> float:
    """Time forward and backward of the last piece; the pieces before it warm up. Leaves no trace in the training."""
    engine.model.train()
    speed, device = 0.0, next(engine.model.parameters()).device
    with random_apart(device):
        for piece in work:
            wait_for(device)
            began = time.monotonic()
            output = engine.forward(piece)
            engine.backward(torch.stack([total * 0.0 for total in output.totals.values()]).sum(), last=True)
            wait_for(device)
            speed = piece.batch.all_tokens / (time.monotonic() - began)
    for parameter in engine.model.parameters():
        parameter.grad = None
    return speed
