"""Memory arithmetic: what a training step will take, before it is tried.

Per trained parameter AdamW in fp32 needs 16 bytes (weight, gradient, two moments); a frozen one only its weight, 4
bytes in fp32 and 2 in bf16. Activations are what the backward keeps of each token and layer; with the output layer
read at targets in chunks, logits are not among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from luthier.models.device import memory_bytes, pick_device
from luthier.models.facts import ModelFacts
from luthier.models.readouts import CHUNK, KEPT_LOGITS, trained_chunk

_ADAM_BYTES = 16
_PROCESS_BYTES = 600 * 2**20
"""Python, torch and transformers themselves."""
_MADE_AGAIN = frozenset(
    {"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "granite", "smollm3", "olmo2"}
)
"""Families whose norms and gated feed-forwards compute with functions of `models/arithmetic`."""
_TRANSIENT = 1.6
"""Activations held at once against those kept for the backward: gradients of the layer at work, copies to bf16."""
_CHECKPOINT_BYTES = 12
"""A trained parameter in a checkpoint: its weight and AdamW's two moments."""
_OTHER_FILES_BYTES = 20 * 2**20
"""Answers, logs, report, tokenizer."""
CACHED_POSITIONS = 24_576
"""Positions whose keys and values generation holds at once, over all sequences."""
READ_TOKENS = 4096
"""Tokens of prompts read at once; bounds memory."""
_COPY_SHARE = 1 / 8
"""The copy of the weights that decoding reads takes at most this much of the machine's memory."""


def estimate_training_bytes(facts: ModelFacts, trained: Mapping[str, Any], micro_tokens: int, precision: str) -> int:
    """Estimate the peak memory of a process that loads, trains and answers, in bytes.

    Args:
        facts: The model.
        trained: Trained parameters by name.
        micro_tokens: Tokens computed at once in training.
        precision: Compute precision; activations take 2 or 4 bytes a number.
    """
    numbers = sum(parameter.numel() for parameter in trained.values())
    frozen = max(0, facts.parameters - numbers)
    width = 2 if precision == "bf16" else 4
    weights = frozen * width + numbers * _ADAM_BYTES
    # Kept a token and layer by plain autograd: about ten widths (norms, projections, residuals) and four of the
    # feed-forward (gate, up, activation, product). What norms and gated products give is made again instead; in bf16
    # what attention and norms compute in fp32 is held beside it.
    own = facts.family in _MADE_AGAIN
    widths, inner = 6 if own and precision == "fp32" else 10, 2 if own else 4
    activations = micro_tokens * facts.layers * (widths * facts.width + inner * facts.feed_forward) * width
    logits = CHUNK * facts.vocabulary * 3
    if numbers >= facts.parameters:  # the gradients of a chunk's logits and of the output weight, and the logits kept
        logits = trained_chunk(facts.width) * facts.vocabulary * 2 + min(KEPT_LOGITS, micro_tokens * facts.vocabulary)
    training = weights + int(activations * _TRANSIENT) + logits * 4
    return int(_PROCESS_BYTES + max(training, estimate_answering_bytes(facts, precision) - _PROCESS_BYTES))


def estimate_answering_bytes(facts: ModelFacts, precision: str) -> int:
    """Estimate the peak memory of a process that loads a model and answers with it, in bytes.

    Either loading is the peak (the checks at load hold bf16 weights a second time, in fp32), or answering: with a full
    cache of keys and values, the copy of the weights that steps read, and what a layer holds of prompts being read.
    """
    width = 2 if precision == "bf16" else 4
    weights = facts.parameters * width
    checking = facts.parameters * 4 if precision == "bf16" else 0
    cache = CACHED_POSITIONS * facts.layers * 2 * facts.kv_heads * facts.head_width * width
    copy = weights if copies_weights(pick_device(), facts.parameters) else 0
    reading = READ_TOKENS * (6 * facts.width + 3 * facts.feed_forward) * width
    return int(_PROCESS_BYTES + weights + max(checking, cache + copy + reading))


def copies_weights(device: torch.device, parameters: int) -> bool:
    """Whether decoding holds a copy of the weights in another order there: on a CPU with room for it."""
    room = memory_bytes(device) if device.type == "cpu" and torch.backends.mkldnn.is_available() else None
    return room is not None and parameters * 4 <= room * _COPY_SHARE


def estimate_run_bytes(trained: Mapping[str, Any], saved_numbers: int) -> int:
    """Estimate the most that a training run holds on disk at once, in bytes.

    Three checkpoints stay (the two newest and the best) while a fourth is written; each has the trained weights and
    AdamW's two moments in fp32. What is saved at the end is written beside them.

    Args:
        trained: Trained parameters by name.
        saved_numbers: Numbers in what is saved at the end: an adapter's, or the whole model's.
    """
    numbers = sum(parameter.numel() for parameter in trained.values())
    return 4 * numbers * _CHECKPOINT_BYTES + saved_numbers * 4 + _OTHER_FILES_BYTES
