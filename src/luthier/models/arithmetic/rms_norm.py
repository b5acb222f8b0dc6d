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


def rms_normalise(x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
    """Normalise `x [..., D]` and scale it by `gain [D]`; the gradients reach both."""
    found: Tensor = RmsNormalise.apply(x, gain, epsilon)
    return with_origin(found, partial(_normalise, epsilon=epsilon), x, gain)


def _normalise(x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
    return (x * _inverse_length(x, epsilon)).mul_(gain)


def _inverse_length(x: Tensor, epsilon: float) -> Tensor:
    """Return `1 / sqrt(mean(x^2) + epsilon)`, `[..., 1]`."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return length.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()


class RmsNormalise(Function):
    """See the module's docstring; gradients reach x and the gain."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
        """Normalise `x [..., D]` and scale it by `gain [D]`."""
        inverse = _inverse_length(x, epsilon)
        ctx.save_for_backward(x, gain, inverse)
        return (x * inverse).mul_(gain)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Map the gradient of y to those of x and the gain."""
        x, gain, inverse = ctx.saved_tensors
        of_x = of_gain = None
        if ctx.needs_input_grad[1]:
            of_gain = (gradient * x).mul_(inverse).flatten(0, -2).sum(0)
        if ctx.needs_input_grad[0]:
            of_x = gradient * gain
            along = torch.linalg.vecdot(of_x, x)[..., None].mul_(inverse.pow(3)).div_(x.shape[-1])  # [..., 1]
            of_x.mul_(inverse).addcmul_(x, along, value=-1)
        return of_x, of_gain, None
