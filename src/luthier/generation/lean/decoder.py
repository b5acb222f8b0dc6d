"""What a decoder-only transformer computes for tokens in one row, by parts that hold tensors and nothing else.

Shape letters: T tokens of the row, n of them read, D width, H query heads, G key/value heads, K head width, F width of
the feed-forward, R rank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from luthier.generation.lean.packing import Product
from luthier.models.arithmetic.low_rank import LowRankUpdate
from luthier.models.arithmetic.rms_norm import normalise
from luthier.models.attention import Attend, AttentionOptions

_FEW_ROWS = 16
"""Products with an adapter's narrow matrices take most of their time to be begun, in bf16 longer than in fp32: a step
of SmolLM2-135M took three quarters of its time for 1 row, 0.96 of it for 16, as long for 32 (two cores with AMX)."""


@dataclass(frozen=True)
class Linear:
    """`x W^T + bias`, and an adapter's update.

    Attributes:
        weight: `[out, in]`.
        bias: `[out]`.
        update: In the weight's precision.
        wide_update: The same in fp32, for few rows in half precision on a CPU.
        packed: The product of few rows with the weight.
    """

    weight: Tensor
    bias: Tensor | None = None
    update: LowRankUpdate | None = None
    wide_update: LowRankUpdate | None = None
    packed: Product | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Map `[T, in]` to `[T, out]` in the weight's precision."""
        x = x.to(self.weight.dtype)
        if self.packed is not None and self.packed.fewest <= len(x) <= self.packed.most:
            y = self.packed(x, self.bias)
        else:
            y = F.linear(x, self.weight, self.bias)
        if self.wide_update is not None and len(x) <= _FEW_ROWS:
            wide = self.wide_update
            y.add_(x.float() @ wide.a.t() @ wide.b.t(), alpha=wide.scale)
        elif self.update is not None:
            y.addmm_(x @ self.update.a.t(), self.update.b.t(), alpha=self.update.scale)
        return y

    def to(self, dtype: torch.dtype) -> Linear:
        """Return it in a precision; tensors that have it already are shared."""
        weight, update = self.weight.to(dtype), self.update
        wide = None if update is None or dtype != torch.bfloat16 or weight.is_cuda else _in(update, torch.float32)
        return Linear(
            weight,
            None if self.bias is None else self.bias.to(dtype),
            None if update is None else _in(update, dtype),
            wide,
        )


def _in(update: LowRankUpdate, dtype: torch.dtype) -> LowRankUpdate:
    return replace(update, a=update.a.detach().to(dtype), b=update.b.detach().to(dtype))


@dataclass(frozen=True)
class RmsNorm:
    """RMS normalisation; `shifted` (Gemma) multiplies by `1 + weight`."""

    weight: Tensor
    epsilon: float
    shifted: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise the last dimension."""
        if x.dtype == self.weight.dtype == torch.float32 and not self.shifted:  # fewer calls
            return F.rms_norm(x, self.weight.shape, self.weight, self.epsilon)
        return normalise(x, 1.0 + self.weight.float() if self.shifted else self.weight, self.epsilon, x.dtype)


@dataclass(frozen=True)
class LayerNorm:
    """Layer normalisation (Ba et al. 2016)."""

    weight: Tensor
    bias: Tensor | None
    epsilon: float

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise the last dimension."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.epsilon)


Norm = RmsNorm | LayerNorm
Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Projections:
    """Queries, keys and values.

    Attributes:
        linears: One for each, or a single one that holds all three.
        heads, kv_heads, head_width: H, G, K.
        interleaved: In a single one, whether each head's query, key and value stand together (GPT-NeoX).
        query_norm, key_norm: Of each head, after the projection.
    """

    linears: tuple[Linear, ...]
    heads: int
    kv_heads: int
    head_width: int
    interleaved: bool = False
    query_norm: Norm | None = None
    key_norm: Norm | None = None

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map `[T, D]` to `[T, H, K]` and twice `[T, G, K]`."""
        if self.interleaved:
            query, key, value = self.linears[0](x).view(len(x), self.heads, 3 * self.head_width).chunk(3, -1)
            return query, key, value
        widths = [self.heads * self.head_width, *[self.kv_heads * self.head_width] * 2]
        parts = self.linears[0](x).split(widths, -1) if len(self.linears) == 1 else [each(x) for each in self.linears]
        query = parts[0].reshape(len(x), self.heads, self.head_width)
        key, value = (part.reshape(len(x), self.kv_heads, self.head_width) for part in parts[1:])
        if self.query_norm is not None and self.key_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        return query, key, value


@dataclass(frozen=True)
class FeedForward:
    """`down(act(gate(x)) * up(x))`; without a gate, `down(act(up(x)))`.

    Attributes:
        up: Without a gate, or with `gate` apart; where `joined`, gate and up in one.
    """

    up: Linear
    down: Linear
    activation: Activation
    gate: Linear | None = None
    joined: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        """Map `[T, D]` to `[T, D]`."""
        if self.joined:
            gate, up = self.up(x).chunk(2, -1)
            return self.down(self.activation(gate) * up)
        if self.gate is None:
            return self.down(self.activation(self.up(x)))
        return self.down(self.activation(self.gate(x)).mul_(self.up(x)))


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        before_attention, before_feed_forward: Norms of what goes in. Without the latter, a parallel layer's
            feed-forward reads what attention reads.
        after_attention, after_feed_forward: Norms of what comes out, before it is added.
        rotary: Which table of angles; None for none.
        parallel: Attention and feed-forward read the same stream.
        residual_scale: Factor on what is added to the stream.
    """

    projections: Projections
    output: Linear
    feed_forward: FeedForward
    options: AttentionOptions
    before_attention: Norm
    before_feed_forward: Norm | None
    after_attention: Norm | None = None
    after_feed_forward: Norm | None = None
    rotary: str | None = "all"
    parallel: bool = False
    residual_scale: float = 1.0

    def __call__(self, x: Tensor, rotary: Mapping[str, Rotation], attend: Attend, read_at: Tensor | None) -> Tensor:
        """Map the stream `[T, D]` to that after the layer; of the rows `read_at` only, where given."""
        normed = self.before_attention(x)
        query, key, value = self.projections(normed)
        if self.rotary is not None:
            query, key = rotary[self.rotary](query), rotary[self.rotary](key)
        query, key = query.to(value.dtype), key.to(value.dtype)
        query, key, value = (each.transpose(0, 1)[None] for each in (query, key, value))
        attended = attend(query, key, value, self.options).reshape(len(x), -1)
        if read_at is not None:
            x, normed, attended = x[read_at], normed[read_at], attended[read_at]
        added = self.output(attended)
        if self.after_attention is not None:
            added = self.after_attention(added)
        if self.residual_scale != 1.0:
            added = added * self.residual_scale
        middle = x + added
        reading = x if self.parallel else middle
        inside = normed if self.before_feed_forward is None else self.before_feed_forward(reading)
        added = self.feed_forward(inside)
        if self.after_feed_forward is not None:
            added = self.after_feed_forward(added)
        if self.residual_scale != 1.0:
            added = added * self.residual_scale
        return middle + added


@dataclass(frozen=True)
class Rotation:
    """Rotary embedding (Su et al. 2021, arXiv:2104.09864) of the first dimensions of each head, halves paired.

    Attributes:
        cosine: `[T, 1, 2r]`.
        sine: `[T, 1, 2r]`, negative in the first half.
    """

    cosine: Tensor
    sine: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Rotate `[T, heads, K]`."""
        width = self.cosine.shape[-1]
        if width == x.shape[-1]:
            return torch.addcmul(x * self.cosine, x.roll(width // 2, -1), self.sine)
        turned, rest = x[..., :width], x[..., width:]
        return torch.cat([torch.addcmul(turned * self.cosine, turned.roll(width // 2, -1), self.sine), rest], -1)


@dataclass(frozen=True)
class Angles:
    """Frequencies of a rotary embedding.

    Attributes:
        frequencies: `[r]` radians a position.
        scale: Factor on cosine and sine.
    """

    frequencies: Tensor
    scale: float = 1.0

    def at(self, positions: Tensor, dtype: torch.dtype) -> Rotation:
        """Return the rotation of tokens at `[T]` positions."""
        angles = torch.outer(positions.float(), self.frequencies)
        cosine, sine = angles.cos() * self.scale, angles.sin() * self.scale
        return Rotation(
            torch.cat([cosine, cosine], -1)[:, None].to(dtype), torch.cat([-sine, sine], -1)[:, None].to(dtype)
        )


@dataclass(frozen=True)
class Decoder:
    """A decoder without its output layer.

    Attributes:
        embedding: `[V, D]`.
        layers: In order.
        norm: The last one.
        angles: Rotary embeddings by name.
        positions: `[context, D]` learned position embeddings; None for rotary ones.
        scale: Factor on the embeddings.
    """

    embedding: Tensor
    layers: tuple[Layer, ...]
    norm: Norm
    angles: Mapping[str, Angles]
    positions: Tensor | None = None
    scale: float = 1.0

    @torch.no_grad()
    def __call__(self, ids: Tensor, positions: Tensor, attend: Attend, read_at: Tensor | None = None) -> Tensor:
        """Return the normalised hidden states `[T, D]` of tokens `[T]` at `[T]` positions.

        Args:
            ids: Tokens.
            positions: Their positions, each in its own sequence.
            attend: Who sees whom.
            read_at: `[n]` places in the row that are wanted; None for all.
        """
        x = F.embedding(ids, self.embedding)
        if self.scale != 1.0:
            x = x * torch.tensor(self.scale, dtype=x.dtype)  # Gemma rounds the factor to the precision of its weights
        if self.positions is not None:
            x = x + F.embedding(positions, self.positions)
        rotary = {name: angles.at(positions, x.dtype) for name, angles in self.angles.items()}
        for layer in self.layers[:-1]:
            x = layer(x, rotary, attend, None)
        return self.norm(self.layers[-1](x, rotary, attend, read_at))
