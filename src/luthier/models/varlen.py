"""Packed attention on a GPU: all spans of a row in one call of a kernel for sequences of many lengths.

Span by span, a row of fifty sequences costs fifty launches a layer, forwards and back; torch's varlen attention (Flash
Attention) is told where sequences begin and does all of them. It knows neither dropout nor soft caps nor sinks, and
computes in half precision only: what it does not know goes span by span.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from luthier.models.attention import AttentionOptions

_WIDEST_HEAD = 256


@cache
def kernel() -> Any:
    """Return torch's function; None in a torch that has none (before 2.10)."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn


def takes(query: Tensor, options: AttentionOptions) -> bool:
    """Whether the kernel computes what is asked for, `query [1, H, T, K]`."""
    width = query.shape[-1]
    return (
        query.is_cuda
        and query.dtype in (torch.bfloat16, torch.float16)
        and width <= _WIDEST_HEAD
        and width % 8 == 0
        and not options.dropout
        and options.softcap is None
        and options.sinks is None
        and kernel() is not None
    )


class OneCall:
    """Attention within the spans of a row, in one call.

    A span's keys are those of its path, its own last: the kernel aligns causality and windows at the end of both, which
    is what a span below others needs.

    Args:
        lengths: Of the spans, in the order of the row.
        paths: For each span, the spans that it sees, itself last.
        device: Where the row is.
    """

    def __init__(self, lengths: Sequence[int], paths: Sequence[Sequence[int]], device: torch.device) -> None:
        along = [sum(lengths[index] for index in path) for path in paths]
        self._queries, self._most_queries = _ends(lengths, device), max(lengths)
        self._keys, self._most_keys = _ends(along, device), max(along)
        self._at: Tensor | None = None
        if any(len(path) > 1 for path in paths):
            pieces = torch.arange(sum(lengths)).split(list(lengths))
            self._at = torch.cat([pieces[index] for path in paths for index in path]).to(device)

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
        """Map `[1, H, T, K]` queries and `[1, G, T, K]` keys and values to `[1, T, H, K]`."""
        queries, keys, values = (each[0].transpose(0, 1) for each in (query, key, value))
        if self._at is not None:
            keys, values = keys[self._at], values[self._at]
        found: Tensor = kernel()(
            queries,
            keys,
            values,
            self._queries,
            self._keys,
            self._most_queries,
            self._most_keys,
            scale=options.scale,
            window_size=(-1 if options.window is None else options.window - 1, 0),
            enable_gqa=queries.shape[1] != keys.shape[1],
        )
        return found[None]


def _ends(lengths: Sequence[int], device: torch.device) -> Tensor:
    """Return where sequences begin and end in a row, `[N + 1]`."""
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)
