"""Weights laid out for products of few rows, which is what every step of decoding computes.

A product of 16 rows spends most of its time on bringing the weight into the order that its kernel reads it in; oneDNN
can keep a weight in that order. On two cores with AVX2 in fp32 the products of SmolLM2-135M then take 0.4 to 0.7 of
their time for 2 to 128 rows and 0.8 to 0.9 for thousands, with results that differ in rounding only. It costs a second
copy of the weights and, once, about as long as eight steps.

On request the copy holds the weights in fp16 (FBGEMM's; products and sums stay fp32): half as many bytes to read, which
is what a single row waits for. A weight moves by up to 2^-11 of itself, a product by about 2e-4 of the largest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from luthier.models.cost import copies_weights

PACK_AFTER = 8
"""Steps that packed weights would have made quicker, before they are packed for more of them: about what it costs."""
_LIKE_A_STEP = 512
"""Tokens of prompts whose reading gains as much as a step."""
_FOR_ROWS = 16
"""Rows that oneDNN is told of; the order it chooses is good for any number."""
_LOOKED_AT = 64
"""Numbers of a parameter that say whether it was trained since."""
_ALLOWED = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 1e-3}
"""Relative to the largest number, against the ordinary product."""


class Product(Protocol):
    """The product of rows with a packed weight, for `fewest` to `most` of them."""

    fewest: int
    most: int

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Map rows `[T, in]` and a bias `[out]` to `[T, out]`."""
        ...


@dataclass
class Packing:
    """Packed copies of weights, each made when it is first asked for and again when the weight has changed.

    Attributes:
        half: Hold fp32 weights in fp16.
    """

    half: bool = False
    _made: dict[int, tuple[Tensor, _Content, Product | None]] = field(default_factory=dict)

    def of(self, weight: Tensor, stored: Tensor) -> Product | None:
        """Return the product with a weight; None where this machine or torch has none that is the same.

        Args:
            weight: `[out, in]`, in the precision of the product.
            stored: The parameter that it is, or was made from: when that changes, the weight is packed again.
        """
        made = self._made.get(stored.data_ptr())
        if made is None or not made[1].is_that_of(stored):
            # The parameter is held, so that its address stays its own.
            made = stored, _Content.of(stored), _packed(weight, self.half)
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


class Pace:
    """Says when it is time to pack: once what was computed, or is about to be, gains as much as packing costs.

    Args:
        half: Whether they would be held in fp16.
        precision: Of the products.
        device: Where they are.
        parameters: How many numbers they are.
    """

    def __init__(self, half: bool, precision: torch.dtype, device: torch.device, parameters: int) -> None:
        half = half and precision == torch.float32
        self._fewest = _HalfProduct.fewest if half else _fewest_in_order(precision)
        self._most = _HalfProduct.most if half else _OrderedProduct.most
        self._left = PACK_AFTER if copies_weights(device, parameters) else 0

    def is_time(self, rows: int) -> bool:
        """Count a step of so many rows, or the reading of so many tokens; True once, when it is time."""
        if self._left <= 0 or not self._fewest <= rows <= self._most:
            return False
        self._left -= max(1, rows // _LIKE_A_STEP)
        return self._left <= 0


def can_halve() -> bool:
    """Whether torch can hold weights in fp16 here."""
    weight = torch.eye(16)
    return isinstance(_packed(weight, half=True), _HalfProduct)


def _packed(weight: Tensor, half: bool) -> Product | None:
    half = half and weight.dtype == torch.float32
    if weight.device.type != "cpu" or weight.dtype not in (torch.float32, torch.bfloat16):
        return None
    try:
        product: Product = _HalfProduct(weight) if half else _OrderedProduct(weight)
        return product if _is_the_same(product, weight, torch.float16 if half else weight.dtype) else None
    except (AttributeError, RuntimeError, NotImplementedError):  # a torch built without it, or with another form of it
        return None


def _fewest_in_order(precision: torch.dtype) -> int:
    """A single row waits for its weight only, in fp32; in bf16 the ordinary product brings it in order all the same."""
    return 1 if precision == torch.bfloat16 else 2


class _OrderedProduct:
    """With a weight in oneDNN's order, which is the quicker one for whole prompts as well."""

    most = 10**9

    def __init__(self, weight: Tensor) -> None:
        self.fewest = _fewest_in_order(weight.dtype)
        self._kept: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _FOR_ROWS)

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._kept, bias, "none", [], "")
        return found


class _HalfProduct:
    """With a weight in fp16; long prompts are read with the weights themselves."""

    fewest, most = 1, 256

    def __init__(self, weight: Tensor) -> None:
        copy = weight.clone(memory_format=torch.contiguous_format)  # what fp16 cannot hold is changed in place
        self._kept: Any = torch.ops.quantized.linear_prepack_fp16(copy, None)

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        found: Tensor = torch.ops.quantized.linear_dynamic_fp16(x, self._kept)
        return found if bias is None else found.add_(bias)


def _is_the_same(product: Product, weight: Tensor, precision: torch.dtype) -> bool:
    rows = torch.linspace(-1, 1, 2 * weight.shape[1], dtype=weight.dtype).view(2, -1)
    found, wanted = product(rows, None), F.linear(rows, weight)
    return bool((found - wanted).abs().max() <= _ALLOWED[precision] * wanted.abs().max())
