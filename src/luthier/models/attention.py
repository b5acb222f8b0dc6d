"""Packed attention through transformers' attention interface.

An unmodified transformers model calls one registered function in every layer, with queries and keys after rotary
embedding. Who sees whom travels as a keyword argument of the model's forward (`attend=`), so it is an argument of the
read and survives gradient checkpointing. The name has no mask function registered, so no mask is ever built; a call
without `attend` therefore raises instead of silently losing the padding mask.

Shape letters: T tokens of the packed row, H query heads, G key/value heads (G divides H), K head width, n queries and
m keys of one span.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luthier.core.errors import GuardError
from luthier.models import flash, varlen
from luthier.models.arithmetic.precision import wide_dtype
from luthier.segments import AttentionPlan

ATTENTION_NAME = "luthier"


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


class Sight:
    """Which keys along a path the queries of a segment see; made once, asked in every layer.

    Positions strictly increase along a path, so "not later than the query" is all that causality needs; windows count
    in positions too.

    Args:
        queries: `[n]` positions of the queries.
        keys: `[m]` positions of the keys; the queries' own come last.
    """

    def __init__(self, queries: Tensor, keys: Tensor) -> None:
        self._queries = queries
        self._keys = keys
        self._made: dict[tuple[int | None, torch.dtype], Tensor] = {}

    def is_causal(self, window: int | None) -> bool:
        """Whether every query sees all keys up to its own, and no other rule is needed."""
        m = len(self._keys)
        return len(self._queries) == m and (window is None or m <= window)

    def allowed(self, window: int | None) -> Tensor:
        """Return `[n, m]`, True where a query may see a key."""
        return self._once(window, torch.bool, self._allowed)

    def bias(self, window: int | None, dtype: torch.dtype) -> Tensor:
        """Return `[n, m]` to add to scores: 0 where a query may see a key, else minus infinity."""
        return self._once(window, dtype, lambda window: self._bias(window, dtype))

    def _once(self, window: int | None, dtype: torch.dtype, make: Callable[[int | None], Tensor]) -> Tensor:
        if (window, dtype) not in self._made:
            self._made[window, dtype] = make(window)
        return self._made[window, dtype]

    def _allowed(self, window: int | None) -> Tensor:
        distance = self._queries[:, None] - self._keys[None, :]
        return distance >= 0 if window is None else (distance >= 0) & (distance < window)

    def _bias(self, window: int | None, dtype: torch.dtype) -> Tensor:
        allowed = self.allowed(window)
        return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, float("-inf"))


class PackedAttention:
    """Attention within the spans of a packed row: in one call or one function where there is one, else span by span.

    The row is split once a layer, not sliced once a span: the gradient of a split is one concatenation, that of each
    slice a row of zeros.
    """

    def __init__(self, plan: AttentionPlan) -> None:
        self.calls = 0
        self._lengths = [end - start for start, end in (span.query for span in plan.spans)]
        place = {span.query: index for index, span in enumerate(plan.spans)}
        self._paths = [[place[part] for part in (*span.ancestors, span.query)] for span in plan.spans]
        self._one_call: varlen.OneCall | None = None
        positions = plan.positions[None].split(self._lengths, dim=1)
        self._sights = [Sight(positions[path[-1]][0], flash.along(positions, path, 1)[0]) for path in self._paths]

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
        """See `Attend`."""
        self.calls += 1
        if varlen.takes(query, options):
            if self._one_call is None:
                self._one_call = varlen.OneCall(self._lengths, self._paths, query.device)
            return self._one_call(query, key, value, options)
        if flash.takes(query, value, options):
            precision, window = wide_dtype(query), options.window
            biases = [None if each.is_causal(window) else each.bias(window, precision) for each in self._sights]
            return flash.attend_spans(query, key, value, flash.Spans(self._lengths, self._paths, biases), options.scale)
        queries, keys, values = (each[0].split(self._lengths, dim=1) for each in (query, key, value))
        outputs = [
            attend_path(queries[path[-1]], flash.along(keys, path, 1), flash.along(values, path, 1), sight, options)
            for path, sight in zip(self._paths, self._sights, strict=True)
        ]
        return torch.cat(outputs, dim=1).transpose(0, 1)[None]  # [1, T, H, K]


def attend_path(query: Tensor, key: Tensor, value: Tensor, sight: Sight, options: AttentionOptions) -> Tensor:
    """Attend from the queries of one segment to the keys along its path: `[H, n, K]`, `[G, m, K]` -> `[H, n, K]`."""
    window = options.window
    if options.softcap is not None or options.sinks is not None:
        return _written_out(query, key, value, sight.allowed(window), options)
    plain = sight.is_causal(window)
    mask = None if plain else sight.bias(window, query.dtype)
    grouped = query.shape[0] != key.shape[0]
    if grouped and query.is_cuda and (mask is not None or query.dtype == torch.float32):
        # No kernel but the slowest takes grouped heads with a mask, or in fp32.
        key, value = (each.repeat_interleave(query.shape[0] // key.shape[0], 0) for each in (key, value))
        grouped = False
    return F.scaled_dot_product_attention(
        query[None],
        key[None],
        value[None],
        attn_mask=mask,
        dropout_p=options.dropout,
        is_causal=plain,
        scale=options.scale,
        enable_gqa=grouped,
    )[0]


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
