"""A trained linear layer that does not keep its input where that can be made again: `y = x W^T + b`."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from luthier.models.arithmetic.origins import Origin, again, origin_of


class OwnLinear(nn.Linear):
    """torch's layer; its forward is one function wherever that keeps less."""

    def forward(self, input: Tensor) -> Tensor:
        """Map `[..., in]` to `[..., out]`."""
        origin = origin_of(input) if torch.is_grad_enabled() and self.weight.requires_grad else None
        if origin is None or input.dtype != self.weight.dtype:
            return super().forward(input)
        found: Tensor = _LinearOfMade.apply(input, self.weight, self.bias, origin)
        return found


class _LinearOfMade(Function):
    """A linear layer whose input's origin is kept; gradients reach all three."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, origin: Origin) -> Tensor:
        ctx.save_for_backward(weight, *origin.parts)
        ctx.origin = origin
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, *parts = ctx.saved_tensors
        of_x = gradient @ weight if ctx.needs_input_grad[0] else None
        rows = gradient.reshape(-1, gradient.shape[-1])
        of_weight = rows.t() @ again(ctx, parts) if ctx.needs_input_grad[1] else None
        return of_x, of_weight, rows.sum(0) if ctx.needs_input_grad[2] else None, None


def use_own_linears(model: nn.Module) -> None:
    """Let torch's linear layers keep less; layers of other classes stay as they are."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = OwnLinear
