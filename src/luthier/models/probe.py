"""What a model says to a few fixed tokens: kept beside an adapter, and looked at whenever the adapter is opened.

Digests say that the files are those that were written. They do not say that the libraries still compute the same from
them: that the adapter's layers are in effect, with the same scale, on the same base arithmetic. A forward over sixteen
tokens does. For an adapter it is computed in fp32 on the weights as they are, also where the model computes in bf16:
what a short training changes may be less than bf16 rounds away. It costs about 0.2 s of one CPU core for a model of
135 M parameters, and 0.7 s where its weights are bf16 and are widened for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from luthier.core.errors import GuardError
from luthier.models.loaded import LoadedModel
from luthier.models.memory import release_memory

_TEXT = "The quick brown fox jumps over the lazy dog, and nobody asks why it did so."
_TOKENS = 16
_LIKELIEST = 8
ALLOWED_NATS = {"fp32": 1e-2, "bf16": 0.5}
"""By how much a log-probability may differ: rounding in fp32 moves it by 1e-5, and where one of both sides computes in
bf16, that alone by 0.08 with SmolLM2-135M."""


def probe(model: LoadedModel, *, exact: bool = False) -> dict[str, Any]:
    """Return the probe's tokens, and the likeliest tokens that follow with their log-probabilities (nats).

    Args:
        model: With what it is probed with switched on.
        exact: Compute in fp32 whatever the model's compute precision is (weights as they are).
    """
    ids = model.tokenizer(_TEXT, add_special_tokens=False)["input_ids"][:_TOKENS]
    likeliest = _logps(model, ids, exact).topk(_LIKELIEST)
    return {"ids": ids, "tokens": likeliest.indices.tolist(), "logps": likeliest.values.tolist(), "exact": exact}


def require_same_answer(model: LoadedModel, record: Mapping[str, Any], folder: Path) -> None:
    """Refuse an adapter under which the model does not say what it said when the adapter was saved.

    Args:
        model: With the adapter on, and no other.
        record: The adapter's; those of earlier versions hold no probe.
        folder: The adapter's, for the error.

    Raises:
        GuardError: with the largest difference.
    """
    wanted = record.get("probe")
    if wanted is None:
        return
    found = _logps(model, wanted["ids"], exact=True)[wanted["tokens"]]
    difference = float((found - torch.tensor(wanted["logps"])).abs().max())
    # In two precisions the base's weights differ too, and probes of earlier versions were computed in the model's own.
    precisions = {model.precision, record["precision"]}
    exact = precisions == {"fp32"} or (len(precisions) == 1 and wanted.get("exact", False))
    allowed = ALLOWED_NATS["fp32" if exact else "bf16"]
    if not difference <= allowed:
        raise GuardError(
            f"The adapter {folder} was loaded, but with it the model does not say what it said when it was saved: a "
            f"log-probability differs by {difference:.2g} nats (allowed {allowed:g}). Its files were changed, or "
            "transformers, PEFT or torch compute differently than then: put the files back, or go back to the versions "
            "in the manifest of its run (luthier env prints those here)."
        )


@torch.no_grad()
def _logps(model: LoadedModel, ids: Sequence[int], exact: bool) -> torch.Tensor:
    """Return the log-probabilities `[V]` of what follows."""
    training = model.module.training
    model.module.eval()
    try:
        with model.in_fp32() if exact else model.autocast(), model.attention(model.ordinary_attention):
            logits = model.module(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits
    finally:
        model.module.train(training)
    if exact and model.precision != "fp32":
        release_memory()  # the weights were held in fp32
    logps: torch.Tensor = logits[0, -1].float().log_softmax(-1).cpu()
    return logps
