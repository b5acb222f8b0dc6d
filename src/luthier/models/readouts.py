"""Readouts: what is taken out of a model at the targets, computed chunk by chunk where the logits are.

A whole `[P, V]` matrix of logits never exists: with 49,152 words and 2,000 targets it would take 400 MB in fp32, and
its gradient as much again.

Shape letters: C targets of one chunk, P targets, V vocabulary, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd import Function
from torch.utils.checkpoint import checkpoint, noop_context_fn

from luthier.models.arithmetic.precision import widen
from luthier.models.output_layer import OutputLayer

CHUNK = 256
"""Targets whose logits are made at once. Larger chunks are not faster on a CPU; the loss does not depend on it."""
KEPT_LOGITS = 2**25
"""Logits that the backward of a trained output layer finds again (128 MiB in fp32); further ones are recomputed."""
_PIECE = 2**21
"""Logits of a chunk that are widened at once on a CPU: few enough for its caches, and no fresh pages each time."""


@dataclass(frozen=True)
class Chunk:
    """Some targets, with their hidden states `[C, D]` and (made when first read) logits `[C, V]`.

    If `hidden` already holds the logits (the ordinary forward), they are passed through.
    """

    hidden: Tensor
    token: Tensor
    output: OutputLayer

    @cached_property
    def product(self) -> Tensor:
        """What the output layer's product gives, in its precision: logits before scale, cap and widening."""
        return self.output.linear(self.hidden)

    @cached_property
    def logits(self) -> Tensor:
        """Logits in fp32 (float64 stays float64)."""
        return self.output.finish(self.product)

    @property
    def unfinished(self) -> Tensor:
        """The product where widening is all that is left to do, else the logits."""
        return self.product if self.output.widens_only else self.logits


class Readout(Protocol):
    """One quantity a target, `[C]` for each chunk; concatenated to `[P]`. A target's depends on its own row alone."""

    name: str
    differentiable: bool

    def chunk(self, chunk: Chunk) -> Tensor:
        """Compute the quantity for one chunk."""
        ...


class TokenLogps:
    """Natural-log probability of each target token, `[P]`.

    Computed as `logit - logsumexp(logits)`: on peaked logits it is two orders closer to float64 than
    `torch.nn.functional.cross_entropy` in fp32.
    """

    name = "logps"
    differentiable = True

    def chunk(self, chunk: Chunk) -> Tensor:
        """See `Readout`."""
        found: Tensor = _LogProbability.apply(chunk.unfinished, chunk.token)
        return found


class _LogProbability(Function):
    """`logits[token] - logsumexp(logits)` in fp32, of logits in any precision, and its gradient in theirs.

    Beside logits and gradient no `[C, V]` tensor is made, where autograd makes four.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, token: Tensor) -> Tensor:
        found, normalisers = [], []
        for piece, ids in zip(_pieces(logits), _pieces(token, logits), strict=True):
            wide = widen(piece)
            normalisers.append(torch.logsumexp(wide, dim=-1))
            found.append(wide.gather(1, ids[:, None])[:, 0] - normalisers[-1])
        ctx.save_for_backward(logits, torch.cat(normalisers), token)
        return torch.cat(found)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        logits, *columns = ctx.saved_tensors
        of_logits = torch.empty_like(logits)
        pieces = _pieces(logits), _pieces(of_logits), *(_pieces(column, logits) for column in (*columns, gradient))
        for piece, of_piece, normaliser, ids, of_found in zip(*pieces, strict=True):
            share = (widen(piece) - normaliser[:, None]).exp_().mul_(-of_found[:, None])
            of_piece.copy_(share.scatter_add_(1, ids[:, None], of_found[:, None]))
        return of_logits, None


def _pieces(column: Tensor, logits: Tensor | None = None) -> tuple[Tensor, ...]:
    """Split targets `[C, ...]` into pieces that are computed at once; one column as the logits `[C, V]` are split."""
    logits = column if logits is None else logits
    return column.split(max(1, _PIECE // logits.shape[1]) if logits.device.type == "cpu" else max(1, len(column)))


class NextTokenHits:
    """1 where the most probable token is the target token, else 0; `[P]`, without gradient."""

    name = "hits"
    differentiable = False

    def chunk(self, chunk: Chunk) -> Tensor:
        """See `Readout`."""
        return (chunk.unfinished.detach().argmax(-1) == chunk.token).float()


Contexts = Callable[[], tuple[AbstractContextManager[Any], AbstractContextManager[Any]]]
"""Makes the contexts of a computation's forward and of its recomputation, as `torch.utils.checkpoint` takes them."""


def read_chunks(
    hidden: Tensor,
    token: Tensor,
    output: OutputLayer,
    readouts: Sequence[Readout],
    size: int | None = None,
    contexts: Contexts = noop_context_fn,
) -> Mapping[str, Tensor]:
    """Compute readouts at all targets: `hidden [P, D]`, `token [P]` -> one `[P]` tensor a readout.

    Where the output layer is frozen, a chunk's gradient is made at once: a target's readout depends on its own hidden
    state alone, so `d readout / d hidden` is one row `[D]` a target, which the backward only has to scale. Where it is
    trained, the first `KEPT_LOGITS` are kept, and further chunks are recomputed in the backward; `contexts` brings back
    what was selected in the forward (the output layer may carry an adapter).
    """
    if torch.is_grad_enabled() and hidden.requires_grad and output.frozen:
        columns = _RowGradients.apply(hidden, token, output, readouts, size or CHUNK)
        return {readout.name: column for readout, column in zip(readouts, columns, strict=True)}

    kept = 0
    size = size or (CHUNK if output.frozen else trained_chunk(hidden.shape[1]))

    def compute(part: Tensor, ids: Tensor) -> tuple[Tensor, ...]:
        nonlocal kept
        chunk = Chunk(part, ids, output)
        columns = tuple(readout.chunk(chunk) for readout in readouts)
        kept += chunk.product.numel()
        return columns

    parts = []
    for start in range(0, hidden.shape[0], size):
        arguments = hidden[start : start + size], token[start : start + size]
        if torch.is_grad_enabled() and kept >= KEPT_LOGITS:
            parts.append(checkpoint(compute, *arguments, use_reentrant=False, context_fn=contexts))
        else:
            parts.append(compute(*arguments))
    return {
        readout.name: torch.cat(columns) for readout, columns in zip(readouts, zip(*parts, strict=True), strict=True)
    }


def trained_chunk(width: int) -> int:
    """Return how many targets' logits are made at once where the output layer is trained: at least the model's width.

    A chunk's logits then take as much as the gradient of the output weight, of which each chunk makes one to be added.
    """
    return max(CHUNK, width)


class _RowGradients(Function):
    """Readouts of one number a target, with the gradient of each for its hidden state made in the forward."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, token: Tensor, output: OutputLayer, readouts: Sequence[Readout], size: int
    ) -> tuple[Tensor, ...]:
        columns: list[list[Tensor]] = [[] for _ in readouts]
        rows = {i: torch.empty_like(hidden) for i, readout in enumerate(readouts) if readout.differentiable}
        for start in range(0, hidden.shape[0], size):
            with torch.enable_grad():
                part = hidden[start : start + size].detach().requires_grad_()
                chunk = Chunk(part, token[start : start + size], output)
                found = [readout.chunk(chunk) for readout in readouts]
            for i, values in enumerate(found):
                columns[i].append(values.detach())
                if i in rows:
                    again = i != max(rows)
                    (row,) = torch.autograd.grad(values, part, torch.ones_like(values), retain_graph=again)
                    rows[i][start : start + size] = row
        ctx.save_for_backward(*rows.values())
        ctx.places = tuple(rows)
        joined = tuple(torch.cat(column) for column in columns)
        ctx.mark_non_differentiable(*(column for i, column in enumerate(joined) if i not in rows))
        return joined

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows = zip(ctx.places, ctx.saved_tensors, strict=True)
        of_hidden = [row * gradients[i][:, None].to(row.dtype) for i, row in rows]
        return torch.stack(of_hidden).sum(0) if len(of_hidden) > 1 else of_hidden[0], None, None, None, None
