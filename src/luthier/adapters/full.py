"""Full tuning: every weight is trained.

When to use it: much data, new knowledge or a new language, and the memory for it. When not: a few hundred examples,
where LoRA reaches the same score with a hundredth of the file and forgets less.
Cost: 16 bytes a parameter with AdamW (weights, gradient, two moments in fp32), and about 1.5 times LoRA's arithmetic.
Under bf16 the weights stay fp32 and are cast where they are used: updates are smaller than bf16 can represent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from luthier.core.config import Config
from luthier.core.errors import GuardError
from luthier.models.arithmetic.linear import use_own_linears
from luthier.models.arithmetic.low_rank import LowRankUpdate
from luthier.models.loaded import LoadedModel
from luthier.models.weights import saving_weights


class FullConfig(Config):
    """Full tuning has no settings of its own."""

    method: str = "full"


class Full:
    """Full tuning as a method."""

    name = "full"
    needs: frozenset[str] = frozenset()
    default_learning_rate = 5e-5
    Config = FullConfig
    masters = True

    def __init__(self, config: FullConfig = FullConfig()) -> None:
        self.config = config

    def attach(self, model: LoadedModel, name: str = "default", seed: int = 0) -> AttachedFull:
        """Mark every weight as trained."""
        use_own_linears(model.module)
        for parameter in model.module.parameters():
            parameter.requires_grad_(True)
        return AttachedFull(model, name)


class AttachedFull:
    """A model all of whose weights are trained."""

    def __init__(self, model: LoadedModel, name: str) -> None:
        self.name = name
        self._model = model
        self._trained = False

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return all weights (tied ones once)."""
        return dict(self._model.module.named_parameters())

    def set_active(self, on: bool) -> None:
        """Refuse to pretend that the untouched base is still there once it has been trained over."""
        if not on and self._trained:
            raise GuardError("After full tuning the base model is gone from memory; load it again to read it.")

    def after_update(self, step: int) -> None:
        """Remember that the base is gone."""
        self._trained = True

    def low_rank_updates(self) -> dict[str, LowRankUpdate]:
        """Nothing is added: the weights themselves are others."""
        return {}

    def merge(self) -> Any:
        """Return the model: there is nothing to merge."""
        return self._model.module

    def save(self, folder: Path) -> None:
        """Write a plain transformers model with its tokenizer."""
        with saving_weights(folder):
            self._model.module.save_pretrained(folder, safe_serialization=True)
        self._model.tokenizer.save_pretrained(folder)
