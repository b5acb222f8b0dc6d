"""A trained linear layer that keeps only what cannot be made again: `y = x W^T + b`.

Its input is made again from what that was made from, where this was noted; its weight is rounded again where products
are computed in another precision. The weight's gradient is a tensor of its own, so that autograd adds the second
gradient of a tied weight in place; what torch's own layer gives is a transposed view, and adding to it takes a third
tensor of that size.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from luthier.models.arithmetic.origins import MadeFrom, made_from
from luthier.models.arithmetic.precision import compute_dtype


class OwnLinear(nn.Linear):
    """torch's layer; its forward is one function where its weight is trained."""

    def forward(self, input: Tensor) -> Tensor:
        """Map `[..., in]` to `[..., out]`."""
        trains = torch.is_grad_enabled() and self.weight.requires_grad
        if not trains or compute_dtype(input) != input.dtype:
            return super().forward(input)
        found: Tensor = _TrainedLinear.apply(input, self.weight, self.bias, made_from(input))
        return found


class _TrainedLinear(Function):
    """A linear layer whose gradients reach input, weight and bias.

    Computes in the input's precision, whatever that of weight and bias.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, made: MadeFrom | None) -> Tensor:
        ctx.save_for_backward(weight, *(made.parts if made else (x,)))
        ctx.origin = made.origin.keep() if made else None
        ctx.bias_dtype = None if bias is None else bias.dtype
        return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, *kept = ctx.saved_tensors
        rows = gradient.reshape(-1, gradient.shape[-1])
        of_x = gradient @ weight.to(gradient.dtype) if ctx.needs_input_grad[0] else None
        x = ctx.origin.again(kept) if ctx.origin else kept[0].reshape(-1, kept[0].shape[-1])
        of_weight = (rows.t() @ x).to(weight.dtype)
        of_bias = rows.sum(0, dtype=ctx.bias_dtype) if ctx.needs_input_grad[2] else None
        return of_x, of_weight, of_bias, None


def use_own_linears(model: nn.Module) -> None:
    """Let torch's linear layers keep less; layers of other classes stay as they are."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = OwnLinear
