"""The key/value cache, and the two ways of attending that fill and read it.

Prefill is a packed row (as in training) that also stores keys and values; a decoding step is a packed row with one
token a sequence. Both are `Attend` arguments of the same unmodified forward, so decoding works for every family that
packs.

Shape letters: N sequences in the batch, H query heads, G key/value heads, K head width, L cached positions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from luthier.models.attention import AttentionOptions, PackedAttention
from luthier.segments import AttentionPlan


class KeyValueCache:
    """Keys and values of N sequences, `[N, G, L, K]` a layer; layers are made when first stored to.

    Args:
        sequences: N.
        capacity: Longest sequence that will be held, in tokens.
    """

    def __init__(self, sequences: int, capacity: int) -> None:
        self.capacity = capacity
        self._sequences = sequences
        self._keys: dict[int, Tensor] = {}
        self._values: dict[int, Tensor] = {}

    def layer(self, index: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return a layer's keys and values; `like [1, G, T, K]` gives shape, dtype and device of a new one."""
        if index not in self._keys:
            shape = (self._sequences, like.shape[1], self.capacity, like.shape[3])
            self._keys[index] = like.new_zeros(shape)
            self._values[index] = like.new_zeros(shape)
        return self._keys[index], self._values[index]

    def keep(self, rows: Tensor) -> None:
        """Keep only some sequences, in the given order."""
        self._sequences = int(rows.shape[0])
        for store in (self._keys, self._values):
            for index in store:
                store[index] = store[index][rows]


class Prefill(PackedAttention):
    """Packed attention that stores each root segment's keys and values in the cache.

    Args:
        plan: One span a sequence, no shared segments.
        cache: Where to store.
        rows: The sequence in the cache that each span belongs to.
    """

    def __init__(self, plan: AttentionPlan, cache: KeyValueCache, rows: Sequence[int]) -> None:
        super().__init__(plan)
        self._cache = cache
        self._rows = rows

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
        """Attend, and store."""
        keys, values = self._cache.layer(options.layer, key)
        for row, span in zip(self._rows, self.plan.spans, strict=True):
            start, end = span.query
            keys[row, :, : end - start] = key[0, :, start:end]
            values[row, :, : end - start] = value[0, :, start:end]
        return super().__call__(query, key, value, options)


class DecodeStep:
    """Attention of one new token a sequence over the cache.

    Args:
        cache: Keys and values so far; the new token's are added.
        positions: `[N]` position of each new token, which is also its place in the cache.
    """

    def __init__(self, cache: KeyValueCache, positions: Tensor) -> None:
        self._cache = cache
        self._positions = positions
        self._rows = torch.arange(len(positions), device=positions.device)
        self._length = int(positions.max()) + 1
        self._distance = positions[:, None] - torch.arange(self._length, device=positions.device)[None]  # [N, L]

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
        """Map `[1, H, N, K]` queries to `[1, N, H, K]`; see `Attend`."""
        keys, values = self._cache.layer(options.layer, key)
        keys[self._rows, :, self._positions] = key[0].transpose(0, 1)
        values[self._rows, :, self._positions] = value[0].transpose(0, 1)
        heads, n, width = query.shape[1:]
        groups = key.shape[1]
        stacked = query[0].transpose(0, 1).reshape(n, groups, heads // groups, width)  # [N, G, H/G, K]
        seen = self._seen(options.window)[:, None, None]  # [N, 1, 1, L]
        past, content = keys[:, :, : self._length], values[:, :, : self._length]
        if options.softcap is None and options.sinks is None:
            mask = seen.expand(n, groups, heads // groups, self._length)
            attended = F.scaled_dot_product_attention(stacked, past, content, attn_mask=mask, scale=options.scale)
        else:
            attended = _written_out(stacked, past, content, seen, options)
        return attended.reshape(n, heads, width)[None]

    def _seen(self, window: int | None) -> Tensor:
        seen = self._distance >= 0
        return seen if window is None else seen & (self._distance < window)


def _written_out(query: Tensor, key: Tensor, value: Tensor, seen: Tensor, options: AttentionOptions) -> Tensor:
    """Soft caps and sinks, over `[N, G, H/G, K]` queries."""
    scores = query @ key.transpose(2, 3) * options.scale  # [N, G, H/G, L]
    if options.softcap is not None:
        scores = torch.tanh(scores / options.softcap) * options.softcap
    scores = scores.masked_fill(~seen, float("-inf"))
    if options.sinks is not None:
        sinks = options.sinks.to(scores.dtype).view(1, query.shape[1], -1, 1).expand(len(query), -1, -1, 1)
        scores = torch.cat([scores, sinks], -1)
    probabilities = torch.softmax(scores.float(), -1)[..., : key.shape[2]]
    return probabilities.to(value.dtype) @ value
