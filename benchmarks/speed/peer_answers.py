"""transformers.generate and lm-evaluation-harness as contestants. Imports nothing of Luthier."""

from __future__ import annotations

from turns import Turns, settings

TURNS, GIVEN = Turns(), settings()

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import material
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

Turn = Callable[[Mapping[str, Any]], Mapping[str, Any]]
ROWS = material.read(Path(GIVEN["material"]), GIVEN.get("rows", "rows"))
DTYPE = {"fp32": torch.float32, "bf16": torch.bfloat16}[GIVEN["precision"]]


def generate() -> Turn:
    """Answer in batches, padded on the left; sorted by length where that is asked for."""
    model = AutoModelForCausalLM.from_pretrained(GIVEN["model"], dtype=DTYPE).eval()
    tokenizer = AutoTokenizer.from_pretrained(GIVEN["model"], padding_side="left")
    ends = model.generation_config.eos_token_id
    ends = {ends} if isinstance(ends, int) else set(ends)

    @torch.no_grad()
    def answer(turn: Mapping[str, Any]) -> Mapping[str, Any]:
        prompts = [ROWS[i]["prompt"] for i in turn["rows"]]
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]) if GIVEN["best"] else i)
        found: list[list[int]] = [[]] * len(prompts)
        for start in range(0, len(order), GIVEN["batch"]):
            members = order[start : start + GIVEN["batch"]]
            batch = tokenizer.pad({"input_ids": [prompts[i] for i in members]}, return_tensors="pt")
            written = model.generate(**batch, do_sample=False, max_new_tokens=GIVEN["new"])
            for i, row in zip(members, written[:, batch["input_ids"].shape[1] :].tolist(), strict=True):
                stop = next((n + 1 for n, token in enumerate(row) if token in ends), len(row))
                found[i] = row[:stop]
        return {"tokens": found}

    return answer


def lm_eval() -> Turn:
    """Log-likelihoods of all options, as the harness asks a model for them."""
    from lm_eval.models.huggingface import HFLM

    model = AutoModelForCausalLM.from_pretrained(GIVEN["model"], dtype=DTYPE).eval()
    tokenizer = AutoTokenizer.from_pretrained(GIVEN["model"])
    harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=GIVEN["batch"], device="cpu")
    requests = [(("", ""), row["prompt"], option) for row in ROWS for option in row["options"]]

    def answer(turn: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"scores": [value for value, _ in harness._loglikelihood_tokens(requests, disable_tqdm=True)]}

    return answer


if __name__ == "__main__":
    work = {f.__name__: f for f in (generate, lm_eval)}[GIVEN["work"]]()
    TURNS.ready(threads=torch.get_num_threads())
    TURNS.serve(work)
