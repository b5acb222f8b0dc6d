"""Precision: of a product (autocast's where it is on, else its input's), and of weights for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def compute_dtype(x: Tensor) -> torch.dtype:
    """Return the precision of a product with x."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def wide_dtype(x: Tensor) -> torch.dtype:
    """Return the precision for what must not be narrow: fp32, or float64 where x has it."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def widen(x: Tensor) -> Tensor:
    """Return x in fp32; x itself where it is in fp32 or float64."""
    return x.to(wide_dtype(x))


@contextmanager
def in_fp32(module: nn.Module) -> Iterator[None]:
    """Hold weights in fp32 for a while: bf16 weights are widened (exactly) and put back.

    Products are those of fp32 too, not of TF32, whatever was set.
    """
    products = torch.get_float32_matmul_precision()
    narrow: dict[nn.Parameter, Tensor] = {p: p.data for p in module.parameters() if p.dtype == torch.bfloat16}
    try:
        torch.set_float32_matmul_precision("highest")
        for parameter in narrow:
            parameter.data = parameter.data.float()
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        for parameter, data in narrow.items():
            parameter.data = data
