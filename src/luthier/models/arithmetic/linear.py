"""A trained linear layer that does not keep its input where that can be made again: `y = x W^T + b`."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from luthier.models.arithmetic.origins import MadeFrom, made_from
from luthier.models.arithmetic.precision import compute_dtype


class OwnLinear(nn.Linear):
    """torch's layer; its forward is one function wherever that keeps less."""

    def forward(self, input: Tensor) -> Tensor:
        """Map `[..., in]` to `[..., out]`."""
        made = made_from(input) if torch.is_grad_enabled() and self.weight.requires_grad else None
        if made is None or not compute_dtype(input) == input.dtype == self.weight.dtype:
            return super().forward(input)
        found: Tensor = _LinearOfMade.apply(input, self.weight, self.bias, made)
        return found


class _LinearOfMade(Function):
    """A linear layer that keeps what its input was made from; gradients reach input, weight and bias."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, made: MadeFrom) -> Tensor:
        ctx.save_for_backward(weight, *made.parts)
        ctx.origin = made.origin.keep()
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, *parts = ctx.saved_tensors
        rows = gradient.reshape(-1, gradient.shape[-1])
        of_x = gradient @ weight if ctx.needs_input_grad[0] else None
        of_weight = rows.t() @ ctx.origin.again(parts)
        return of_x, of_weight, rows.sum(0) if ctx.needs_input_grad[2] else None, None


def use_own_linears(model: nn.Module) -> None:
    """Let torch's linear layers keep less; layers of other classes stay as they are."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = OwnLinear
