"""Adapters: one file a method. PEFT gives layers and the disk format; its wrapper is never in the forward path."""

from __future__ import annotations

import math
from typing import Any

from luthier.core.registry import Table
from luthier.models.facts import ModelFacts

ADAPTERS: Table[Any] = Table(
    "adapter",
    {
        "lora": "luthier.adapters.lora:Lora",
        "full": "luthier.adapters.full:Full",
    },
)
"""Method name -> class with `Config`, `needs`, `default_learning_rate` and `attach(model, name)`."""

REFERENCE_WIDTH = 576


def default_learning_rate(method: Any, facts: ModelFacts) -> float:
    """Return a method's default peak learning rate for a model.

    A method names it for a width of 576 (a 135 M model); wider models take less, by the square root of the width, which
    brings LoRA's 1e-3 to 3.8e-4 at 4,096, the order that recipes for 7 B models use.
    """
    rate: float = method.default_learning_rate
    return rate * min(1.0, math.sqrt(REFERENCE_WIDTH / facts.width))
