"""Merging an adapter into its base: a plain model that needs neither Luthier nor PEFT."""

from __future__ import annotations

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

_PROBES = ("What is the capital of France?", "Write one sentence about rain.", "2 + 2 =")
_LARGEST_DIFFERENCE = 1e-3
"""On logits in fp32; merging rounds each weight once, which moves logits by some 1e-6."""


def merge_adapter(adapter: Path, target: Path) -> Path:
    """Merge in fp32, measure what it changed, and write a plain transformers model with its tokenizer.

    Raises:
        RunError: if the target exists.
        GuardError: if the merged model's logits differ from the adapter's.
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
    worst = max(float((a - b).abs().max()) for a, b in zip(with_adapter, after, strict=True))
    agreement = sum(int((a.argmax(-1) == b.argmax(-1)).sum()) for a, b in zip(with_adapter, after, strict=True))
    positions = sum(ids.shape[1] for ids in prompts)
    if worst > _LARGEST_DIFFERENCE:
        raise GuardError(
            f"Merging changed logits by up to {worst:.2e} (allowed {_LARGEST_DIFFERENCE:g}); nothing was written."
        )
    with staged_folder(target) as staged:
        with saving_weights(staged):
            merged.save_pretrained(staged, safe_serialization=True)
        model.tokenizer.save_pretrained(staged)
        measured = {"largest_logit_difference": worst, "same_top_token": agreement / positions, "positions": positions}
        write_json(staged / "merge.json", measured)
        seal(staged)
    return target


@torch.no_grad()
def _logits(model: LoadedModel, module: Any, ids: torch.Tensor) -> torch.Tensor:
    with model.attention(model.ordinary_attention):
        logits: torch.Tensor = module(input_ids=ids.to(model.device), use_cache=False).logits[0].float()
    return logits
