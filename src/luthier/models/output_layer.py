"""The output layer: from hidden states to logits, as each family does it, checked against the model itself at load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from luthier.models.arithmetic.precision import widen

_DIVIDING_FAMILIES = ("granite",)


@dataclass(frozen=True)
class OutputLayer:
    """`logits = softcap * tanh(linear(hidden) * scale / softcap)`, in fp32 from the product on.

    Attributes:
        linear: The model's own output embedding module (its bias included), or what computes the same.
        scale: Factor on the logits (Cohere multiplies, Granite divides; most have 1).
        softcap: Gemma's soft cap, or None.
        verified: Whether it gave the model's own logits at load; if not, the ordinary forward is used.
    """

    linear: Callable[[Tensor], Tensor]
    scale: float = 1.0
    softcap: float | None = None
    verified: bool = True

    def __call__(self, hidden: Tensor) -> Tensor:
        """Map hidden states `[C, D]` to logits `[C, V]` in fp32 (float64 stays float64)."""
        return self.finish(self.linear(hidden))

    def finish(self, product: Tensor) -> Tensor:
        """Map what the product gives to logits in fp32 (float64 stays float64)."""
        return finish_logits(product, self.scale, self.softcap)

    @property
    def widens_only(self) -> bool:
        """Whether logits are what the product gives, but for their precision."""
        return self.scale == 1.0 and self.softcap is None

    @property
    def frozen(self) -> bool:
        """Whether nothing in it is trained."""
        modules = [self.linear] if isinstance(self.linear, nn.Module) else []
        return not any(parameter.requires_grad for module in modules for parameter in module.parameters())

    @classmethod
    def of(cls, model: Any) -> OutputLayer:
        """Describe the output layer of a transformers model."""
        config = model.config
        scale = float(getattr(model, "logit_scale", None) or getattr(config, "logit_scale", None) or 1.0)
        if config.model_type.startswith(_DIVIDING_FAMILIES):
            scale = 1.0 / float(config.logits_scaling)
        cap = getattr(config, "final_logit_softcapping", None)
        return cls(model.get_output_embeddings(), scale, float(cap) if cap else None)


def finish_logits(logits: Tensor, scale: float, softcap: float | None) -> Tensor:
    """Scale and cap raw logits, in fp32 or better."""
    logits = widen(logits)
    if scale != 1.0:
        logits = logits * scale
    return logits if softcap is None else torch.tanh(logits / softcap) * softcap
