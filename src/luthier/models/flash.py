"""Packed attention on a CPU: all spans of a row as one function around torch's flash kernel.

Flash attention (Dao et al. 2022, arXiv:2205.14135) keeps no scores and makes them again in the backward.

Half precision is computed in fp32 and rounded once. The kernel of half precision is the quicker one forwards, but takes
three to five times as long backwards, and two plain products would be compiled anew for every length that comes along.
What is kept for the backward is queries, keys, values and the result, which the next product keeps as well, all as they
came, and one number a head and token.

Shape letters: T tokens of the packed row, H query heads, G key/value heads (G divides H), K head width, n queries and
m keys of one span.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from luthier.models.arithmetic.precision import widen

if TYPE_CHECKING:
    from luthier.models.attention import AttentionOptions

_FORWARD: Any = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
_BACKWARD: Any = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu_backward", None)


def takes(query: Tensor, value: Tensor, options: AttentionOptions) -> bool:
    """Whether the kernel computes what is asked for, `query [1, H, T, K]` and `value [1, G, T, K]`."""
    return (
        query.device.type == "cpu"
        and query.shape[-1] == value.shape[-1]
        and not options.dropout
        and options.softcap is None
        and options.sinks is None
        and _FORWARD is not None
        and _BACKWARD is not None
    )


class Spans(NamedTuple):
    """The spans of a row.

    Attributes:
        lengths: In the order of the row.
        paths: For each span, the spans that it sees, itself last.
        biases: For each span, what is added to its scores, `[n, m]`; None where each query sees all keys up to its own.
    """

    lengths: Sequence[int]
    paths: Sequence[Sequence[int]]
    biases: Sequence[Tensor | None]


def attend_spans(query: Tensor, key: Tensor, value: Tensor, spans: Spans, scale: float) -> Tensor:
    """Map `[1, H, T, K]` queries and `[1, G, T, K]` keys and values to `[1, T, H, K]`, in their precision.

    Args:
        query, key, value: In any precision.
        spans: Who sees whom.
        scale: Factor on the products of queries and keys.
    """
    found: Tensor = _FlashOverSpans.apply(query, key, value, spans, scale)
    return found


def along(pieces: Sequence[Tensor], path: Sequence[int], dim: int) -> Tensor:
    """Concatenate the pieces of a row that stand along a path."""
    return pieces[path[0]] if len(path) == 1 else torch.cat([pieces[index] for index in path], dim)


class _FlashOverSpans(Function):
    """See `attend_spans`."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, spans: Spans, scale: float) -> Tensor:
        ctx.spans, ctx.scale = spans, scale
        queries, keys, values = (_pieces(each, spans.lengths) for each in (query, key, value))
        outputs, masses = [], []
        for path, bias in zip(spans.paths, spans.biases, strict=True):
            kept = queries[path[-1]], along(keys, path, 2), along(values, path, 2)
            output, mass = _FORWARD(*kept, 0.0, bias is None, attn_mask=bias, scale=scale)
            outputs.append(output.transpose(1, 2))
            masses.append(mass.transpose(1, 2))
        row = torch.cat(outputs, 1).to(query.dtype)
        ctx.save_for_backward(query, key, value, row, torch.cat(masses, 1))
        return row

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, row, masses = ctx.saved_tensors
        lengths, paths, biases = ctx.spans
        queries, keys, values = (_pieces(each, lengths) for each in (query, key, value))
        outputs, gradients = (_pieces(each.transpose(1, 2), lengths) for each in (row, gradient))
        sums = masses.transpose(1, 2).split(lengths, 2)
        of_query: list[Tensor | None] = [None] * len(lengths)
        of_key, of_value = list(of_query), list(of_query)
        for path, bias in zip(paths, biases, strict=True):
            own = path[-1]
            kept = queries[own], along(keys, path, 2), along(values, path, 2)
            of_kept = _BACKWARD(
                gradients[own], *kept, outputs[own], sums[own], 0.0, bias is None, attn_mask=bias, scale=ctx.scale
            )
            of_query[own] = of_kept[0]
            for found, of_path in zip((of_key, of_value), of_kept[1:], strict=True):
                for index, piece in zip(path, of_path.split([lengths[i] for i in path], 2), strict=True):
                    before = found[index]
                    found[index] = piece if before is None else before + piece
        return *(_joined(each, query.dtype) for each in (of_query, of_key, of_value)), None, None


def _pieces(row: Tensor, lengths: Sequence[int]) -> tuple[Tensor, ...]:
    """Split `[1, heads, T, K]` into spans, in the precision of the computation."""
    return widen(row).split(lengths, 2)


def _joined(pieces: Sequence[Tensor | None], precision: torch.dtype) -> Tensor:
    """Put pieces `[1, heads, n, K]` together again, tokens outermost in memory as products want them."""
    row = torch.cat([piece.transpose(1, 2) for piece in pieces if piece is not None], 1)
    return row.to(precision).transpose(1, 2)
