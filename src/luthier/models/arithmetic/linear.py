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
        if made is None or compute_dtype(input) != input.dtype:
            return super().forward(input)
        found: Tensor = _LinearOfMade.apply(input, self.weight, self.bias, made)
        return found


class _LinearOfMade(Function):
    """A linear layer that keeps what its input was made from; gradients reach input, weight and bias.

    Computes in the input's precision, whatever that of weight and bias.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, made: MadeFrom) -> Tensor:
        narrow = weight.to(x.dtype)
        ctx.save_for_backward(narrow, *made.parts)
        ctx.origin, ctx.masters = made.origin.keep(), (weight.dtype, None if bias is None else bias.dtype)
        return F.linear(x, narrow, None if bias is None else bias.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, *parts = ctx.saved_tensors
        rows = gradient.reshape(-1, gradient.shape[-1])
        of_x = gradient @ weight if ctx.needs_input_grad[0] else None
        of_weight = (rows.t() @ ctx.origin.again(parts)).to(ctx.masters[0])
        of_bias = rows.sum(0, dtype=ctx.masters[1]) if ctx.needs_input_grad[2] else None
        return of_x, of_weight, of_bias, None


def use_own_linears(model: nn.Module) -> None:
    """Let torch's linear layers keep less; layers of other classes stay as they are."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = OwnLinear
