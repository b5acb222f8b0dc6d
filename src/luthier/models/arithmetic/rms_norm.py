"""The RMS norm as one function: `y = gain * x / sqrt(mean(x^2) + epsilon)` (Zhang & Sennrich 2019, arXiv:1910.07467).

Ordinary autograd passes over `[T, D]` seven times forwards and keeps two or three tensors of that size; here it is
three times, and what is kept is x (which the residual stream holds anyway) and one number a token.

Shape letters: T tokens, D width.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from luthier.models.arithmetic.origins import with_origin
from luthier.models.arithmetic.precision import widen


def rms_normalise(x: Tensor, gain: Tensor, epsilon: float, precision: torch.dtype | None = None) -> Tensor:
    """Normalise `x [..., D]` and scale it by `gain [D]`; the gradients reach both.

    Half precision is computed in fp32 and rounded once, at the end; `precision` is the result's, x's if None.
    """
    precision = precision or x.dtype
    found: Tensor = RmsNormalise.apply(x, gain, epsilon, precision)
    return with_origin(found, partial(normalise, epsilon=epsilon, precision=precision), x, gain)


def normalise(x: Tensor, gain: Tensor, epsilon: float, precision: torch.dtype) -> Tensor:
    """Compute `rms_normalise` without gradients."""
    return _scaled(x, gain, epsilon)[0].to(precision)


def _scaled(x: Tensor, gain: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Return the result before it is rounded, and `1 / sqrt(mean(x^2) + epsilon)`, `[..., 1]`."""
    wide = widen(x)
    length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
    inverse = length.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
    scaled = wide * inverse if wide is x else wide.mul_(inverse)
    return scaled.mul_(widen(gain)), inverse


class RmsNormalise(Function):
    """See the module's docstring; gradients reach x and the gain."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, epsilon: float, precision: torch.dtype) -> Tensor:
        """Normalise `x [..., D]` and scale it by `gain [D]`."""
        scaled, inverse = _scaled(x, gain, epsilon)
        ctx.save_for_backward(x, gain, inverse)
        return scaled.to(precision)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Map the gradient of y to those of x and the gain."""
        x, gain, inverse = ctx.saved_tensors
        wide, of_y = widen(x), widen(gradient)
        of_x = of_gain = None
        if ctx.needs_input_grad[1]:
            of_gain = (of_y * wide).mul_(inverse).flatten(0, -2).sum(0).to(gain.dtype)
        if ctx.needs_input_grad[0]:
            of_wide = of_y * widen(gain)
            along = torch.linalg.vecdot(of_wide, wide)[..., None].mul_(inverse.pow(3)).div_(x.shape[-1])  # [..., 1]
            of_x = of_wide.mul_(inverse).addcmul_(wide, along, value=-1).to(x.dtype)
        return of_x, of_gain, None, None
