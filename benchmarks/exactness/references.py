"""The same figures computed without Luthier: plain torch, transformers, PEFT and TRL. Nothing here imports luthier.

A row is a list of token ids and, for each, whether it is a target (1) or context (0).
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from torch import Tensor

Row = tuple[Sequence[int], Sequence[int]]


def load(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """Load a model as anybody would; families that soft-cap their scores want eager attention."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder)
    attention = "eager" if getattr(config, "attn_logit_softcapping", None) else None
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=attention)
    model.config.use_cache = False
    return model.eval()


def padded(rows: Sequence[Row], pad_id: int) -> dict[str, Tensor]:
    """Return right-padded ids, mask and labels (-100 is no target)."""
    longest = max(len(tokens) for tokens, _ in rows)
    ids = torch.full((len(rows), longest), pad_id)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for index, (tokens, trained) in enumerate(rows):
        ids[index, : len(tokens)] = torch.tensor(list(tokens))
        mask[index, : len(tokens)] = 1
        labels[index, : len(tokens)] = torch.tensor([t if on else -100 for t, on in zip(tokens, trained, strict=True)])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def separate_loss(model: Any, rows: Sequence[Row], dtype: torch.dtype = torch.float64) -> Tensor:
    """Mean negative log-likelihood a target: each row through the model alone, then a plain log-softmax in `dtype`."""
    total, count = torch.zeros((), dtype=dtype), 0
    for tokens, trained in rows:
        ids = torch.tensor([list(tokens)])
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1].to(dtype)
        logps = torch.log_softmax(logits, -1).gather(1, ids[0, 1:, None])[:, 0]
        targets = torch.tensor(list(trained))[1:] > 0
        total = total - logps[targets].sum()
        count += int(targets.sum())
    return total / count


def transformers_loss(model: Any, rows: Sequence[Row], pad_id: int) -> float:
    """What transformers itself returns as the loss of the padded batch."""
    with torch.no_grad():
        return float(model(**padded(rows, pad_id), use_cache=False).loss)


def trl_loss(model: Any, tokenizer: Any, rows: Sequence[Row]) -> float:
    """What TRL's SFTTrainer computes on the batch that its own data loader makes of the rows."""
    from datasets import Dataset, disable_progress_bars
    from trl import SFTConfig, SFTTrainer

    disable_progress_bars()
    columns = {"input_ids": [list(t) for t, _ in rows], "completion_mask": [list(on) for _, on in rows]}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), contextlib.redirect_stdout(None):
        warnings.simplefilter("ignore")
        settings = SFTConfig(
            folder,
            per_device_train_batch_size=len(rows),
            max_length=None,
            completion_only_loss=True,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
            dataloader_num_workers=0,
        )
        trainer = SFTTrainer(model, settings, train_dataset=Dataset.from_dict(columns), processing_class=tokenizer)
        (batch,) = trainer.get_train_dataloader()
        assert int((batch["labels"] != -100).sum()) == sum(sum(on) for _, on in rows)
        trainer.model.eval()
        with torch.no_grad():
            return float(trainer.compute_loss(trainer.model, batch))


def peft_steps(
    folder: Path,
    settings: Mapping[str, Any],
    start: Mapping[str, Tensor],
    steps: Sequence[Sequence[Row]],
    rate: float,
    clip: float,
    pad_id: int,
    dtype: torch.dtype = torch.float64,
) -> dict[str, Tensor]:
    """Train a LoRA with PEFT and torch alone: fp32, padded batches, a plain log-softmax, clipping, AdamW.

    Args:
        folder: The base model.
        settings: Arguments of `peft.LoraConfig`.
        start: The adapter's tensors to start from, under PEFT's names.
        steps: The rows of each step.
        rate: Learning rate of every step.
        clip: Largest gradient norm.
        pad_id: What padded rows are filled with.
        dtype: What the log-softmax of the fp32 logits is computed in; in fp32 it loses small terms of peaked logits.

    Returns:
        The adapter's tensors after the last step, under PEFT's names.
    """
    import peft

    model = peft.get_peft_model(load(folder), peft.LoraConfig(task_type="CAUSAL_LM", **settings))
    peft.set_peft_model_state_dict(model, dict(start))
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0)
    for rows in steps:
        batch = padded(rows, pad_id)
        labels = batch.pop("labels")[:, 1:]
        logps = torch.log_softmax(model(**batch, use_cache=False).logits[:, :-1].to(dtype), -1)
        chosen = logps.gather(2, labels.clamp(min=0)[..., None])[..., 0]
        loss = -chosen[labels != -100].sum() / (labels != -100).sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, clip)
        optimizer.step()
        optimizer.zero_grad()
    return {name: tensor.detach().clone() for name, tensor in peft.get_peft_model_state_dict(model).items()}
