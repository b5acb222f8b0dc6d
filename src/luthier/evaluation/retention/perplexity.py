"""Perplexity of plain text: how well a model still predicts ordinary prose, read without a chat template.

One forward a thousand tokens and no generation, so it is far cheaper than asking questions, and it moves before they
do. It says nothing about whether answers are right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from luthier.core.errors import GuardError
from luthier.models.readouts import TokenLogps
from luthier.segments import Batch, join, sequence_batch
from luthier.segments.packing import pack_by_tokens

if TYPE_CHECKING:
    from luthier.generation.local import LocalModel

_CAPACITY = 1024
"""Tokens read at once."""


def perplexity(model: LocalModel, texts: Sequence[str]) -> list[tuple[float, int]]:
    """Read texts, each by itself, in the model's precision.

    Returns:
        For each text the sum of its tokens' negative log-probabilities (nats), and the number of these tokens. The
        first token of a text has nothing before it and is not among them, unless the tokenizer opens texts with a
        beginning-of-sequence token. Perplexity is the exponential of nats a token.

    Raises:
        GuardError: if a probability is not a finite number.
    """
    batches = [_text_batch(model.renderer.tokenizer, text) for text in texts]
    rows: list[tuple[float, int]] = []
    for group in pack_by_tokens([batch.tokens for batch in batches], _CAPACITY):
        batch = join([batches[index] for index in group])
        logps = model.model.read(batch, [TokenLogps()], model.adapter)["logps"].cpu().double()
        sums = torch.zeros(len(group), dtype=torch.float64).index_add_(0, batch.targets.sequence, logps)
        rows += [(-total, len(batches[index].targets)) for index, total in zip(group, sums.tolist(), strict=True)]
    if not all(math.isfinite(nats) for nats, _ in rows):
        raise GuardError(
            "The model gives general text probabilities that are not numbers: its weights or its precision are broken. "
            "Try precision=fp32; after tuning, a lower learning rate."
        )
    return rows


def _text_batch(tokenizer: Any, text: str) -> Batch:
    """Return a text as a sequence of which all but the first token are targets."""
    tokens = np.array(tokenizer(text)["input_ids"], dtype=np.int64)
    weights = np.ones(len(tokens), dtype=np.float32)
    weights[0] = 0.0
    return sequence_batch(tokens, weights)
