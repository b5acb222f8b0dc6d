"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from luthier.core.config import Config

ScheduleName = Literal["constant", "linear", "cosine"]


class OptimizerConfig(Config):
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101). Norms, biases and LoRA's factors are not decayed."""

    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay on matrices")
    beta1: float = Field(0.9, ge=0, lt=1, description="decay of the first moment")
    beta2: float = Field(0.999, ge=0, lt=1, description="decay of the second moment")
    epsilon: float = Field(1e-8, gt=0, description="added to the denominator")


def build_optimizer(config: OptimizerConfig, parameters: Mapping[str, nn.Parameter]) -> torch.optim.AdamW:
    """Build AdamW over named parameters; only matrices that are no LoRA factor are decayed."""

    def decays(name: str, parameter: nn.Parameter) -> bool:
        return parameter.ndim >= 2 and "lora_" not in name

    groups = [
        {"params": [p for n, p in parameters.items() if decays(n, p)], "weight_decay": config.weight_decay},
        {"params": [p for n, p in parameters.items() if not decays(n, p)], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=0.0,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        fused=True,  # one pass over each tensor, and nothing held besides
    )


@dataclass(frozen=True)
class Schedule:
    """The learning rate of each update: linear warm-up, then constant, linear or cosine to zero.

    A function of the update's index alone, so there is no state to save.
    """

    rate: float
    total: int
    warmup: int = 0
    shape: ScheduleName = "cosine"

    def at(self, update: int) -> float:
        """Return the learning rate of update 0, 1, …"""
        if update < self.warmup:
            return self.rate * (update + 1) / self.warmup
        if self.shape == "constant":
            return self.rate
        progress = min(1.0, (update - self.warmup) / max(1, self.total - self.warmup))
        if self.shape == "linear":
            return self.rate * (1 - progress)
        return self.rate * 0.5 * (1 + math.cos(math.pi * progress))
