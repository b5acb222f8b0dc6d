"""RMS normalisation as one function: keeps its input and one number a token, and passes over memory once each way.

Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", arXiv:1910.07467, equation 4:
`y = x / sqrt(mean(x^2) + epsilon) * weight`.

Families differ in where they round: most bring `x / rms` to the input's precision before the weight, Gemma multiplies
by `1 + weight` in fp32 first. In fp32 it is all one; which form a family has is tried, not assumed (`install`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


class RmsNorm(Function):
    """RMS normalisation with a weight, statistics in fp32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        """Map `x [..., D]` to `[..., D]`."""
        wide = x.float() if x.dtype != torch.float64 else x
        scale = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        scale = scale.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()  # [..., 1]
        ctx.save_for_backward(x, scale, weight)
        return (
            (wide * scale).to(x.dtype).mul_(weight) if weight.dtype == x.dtype else weight * (wide * scale).to(x.dtype)
        )

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Map the gradient of y to those of x and the weight."""
        x, scale, weight = ctx.saved_tensors
        wide = x.float() if x.dtype != torch.float64 else x
        of_y = gradient.to(wide.dtype)
        of_x = of_weight = None
        if ctx.needs_input_grad[1]:
            of_weight = (of_y * wide).mul_(scale).flatten(0, -2).sum(0).to(weight.dtype)
        if ctx.needs_input_grad[0]:
            weighted = of_y * weight
            along = (weighted * wide).sum(-1, keepdim=True).mul_(scale.pow(3).div_(-x.shape[-1]))
            of_x = weighted.mul_(scale).addcmul_(wide, along).to(x.dtype)
        return of_x, of_weight, None
