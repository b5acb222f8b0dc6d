"""Packed attention through transformers' attention interface.

An unmodified transformers model calls one registered function in every layer, with queries and keys after rotary
embedding. Who sees whom travels as a keyword argument of the model's forward (`attend=`), so it is an argument of the
read and survives gradient checkpointing. The name has no mask function registered, so no mask is ever built; a call
without `attend` therefore raises instead of silently losing the padding mask.

Shape letters: T tokens of the packed row, H query heads, G key/value heads (G divides H), K head width, n queries and
m keys of one span.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luthier.core.errors import GuardError
from luthier.segments import AttentionPlan

ATTENTION_NAME = "luthier"

_PRODUCTS_BELOW = 512
"""On a CPU in bf16, two batched products beat the flash kernel (and by far its backward) up to about this many keys."""


@dataclass(frozen=True)
class AttentionOptions:
    """What a family asks of its attention.

    Attributes:
        layer: Index of the layer.
        scale: Factor on the products of queries and keys.
        dropout: Probability of dropping an attention weight (0 outside training).
        window: Keys farther back than this many positions are not seen; None sees all.
        softcap: Scores become `softcap * tanh(scores / softcap)`; None leaves them.
        sinks: `[H]` learned logits that take part in the softmax and carry no value; None for most families.
    """

    layer: int
    scale: float
    dropout: float = 0.0
    window: int | None = None
    softcap: float | None = None
    sinks: Tensor | None = None


class Attend(Protocol):
    """One way of attending: over a packed row, over a cache, or both."""

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
        """Map `[1, H, T, K]` queries and `[1, G, T, K]` keys and values to `[1, T, H, K]`."""
        ...


def luthier_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    attend: Attend | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Transformers' attention interface: hands over to `attend`, which came with the forward."""
    if attend is None:
        raise GuardError(
            f"{type(module).__name__} was called through Luthier's attention without a plan of who sees whom. "
            "Models loaded by Luthier are read through ReadoutModel or a LocalModel, not called directly."
        )
    if query.dtype != value.dtype:  # under autocast rotary embedding leaves fp32 where the projections were bf16
        query, key = query.to(value.dtype), key.to(value.dtype)
    options = AttentionOptions(
        layer=int(getattr(module, "layer_idx", 0) or 0),
        scale=scaling if scaling is not None else query.shape[-1] ** -0.5,
        dropout=dropout,
        window=sliding_window,
        softcap=softcap,
        sinks=s_aux,
    )
    return attend(query, key, value, options), None


class PackedAttention:
    """Attention within the spans of a packed row."""

    def __init__(self, plan: AttentionPlan) -> None:
        self.plan = plan
        self.calls = 0

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
        """Attend span by span; see `Attend`."""
        self.calls += 1
        outputs = []
        for span in self.plan.spans:
            start, end = span.query
            ranges = (*span.ancestors, span.query)
            outputs.append(
                attend_path(
                    query[0, :, start:end],
                    _take(key[0], ranges),
                    _take(value[0], ranges),
                    self.plan.positions[start:end],
                    _take(self.plan.positions[None], ranges)[0] if span.ancestors else self.plan.positions[start:end],
                    options,
                )
            )
        return torch.cat(outputs, dim=1).transpose(0, 1)[None]  # [1, T, H, K]


def _take(tensor: Tensor, ranges: tuple[tuple[int, int], ...]) -> Tensor:
    """Concatenate ranges of dimension 1."""
    if len(ranges) == 1:
        return tensor[:, ranges[0][0] : ranges[0][1]]
    return torch.cat([tensor[:, start:end] for start, end in ranges], dim=1)


def attend_path(
    query: Tensor, key: Tensor, value: Tensor, query_positions: Tensor, key_positions: Tensor, options: AttentionOptions
) -> Tensor:
    """Attend from the queries of one segment to the keys along its path: `[H, n, K]`, `[G, m, K]` -> `[H, n, K]`.

    Positions strictly increase along a path, so "not later than the query" is all that causality needs; windows count
    in positions too.
    """
    n, m = query.shape[1], key.shape[1]
    windowed = options.window is not None and m > options.window
    plain = n == m and not windowed
    if options.softcap is not None or options.sinks is not None:
        return _written_out(query, key, value, _allowed(query_positions, key_positions, options.window), options)
    if query.dtype == torch.bfloat16 and query.device.type == "cpu" and m < _PRODUCTS_BELOW and not options.dropout:
        return _products(query, key, value, _allowed(query_positions, key_positions, options.window), options.scale)
    mask = None if plain else _allowed(query_positions, key_positions, options.window)
    return F.scaled_dot_product_attention(
        query[None],
        key[None],
        value[None],
        attn_mask=mask,
        dropout_p=options.dropout,
        is_causal=plain,
        scale=options.scale,
        enable_gqa=query.shape[0] != key.shape[0],
    )[0]


def _allowed(query_positions: Tensor, key_positions: Tensor, window: int | None) -> Tensor:
    """Return `[n, m]`, True where a query may see a key."""
    distance = query_positions[:, None] - key_positions[None, :]
    allowed = distance >= 0
    return allowed if window is None else allowed & (distance < window)


def _products(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor, scale: float) -> Tensor:
    """Two batched products, with the H/G query heads of a group stacked as rows so that keys are never repeated."""
    heads, n, width = query.shape
    groups = key.shape[0]
    bias = torch.zeros(allowed.shape, dtype=query.dtype).masked_fill_(~allowed, float("-inf"))
    stacked = (query * scale).reshape(groups, heads // groups * n, width)
    scores = torch.baddbmm(bias.repeat(heads // groups, 1)[None], stacked, key.transpose(1, 2))  # [G, H/G*n, m]
    return torch.bmm(torch.softmax(scores, -1), value).view(heads, n, width)


def _written_out(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor, options: AttentionOptions) -> Tensor:
    """The families with soft caps or sinks, as their own eager code computes it."""
    repeat = query.shape[0] // key.shape[0]
    scores = query @ key.repeat_interleave(repeat, 0).transpose(1, 2) * options.scale  # [H, n, m]
    if options.softcap is not None:
        scores = torch.tanh(scores / options.softcap) * options.softcap
    scores = scores.masked_fill(~allowed, float("-inf"))
    if options.sinks is not None:
        sinks = options.sinks.to(scores.dtype)[:, None, None].expand(-1, scores.shape[1], 1)
        probabilities = torch.softmax(torch.cat([scores, sinks], -1).float(), -1)[..., :-1]
    else:
        probabilities = torch.softmax(scores.float(), -1)
    probabilities = F.dropout(probabilities.to(value.dtype), options.dropout, training=options.dropout > 0)
    return probabilities @ value.repeat_interleave(repeat, 0)


def register() -> None:
    """Make the name known to transformers; harmless when done twice."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION_NAME, luthier_attention)
