"""Tensors that are cheap to make again: for the backward, what they were made from is kept instead of them.

What a norm gives is read by three products, each of which would keep it for its weights' gradient; what it is made from
is kept by the norm anyway. The same holds for the product of a gated feed-forward. Together they are a third of what a
layer keeps of a token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor


class Origin:
    """How a tensor was made.

    Args:
        make: Makes it again from its parts, bit for bit.
        parts: What it is made from.
    """

    def __init__(self, make: Callable[..., Tensor], parts: tuple[Tensor, ...]) -> None:
        self._make = make
        self.parts = parts
        self._made: Tensor | None = None

    def again(self, parts: tuple[Tensor, ...]) -> Tensor:
        """Return the tensor, made again for the first who asks and held for the others who have kept this origin.

        Args:
            parts: The parts, as they went through `save_for_backward`, which sees whether they were changed since.
        """
        if self._made is None:
            self._made = self._make(*parts)
        return self._made


def again(ctx: Any, parts: Sequence[Tensor]) -> Tensor:
    """Return the tensor of the origin `ctx.origin` as rows `[T, D]`, in a backward, and let the origin go."""
    origin, ctx.origin = ctx.origin, None  # whoever asks last frees what was made
    made: Tensor = origin.again(tuple(parts))
    return made.reshape(-1, made.shape[-1])


def with_origin(tensor: Tensor, make: Callable[..., Tensor], *parts: Tensor) -> Tensor:
    """Note on a tensor how it was made."""
    tensor.luthier_origin = Origin(make, parts)  # type: ignore[attr-defined]
    return tensor


def origin_of(tensor: Tensor) -> Origin | None:
    """Return how a tensor was made, if that was noted."""
    found: Origin | None = getattr(tensor, "luthier_origin", None)
    return found
