"""A frozen linear layer with a low-rank update as one function: `y = x W^T + b + scale * (x A^T) B^T`.

Ordinary autograd computes the update apart and adds it, so that it keeps and passes over several `[T, out]` tensors.
Here the update is added by the product itself, and the backward keeps the input (which the neighbouring projections
keep as well) and `x A^T [T, R]`.

Shape letters: T tokens, R rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from luthier.models.arithmetic.origins import MadeFrom, made_from


@dataclass(frozen=True)
class LowRankUpdate:
    """What an adapter adds to a linear layer: `scale * (x A^T) B^T`, with `a [R, in]` and `b [out, R]`."""

    a: Tensor
    b: Tensor
    scale: float


def low_rank_linear(x: Tensor, weight: Tensor, bias: Tensor | None, update: LowRankUpdate) -> Tensor:
    """Map `x [..., in]` to `[..., out]`; gradients reach x (where something below it is trained), A and B.

    Args:
        x: Input in the compute precision.
        weight: `[out, in]`, frozen.
        bias: `[out]`, frozen.
        update: In any precision.
    """
    found: Tensor = LowRankLinear.apply(x, weight, bias, update.a, update.b, update.scale, made_from(x))
    return found


class LowRankLinear(Function):
    """See `low_rank_linear`."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        scale: float,
        made: MadeFrom | None = None,
    ) -> Tensor:
        """Map `x [..., in]` to `[..., out]`."""
        rows = x.reshape(-1, x.shape[-1])
        weight, down, up = weight.to(x.dtype), a.to(x.dtype), b.to(x.dtype)
        y = rows @ weight.t() if bias is None else torch.addmm(bias.to(x.dtype), rows, weight.t())
        narrow = rows @ down.t()  # [T, R]
        y.addmm_(narrow, up.t(), alpha=scale)
        ctx.save_for_backward(weight, down, up, narrow, *(made.parts if made else (rows,)))
        ctx.scale, ctx.shape, ctx.masters = scale, x.shape, (a.dtype, b.dtype)
        ctx.origin = made.origin.keep() if made else None
        return y.view(*x.shape[:-1], y.shape[-1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Map the gradient of y to those of x, A and B."""
        weight, down, up, narrow, *kept = ctx.saved_tensors
        of_y = gradient.reshape(-1, gradient.shape[-1])
        # Both the other way round take up to twice as long on a CPU: few columns want to lie in rows.
        of_narrow = (of_y @ up.t().contiguous().t()).mul_(ctx.scale)  # [T, R]
        of_b = (narrow.t() @ of_y).t().mul_(ctx.scale).to(ctx.masters[1])
        rows = kept[0] if ctx.origin is None else ctx.origin.again(kept)
        of_a = (of_narrow.t() @ rows).to(ctx.masters[0])
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (of_y @ weight).addmm_(of_narrow, down).view(ctx.shape)
        return of_x, None, None, of_a, of_b, None, None
