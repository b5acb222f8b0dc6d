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
from torch.utils.checkpoint import checkpoint, noop_context_fn

from luthier.models.output_layer import OutputLayer

CHUNK = 256
"""Targets whose logits exist at once. Larger chunks are not faster on a CPU; the loss does not depend on it."""


@dataclass(frozen=True)
class Chunk:
    """Some targets, with their hidden states `[C, D]` and (made when first read) logits `[C, V]` in fp32."""

    hidden: Tensor
    token: Tensor
    output: OutputLayer

    @cached_property
    def logits(self) -> Tensor:
        """Logits `[C, V]`; if `hidden` already holds them (the ordinary forward), they are passed through."""
        return self.output(self.hidden)


class Readout(Protocol):
    """One quantity a target, `[C, …]` for each chunk; concatenated to `[P, …]`."""

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
        chosen = chunk.logits.gather(1, chunk.token[:, None])[:, 0]
        return chosen - torch.logsumexp(chunk.logits, dim=-1)


class NextTokenHits:
    """1 where the most probable token is the target token, else 0; `[P]`, without gradient."""

    name = "hits"
    differentiable = False

    def chunk(self, chunk: Chunk) -> Tensor:
        """See `Readout`."""
        return (chunk.logits.detach().argmax(-1) == chunk.token).float()


Contexts = Callable[[], tuple[AbstractContextManager[Any], AbstractContextManager[Any]]]
"""Makes the contexts of a computation's forward and of its recomputation, as `torch.utils.checkpoint` takes them."""


def read_chunks(
    hidden: Tensor,
    token: Tensor,
    output: OutputLayer,
    readouts: Sequence[Readout],
    size: int = CHUNK,
    contexts: Contexts = noop_context_fn,
) -> Mapping[str, Tensor]:
    """Compute readouts at all targets: `hidden [P, D]`, `token [P]` -> one `[P, …]` tensor a readout.

    With gradients on, each chunk is recomputed in the backward instead of keeping its logits; `contexts` brings back
    what was selected in the forward (the output layer may carry an adapter).
    """

    def compute(part: Tensor, ids: Tensor) -> tuple[Tensor, ...]:
        chunk = Chunk(part, ids, output)
        return tuple(readout.chunk(chunk) for readout in readouts)

    parts = []
    for start in range(0, hidden.shape[0], size):
        arguments = hidden[start : start + size], token[start : start + size]
        if torch.is_grad_enabled():
            parts.append(checkpoint(compute, *arguments, use_reentrant=False, context_fn=contexts))
        else:
            parts.append(compute(*arguments))
    return {
        readout.name: torch.cat(columns) for readout, columns in zip(readouts, zip(*parts, strict=True), strict=True)
    }
