"""Weights laid out for products of few rows, which is what every step of decoding computes.

A product of 16 rows spends most of its time on bringing the weight into the order that its kernel reads it in; oneDNN
can keep a weight in that order. On two cores with AVX2 in fp32 the products of SmolLM2-135M then take 0.4 to 0.7 of
their time for 2 to 128 rows, with results that differ in rounding only. It costs a second copy of the weights and,
once, about as long as eight steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from luthier.models.device import memory_bytes

Product = Callable[[Tensor, Tensor | None], Tensor]
"""Maps rows `[T, in]` and a bias `[out]` to `[T, out]`."""

MOST_ROWS = 256
"""Beyond about this many rows the order of the weight does not matter."""
_FOR_ROWS = 16
"""Rows that oneDNN is told of; the order it chooses is good from 2 to 256."""
_SHARE_OF_MEMORY = 1 / 8
"""Packed copies take at most this much of the machine's memory; a model that is larger stays as it is."""
_LOOKED_AT = 64
"""Numbers of a parameter that say whether it was trained since."""
_ALLOWED = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
"""Relative to the largest number, against the ordinary product."""


@dataclass
class Packing:
    """Packed copies of weights, each made when it is first asked for and again when the weight has changed."""

    _made: dict[int, tuple[Tensor, _Content, Product | None]] = field(default_factory=dict)

    def of(self, weight: Tensor, stored: Tensor) -> Product | None:
        """Return the product with a weight; None where this machine or torch has none that is the same.

        Args:
            weight: `[out, in]`, in the precision of the product.
            stored: The parameter that it is, or was made from: when that changes, the weight is packed again.
        """
        made = self._made.get(stored.data_ptr())
        if made is None or not made[1].is_that_of(stored):
            made = stored, _Content.of(stored), _packed(weight)  # holding it, so that its address stays its own
            self._made[stored.data_ptr()] = made
        return made[2]


@dataclass(frozen=True)
class _Content:
    """What a parameter holds, as far as a glance tells: fused optimizers change it without counting a new version."""

    version: int
    some: Tensor

    @classmethod
    def of(cls, stored: Tensor) -> _Content:
        return cls(stored._version, _some(stored).clone())

    def is_that_of(self, stored: Tensor) -> bool:
        return self.version == stored._version and torch.equal(self.some, _some(stored))


def _some(stored: Tensor) -> Tensor:
    flat = stored.detach().reshape(-1)
    return flat[:: max(1, len(flat) // _LOOKED_AT)]


def is_worth_it(device: torch.device, parameters: int) -> bool:
    """Whether weights are packed there at all: on a CPU with room for a second copy."""
    room = memory_bytes(device) if device.type == "cpu" and torch.backends.mkldnn.is_available() else None
    return room is not None and parameters * 4 <= room * _SHARE_OF_MEMORY


def _packed(weight: Tensor) -> Product | None:
    if weight.device.type != "cpu" or weight.dtype not in _ALLOWED:
        return None
    try:
        kept = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _FOR_ROWS)
        product: Product = _Packed(kept)
        return product if _is_the_same(product, weight) else None
    except (AttributeError, RuntimeError, NotImplementedError):  # a torch built without it, or with another form of it
        return None


@dataclass(frozen=True)
class _Packed:
    kept: Tensor

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.kept, bias, "none", [], "")
        return found


def _is_the_same(product: Product, weight: Tensor) -> bool:
    rows = torch.linspace(-1, 1, 2 * weight.shape[1], dtype=weight.dtype).view(2, -1)
    found, wanted = product(rows, None), F.linear(rows, weight)
    return bool((found - wanted).abs().max() <= _ALLOWED[weight.dtype] * wanted.abs().max())
