"""Adapters: one file a method. PEFT gives layers and the disk format; its wrapper is never in the forward path."""

from typing import Any

from luthier.core.registry import Table

ADAPTERS: Table[Any] = Table(
    "adapter",
    {
        "lora": "luthier.adapters.lora:Lora",
        "full": "luthier.adapters.full:Full",
    },
)
"""Method name -> class with `Config`, `needs`, `default_learning_rate` and `attach(model, name)`."""
