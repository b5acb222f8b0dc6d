"""Keys and values that generation keeps, and the two ways of attending that fill and read them.

A sequence is a path: shared prefixes, each held once for all sequences below it, then a tail of its own in a slot of
the cache. Reading (prefill) is a packed row, as in training, that also stores keys and values; a decoding step is a
packed row with one token a sequence. Both are `Attend` arguments of the same unmodified forward, so decoding works for
every family that packs.

Shape letters: N sequences decoded together, T tokens of a packed row, H query heads, G key/value heads, K head width,
L positions of a tail, P positions of a prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from luthier.models.attention import AttentionOptions, Sight, attend_path
from luthier.segments.prefixes import LEAST_SHARED


@dataclass(eq=False)
class Prefix:
    """Tokens that several sequences begin with, after those of `parent`.

    Attributes:
        tokens: Their ids.
        parent: What stands before them.
        users: Sequences below it that have not ended; at zero, keys and values are dropped.
        keys, values: `[G, P, K]` by layer, once they have been read.
    """

    tokens: Sequence[int]
    parent: Prefix | None = None
    users: int = 0
    keys: dict[int, Tensor] = field(default_factory=dict)
    values: dict[int, Tensor] = field(default_factory=dict)

    @property
    def start(self) -> int:
        """Position of the first token."""
        return self.parent.end if self.parent else 0

    @property
    def end(self) -> int:
        """Position after the last token."""
        return self.start + len(self.tokens)

    @property
    def path(self) -> tuple[Prefix, ...]:
        """The prefixes from the root down to this one."""
        return (*(self.parent.path if self.parent else ()), self)

    @property
    def was_read(self) -> bool:
        """Whether keys and values are there."""
        return bool(self.keys)

    def beginning(self, tokens: Sequence[int]) -> Prefix | None:
        """Return what `tokens` begin with of it, of all but their last one; None where that is not worth the while."""
        most = min(len(self.tokens), len(tokens) - 1)
        common = next((i for i in range(most) if self.tokens[i] != tokens[i]), most)
        if common < LEAST_SHARED:
            return None
        keys, values = ({n: held[:, :common] for n, held in store.items()} for store in (self.keys, self.values))
        return Prefix(self.tokens[:common], users=1, keys=keys, values=values)

    def release(self) -> None:
        """Note that one sequence below has ended."""
        self.users -= 1
        if not self.users:
            self.keys.clear()
            self.values.clear()


class KeyValueCache:
    """Keys and values of tails, `[slots, G, L, K]` a layer; layers are made when first stored to.

    Args:
        slots: Tails that it has room for.
        capacity: Longest tail that will be held, in tokens.
    """

    def __init__(self, slots: int, capacity: int) -> None:
        self.capacity = capacity
        self.slots = slots
        self._keys: dict[int, Tensor] = {}
        self._values: dict[int, Tensor] = {}

    def layer(self, index: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return a layer's keys and values; `like [1, G, T, K]` gives shape, dtype and device of a new one."""
        if index not in self._keys:
            shape = (self.slots, like.shape[1], self.capacity, like.shape[3])
            self._keys[index] = like.new_zeros(shape)
            self._values[index] = like.new_zeros(shape)
        return self._keys[index], self._values[index]

    def prefix(self, slot: int, tokens: Sequence[int]) -> Prefix:
        """Return the beginning of a tail, which holds those tokens from the sequence's first one on."""
        stores = ({n: held[slot, :, : len(tokens)] for n, held in s.items()} for s in (self._keys, self._values))
        return Prefix(tokens, None, 0, *stores)

    def move(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Copy the tails of some slots over those of others, none of which is a source."""
        for store in (self._keys, self._values):
            for held in store.values():
                held[list(targets)] = held[list(sources)]


@dataclass(frozen=True)
class Reading:
    """A run of tokens of the packed row that is read now.

    Attributes:
        begin, end: Its place in the row.
        path: The prefixes before it, root first; those read in the same row stand earlier in it.
        into: The prefix that it is, or the slot whose tail it is.
        copied: How many of the path's last prefixes the tail holds a copy of.
    """

    begin: int
    end: int
    path: tuple[Prefix, ...]
    into: Prefix | int
    copied: int = 0


class Prefill:
    """Attention of a packed row of readings; stores what later steps will look at.

    Args:
        readings: In the order of the row; a prefix stands before what follows it.
        positions: `[T]` position of each token of the row in its sequence.
        cache: Holds the tails.
    """

    def __init__(self, readings: Sequence[Reading], positions: Tensor, cache: KeyValueCache) -> None:
        self._readings = [(reading, _sight(positions[reading.begin : reading.end])) for reading in readings]
        self._cache = cache

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
        """Attend, and store; see `Attend`."""
        outputs = []
        for reading, sight in self._readings:
            row = slice(reading.begin, reading.end)
            keys, values = key[0, :, row], value[0, :, row]
            past_keys = [prefix.keys[options.layer] for prefix in reading.path]
            past_values = [prefix.values[options.layer] for prefix in reading.path]
            whole_keys = torch.cat([*past_keys, keys], 1) if past_keys else keys
            whole_values = torch.cat([*past_values, values], 1) if past_values else values
            outputs.append(attend_path(query[0, :, row], whole_keys, whole_values, sight, options))
            if isinstance(reading.into, Prefix):
                reading.into.keys[options.layer] = keys.clone()  # a view would hold the whole row
                reading.into.values[options.layer] = values.clone()
            else:
                self._store(reading, reading.into, whole_keys, whole_values, self._cache.layer(options.layer, key))
        return torch.cat(outputs, dim=1).transpose(0, 1)[None]  # [1, T, H, K]

    def _store(self, reading: Reading, slot: int, keys: Tensor, values: Tensor, tails: tuple[Tensor, Tensor]) -> None:
        """Put the tail, and the prefixes that are copied into it, into its slot."""
        apart = reading.path[: len(reading.path) - reading.copied]
        skip = apart[-1].end if apart else 0
        for tail, whole in zip(tails, (keys, values), strict=True):
            tail[slot, :, : whole.shape[1] - skip] = whole[:, skip:]


def _sight(positions: Tensor) -> Sight:
    """What a run of tokens sees: itself, and all that stands before it."""
    return Sight(positions, torch.arange(int(positions[-1]) + 1, device=positions.device))


class DecodeStep:
    """Attention of one new token a sequence, over its prefixes and its tail.

    Args:
        cache: The tails so far, those of the N sequences in its first slots; the new tokens' keys and values are added.
        positions: `[N]` position of each new token in its sequence.
        skips: `[N]` positions before each tail: the lengths of the prefixes that are held apart.
        apart: Each prefix held apart, with the rows below it (None: all).
        length: Positions of the longest tail with its new token; looked for if it is not given.
    """

    def __init__(
        self,
        cache: KeyValueCache,
        positions: Tensor,
        skips: Tensor | None = None,
        apart: Sequence[tuple[Prefix, Tensor | None]] = (),
        length: int | None = None,
    ) -> None:
        self._cache = cache
        self._apart = apart
        self._positions = positions
        self._places = positions if skips is None else positions - skips
        self._rows = torch.arange(len(positions), device=positions.device)
        self._length = int(self._places.max()) + 1 if length is None else length
        self._tail = Sight(self._places, torch.arange(self._length, device=positions.device))

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
        """Map `[1, H, N, K]` queries to `[1, N, H, K]`; see `Attend`."""
        keys, values = self._cache.layer(options.layer, key)
        keys[self._rows, :, self._places] = key[0].transpose(0, 1)
        values[self._rows, :, self._places] = value[0].transpose(0, 1)
        heads, n, width = query.shape[1:]
        groups = key.shape[1]
        stacked = query[0].transpose(0, 1).reshape(n, groups, heads // groups, width)  # [N, G, H/G, K]
        tail = keys[:n, :, : self._length], values[:n, :, : self._length]
        if self._apart or options.softcap is not None or options.sinks is not None:
            attended = self._in_parts(stacked, *tail, self._tail.allowed(options.window), options)
        else:
            bias = self._tail.bias(options.window, query.dtype)  # [N, L]
            mask = bias[:, None, None].expand(n, groups, heads // groups, self._length)
            attended = F.scaled_dot_product_attention(stacked, *tail, attn_mask=mask, scale=options.scale)
        return attended.reshape(n, heads, width)[None]

    def _in_parts(self, query: Tensor, keys: Tensor, values: Tensor, seen: Tensor, options: AttentionOptions) -> Tensor:
        """Attend to the tail and to each prefix on its own, and put the parts together by their softmax mass.

        A prefix's keys are read once for all rows below it, which is what sharing saves in decoding.
        """
        parts = [_attend(query, keys, values, seen[:, None, None], options)]
        for prefix, rows in self._apart:
            mine, positions = (query, self._positions) if rows is None else (query[rows], self._positions[rows])
            part = _attend_shared(mine, prefix, positions, options)
            parts.append(part if rows is None else _spread(part, rows, query))
        outputs = torch.stack([output for output, _ in parts])  # [parts, N, G, H/G, K]
        masses = torch.stack([mass for _, mass in parts])  # [parts, N, G, H/G], log of the sum of exponentials
        if options.sinks is not None:
            sinks = options.sinks.float().view(1, *query.shape[1:3]).expand(masses.shape[1:])
            masses = torch.cat([masses, sinks[None]])
        weights = torch.softmax(masses, 0)[: len(parts)]
        return (weights[..., None] * outputs).sum(0).to(values.dtype)


def _attend(
    query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None, options: AttentionOptions
) -> tuple[Tensor, Tensor]:
    """Softmax attention over one part of the keys: its output and the log of its softmax mass, both fp32."""
    scores = (query @ key.transpose(-1, -2)).float() * options.scale
    if options.softcap is not None:
        scores = torch.tanh(scores / options.softcap) * options.softcap
    if seen is not None:
        scores = scores.masked_fill(~seen, float("-inf"))
    mass = torch.logsumexp(scores, -1)
    # Where a window shows none of this part, the mass is -inf and the output does not matter.
    weights = torch.exp(scores - mass.masked_fill(mass == float("-inf"), 0.0)[..., None])
    return (weights.to(value.dtype) @ value).float(), mass


def _attend_shared(
    query: Tensor, prefix: Prefix, positions: Tensor, options: AttentionOptions
) -> tuple[Tensor, Tensor]:
    """Attention of `[n, G, H/G, K]` queries to one prefix, as a single product a head group."""
    n, groups, repeat, width = query.shape
    together = query.transpose(0, 1).reshape(groups, n * repeat, width)
    seen = None
    if options.window is not None:
        at = torch.arange(prefix.start, prefix.end, device=positions.device)
        seen = Sight(positions, at).allowed(options.window).repeat_interleave(repeat, 0)  # [n*H/G, P]
    output, mass = _attend(together, prefix.keys[options.layer], prefix.values[options.layer], seen, options)
    return output.view(groups, n, repeat, width).transpose(0, 1), mass.view(groups, n, repeat).transpose(0, 1)


def _spread(part: tuple[Tensor, Tensor], rows: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    """Put a part of some rows in their places among all; the others have no mass in it."""
    output = part[0].new_zeros(query.shape)
    mass = part[1].new_full(query.shape[:3], float("-inf"))
    output[rows], mass[rows] = part
    return output, mass
