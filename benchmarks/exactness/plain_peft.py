"""A saved adapter used without Luthier: transformers and PEFT alone read logits and answer greedily.

    python plain_peft.py REQUEST.json ANSWER.json

REQUEST holds `base` (folder), `adapter` (folder or null), `probes` (lists of ids: logits are wanted), `prompts` (lists
of ids: greedy answers are wanted, one prompt at a time), `max_new_tokens` and `stop_ids`. ANSWER gets, for each prompt,
the generated ids and the gap between the two best logits at each of them; the probes' logits go beside it as
ANSWER.safetensors.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM


def main(request: dict[str, Any], answer: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(
        request["base"], dtype=torch.float32, attn_implementation=request.get("attention", "sdpa")
    )
    if request["adapter"]:
        model = PeftModel.from_pretrained(model, request["adapter"])
    model.eval()
    with torch.no_grad():
        logits = {str(i): model(input_ids=torch.tensor([ids])).logits[0] for i, ids in enumerate(request["probes"])}
    if logits:
        save_file(logits, answer.with_suffix(".safetensors"))
    answers = []
    for number, prompt in enumerate(request["prompts"]):
        ids = torch.tensor([prompt])
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=request["max_new_tokens"],
            eos_token_id=request["stop_ids"],
            pad_token_id=request["stop_ids"][0],
            return_dict_in_generate=True,
            output_logits=True,
            use_cache=True,
        )
        best = [step[0].float().topk(2).values for step in out.logits]
        tokens = out.sequences[0, len(prompt) :].tolist()
        answers.append({"tokens": tokens, "gaps": [float(two[0] - two[1]) for two in best]})
        print(f"{number + 1} of {len(request['prompts'])}", file=sys.stderr, flush=True)
    assert "luthier" not in sys.modules
    answer.write_text(json.dumps(answers))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
