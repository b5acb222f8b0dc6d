"""From logits to the next token: greedy, temperature, top-k, top-p."""

from __future__ import annotations

import torch
from torch import Tensor

from luthier.core.errors import GuardError
from luthier.core.types import Decoding


def next_token(logits: Tensor, decoding: Decoding, generator: torch.Generator | None) -> int:
    """Choose a token from logits `[V]` (fp32).

    Temperature scales first, then the k most probable are kept, then the smallest set whose probability reaches `top_p`
    (Holtzman et al. 2020, arXiv:1904.09751), as in transformers.
    """
    if decoding.temperature <= 0:
        return int(logits.argmax())
    logits = logits / decoding.temperature
    if decoding.top_k:
        kept = torch.topk(logits, min(decoding.top_k, logits.shape[0]))
        logits = torch.full_like(logits, float("-inf")).scatter(0, kept.indices, kept.values)
    if decoding.top_p < 1.0:
        ordered, order = logits.sort(descending=True)
        before = torch.softmax(ordered, -1).cumsum(-1) - torch.softmax(ordered, -1)
        logits = logits.scatter(0, order, ordered.masked_fill(before >= decoding.top_p, float("-inf")))
    return draw(torch.softmax(logits, -1), generator)


def draw(probabilities: Tensor, generator: torch.Generator | None) -> int:
    """Draw an index by probabilities `[V]`, with one random number: where their running sum passes it.

    `torch.multinomial` draws one for each index, which took a fifth of sampling from 49,152 tokens.

    Raises:
        GuardError: if they are not finite.
    """
    passed = probabilities.cumsum(-1, dtype=torch.float64)
    if not torch.isfinite(passed[-1]):
        raise GuardError(
            "The model's logits are not finite: there is nothing to draw a token from. Its weights are damaged, or too "
            "large for this precision; try --precision fp32."
        )
    point = torch.rand((), dtype=torch.float64, generator=generator) * passed[-1]
    return int(torch.searchsorted(passed, point, right=True))  # right: past whatever has probability zero


def generator_for(decoding: Decoding, index: int) -> torch.Generator | None:
    """Return the random stream of one request; greedy decoding needs none."""
    if decoding.temperature <= 0:
        return None
    from luthier.core.seeding import derive

    return torch.Generator().manual_seed(derive(decoding.seed, "sample", index))
