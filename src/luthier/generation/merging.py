"""Merging an adapter into its base: a plain model that needs neither Luthier nor PEFT."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from luthier.core.errors import GuardError, RunError
from luthier.core.files import staged_folder, write_json
from luthier.core.sealed import seal
from luthier.core.types import user
from luthier.data.render import Renderer
from luthier.generation.local import open_adapter
from luthier.models.load import load_model
from luthier.models.loaded import LoadedModel
from luthier.models.source import find_model
from luthier.models.weights import saving_weights

_PROBES = (
    "What is the capital of France?",
    "Write one sentence about rain.",
    "2 + 2 =",
    "Is this review positive or negative? The room was cold and the staff rude.",
    'Return JSON with the fields "name" and "age": Ada is 36.',
    "Translate to German: good morning",
    "def fibonacci(n):",
    "Summarize: The meeting was moved from Monday to Thursday because the room was taken.",
)
BUDGET = {"largest_logit_difference": 1e-3, "mean_kl_nats": 1e-6, "other_top_tokens": 0.0}
"""What merging in fp32 may change. It rounds each weight once: some 1e-6 on logits, 1e-12 nats, no token."""


def merge_adapter(adapter: Path, target: Path) -> Path:
    """Merge in fp32, measure what it changed, and write a plain transformers model with its tokenizer.

    Raises:
        RunError: if the target exists.
        GuardError: if the merged model differs from the adapter by more than `BUDGET`; nothing is written then.
    """
    if target.exists():
        raise RunError(f"{target} already exists. Remove it, or name another folder with --to.")
    model = load_model(find_model(str(adapter)), precision="fp32", check=False)
    attached = open_adapter(adapter, model)
    renderer = Renderer(model.tokenizer, model.facts.context)
    prompts = [torch.tensor([renderer.prompt_ids(user(text))]) for text in _PROBES]
    attached.set_active(True)
    with_adapter = [_logits(model, model.module, ids) for ids in prompts]
    merged = attached.merge()
    after = [_logits(model, merged, ids) for ids in prompts]
    measured = measure_change(with_adapter, after)
    if over := [name for name, most in BUDGET.items() if not measured[name] <= most]:
        raise GuardError(
            f"Merging changed what the model says: {over[0]} is {measured[over[0]]:.2e} on {measured['positions']} "
            f"positions of {len(prompts)} probe prompts (allowed {BUDGET[over[0]]:g}). Nothing was written; use the "
            "adapter itself."
        )
    with staged_folder(target) as staged:
        with saving_weights(staged):
            merged.save_pretrained(staged, safe_serialization=True)
        model.tokenizer.save_pretrained(staged)
        write_json(staged / "merge.json", measured)
        seal(staged)
    return target


def measure_change(before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> dict[str, float]:
    """Compare the logits `[T, V]` of probe prompts: largest difference, mean KL(before || after), other top tokens.

    Top tokens count as other only where the best two were not a near-tie before (1e-3 apart or more).
    """
    old, new = torch.cat(list(before)).double(), torch.cat(list(after)).double()
    best = old.topk(2, dim=-1).values
    clear = best[:, 0] - best[:, 1] >= BUDGET["largest_logit_difference"]
    divergence = (old.softmax(-1) * (old.log_softmax(-1) - new.log_softmax(-1))).sum(-1)
    same = old.argmax(-1) == new.argmax(-1)
    return {
        "largest_logit_difference": float((old - new).abs().max()),
        "mean_kl_nats": max(0.0, float(divergence.mean())) if torch.isfinite(divergence).all() else float("nan"),
        "other_top_tokens": float((~same & clear).double().mean()),
        "same_top_token": float(same.double().mean()),
        "positions": len(old),
    }


@torch.no_grad()
def _logits(model: LoadedModel, module: Any, ids: torch.Tensor) -> torch.Tensor:
    with model.attention(model.ordinary_attention):
        logits: torch.Tensor = module(input_ids=ids.to(model.device), use_cache=False).logits[0].float().cpu()
    return logits
