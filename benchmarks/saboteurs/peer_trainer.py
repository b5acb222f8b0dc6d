"""transformers' Trainer with PEFT, as documented, given the planted faults. Imports nothing of Luthier.

python peer_trainer.py RESULTS.json WORK_FOLDER [--only N …]
"""

from __future__ import annotations

import importlib.metadata
import math
from pathlib import Path
from typing import Any

import harness
import torch
from datasets import Dataset
from harness import NoSuchInput
from material import flip_byte, planted_model, planted_rows, rename_tensors, rows
from model_faults import plants_of_models
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    DataCollatorForSeq2Seq,
    Trainer,
    TrainingArguments,
    set_seed,
)

END = 2
SETTINGS = (
    "TrainingArguments defaults but: max_steps 4, CPU, report_to none, seed 0; rows rendered with "
    "`apply_chat_template(tokenize=True)`, collated by DataCollatorForLanguageModeling(mlm=False) as in the guide to "
    "causal language modelling (by DataCollatorForSeq2Seq with labels of the answer alone for fault 5); LoRA of rank 8 "
    "on all linear layers"
)


def base(folder: Path) -> Path:
    return folder.parent.parent / "model"


def trainer(folder: Path, model: Path | None = None, found: Any = None, **settings: Any) -> Trainer:
    place = str(model or base(folder))
    held_out, answers_only = settings.pop("held_out", None), settings.pop("answers_only", False)
    tokenizer = AutoTokenizer.from_pretrained(place)
    set_seed(0)  # before LoRA's A is drawn, so that two trainers begin alike
    loaded = AutoModelForCausalLM.from_pretrained(place)
    peft_model = get_peft_model(loaded, LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    chosen = {"max_steps": 4, "report_to": "none", "use_cpu": True, "seed": 0, "logging_steps": 1} | settings
    arguments = TrainingArguments(output_dir=str(folder / "out"), **chosen)
    collator = (
        DataCollatorForSeq2Seq(tokenizer) if answers_only else DataCollatorForLanguageModeling(tokenizer, mlm=False)
    )
    return Trainer(
        model=peft_model,
        args=arguments,
        train_dataset=tokenized(tokenizer, rows() if found is None else found, answers_only),
        eval_dataset=None if held_out is None else tokenized(tokenizer, held_out, answers_only),
        data_collator=collator,
    )


def tokenized(tokenizer: Any, found: list[dict[str, str]], answers_only: bool) -> Dataset:
    made = []
    for row in found:
        turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]
        ids = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True)["input_ids"]
        asked = tokenizer.apply_chat_template(turns[:1], tokenize=True, add_generation_prompt=True, return_dict=True)
        begin = len(asked["input_ids"])
        labels = {"labels": [-100] * begin + ids[begin:]} if answers_only else {}
        made.append({"input_ids": ids, "attention_mask": [1] * len(ids)} | labels)
    return Dataset.from_list(made)


def model_of(folder: Path, fault: int) -> Path:
    return planted_model(base(folder), folder / "model", fault, folder / "trace")


def batches(made: Trainer) -> list[tuple[list[int], list[int]]]:
    found = []
    for batch in made.get_train_dataloader():
        for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True):
            found.append((ids[mask.bool()].tolist(), labels[mask.bool()].tolist()))
    return found


def fault_1(folder: Path) -> dict[str, Any]:
    found = batches(trainer(folder, model_of(folder, 1)))
    without = sum(END not in labels for _, labels in found)
    return {"harm": without > 0, "measured": f"{without} of {len(found)} rows do not train the end of the answer"}


def fault_3(folder: Path) -> dict[str, Any]:
    found = batches(trainer(folder, found=planted_rows(3)))
    more = sum(ids.count(END) > 2 for ids, _ in found)
    return {"harm": more > 0, "measured": f"{more} of {len(found)} rows hold an end of turn inside the question"}


def fault_4(folder: Path) -> dict[str, Any]:
    found = batches(trainer(folder, found=planted_rows(4)))
    short = sum(len(ids) < 1400 for ids, _ in found)
    return {
        "harm": short > 32,
        "measured": f"nothing is cut, up to {max(len(i) for i, _ in found)} tokens",
    }


def fault_5(folder: Path) -> dict[str, Any]:
    norms = []
    for size, pieces in ((8, 1), (1, 8)):
        made = trainer(folder, found=planted_rows(5), per_device_train_batch_size=size, max_steps=1, max_grad_norm=1e9,
                       gradient_accumulation_steps=pieces, answers_only=True)  # fmt: skip
        made.train()
        norms.append(next(line["grad_norm"] for line in made.state.log_history if "grad_norm" in line))
    apart = abs(norms[0] / norms[1] - 1)
    return {"harm": apart > 0.01, "measured": f"gradient norms differ by {100 * apart:.2g} %"}


def fault_8(folder: Path) -> dict[str, Any]:
    found = batches(trainer(folder, model_of(folder, 8)))
    twice = sum(ids[:2] == [0, 0] for ids, _ in found)
    return {"harm": twice > 0, "measured": f"{twice} of {len(found)} rows begin with two such tokens"}


def fault_9(folder: Path) -> dict[str, Any]:
    made = trainer(folder, learning_rate=1e-30)
    before = {n: p.detach().clone() for n, p in made.model.named_parameters() if p.requires_grad}
    made.train()
    made.save_model()
    moved = max(float((p - before[n]).detach().abs().max()) for n, p in made.model.named_parameters() if n in before)
    return {"harm": moved < 1e-20, "measured": f"saved; the trained tensors moved by {moved:.0e} at most"}


def fault_10(folder: Path) -> dict[str, Any]:
    made = trainer(folder, learning_rate=1e-2)
    made.train()
    made.save_model()
    rename_tensors(folder / "out" / "adapter_model.safetensors")
    plain = AutoModelForCausalLM.from_pretrained(base(folder))
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    wanted = plain(ids).logits
    apart = float((PeftModel.from_pretrained(plain, folder / "out")(ids).logits - wanted).detach().abs().max())
    return {"harm": apart < 1e-6, "measured": f"loads; its logits differ from the base's by {apart:.1e}"}


def fault_12(folder: Path) -> dict[str, Any]:
    trainer(folder, max_steps=2, save_steps=2, save_strategy="steps").train()
    made = trainer(folder, found=rows(seed=9))
    made.train(resume_from_checkpoint=True)
    return {"harm": True, "measured": f"went on with other rows to step {made.state.global_step}"}


def fault_13(folder: Path) -> dict[str, Any]:
    raise NoSuchInput("Trainer has no switch for packing: rows are packed by the user's own code")


def fault_21(folder: Path) -> dict[str, Any]:
    made = trainer(folder, model_of(folder, 21))
    made.train()
    norm = float(made.model.get_input_embeddings().weight[1].norm())
    return {
        "harm": norm == 0,
        "measured": f"trained {made.state.global_step} steps; the embedding has norm {norm:g}",
    }


def fault_24(folder: Path) -> dict[str, Any]:
    found = rows()
    made = trainer(folder, found=found, held_out=found[:10], eval_strategy="steps", eval_steps=2)
    made.train()
    loss = [line["eval_loss"] for line in made.state.log_history if "eval_loss" in line]
    return {"harm": bool(loss), "measured": f"eval_loss {loss[-1]:.3f} reported on 10 rows, all of them trained on"}


def fault_30(folder: Path) -> dict[str, Any]:
    trainer(folder, max_steps=2, save_steps=1, save_strategy="steps").train()
    flip_byte(folder / "out" / "checkpoint-2" / "adapter_model.safetensors")
    made = trainer(folder)
    made.train(resume_from_checkpoint=True)
    return {"harm": True, "measured": f"went on from the damaged checkpoint to step {made.state.global_step}"}


def fault_34(folder: Path) -> dict[str, Any]:
    made = trainer(folder, model_of(folder, 34))
    made.train()
    made.save_model()
    logged = [line.get("loss") for line in made.state.log_history if "loss" in line]
    broken = sum(not torch.isfinite(p).all() for p in made.model.parameters() if p.requires_grad)
    return {
        "harm": made.state.global_step == 4,
        "measured": f"step {made.state.global_step} of 4; losses: {logged}; {broken} saved tensors hold NaN",
    }


def fault_37(folder: Path) -> dict[str, Any]:
    try:
        made = trainer(folder, learning_rte=1e-2)
    except TypeError as error:
        raise harness.ToolError(str(error)) from None
    made.train()
    return {"harm": True, "measured": "trained with the default"}


def fault_38(folder: Path) -> dict[str, Any]:
    found = batches(trainer(folder, found=planted_rows(38)))
    return {"harm": True, "measured": f"all {len(found)} rows are trained on, 8 of them on an empty answer"}


def fault_41(folder: Path) -> dict[str, Any]:
    made = trainer(
        folder, held_out=rows(10, seed=5), eval_strategy="steps", eval_steps=1, max_steps=8, learning_rate=0.3
    )
    made.train()
    made.save_model()
    losses = [line["eval_loss"] for line in made.state.log_history if "eval_loss" in line]
    return {
        "harm": not math.isfinite(losses[-1]) or losses[-1] > min(losses) * 1.001,
        "measured": f"saved: {losses[-1]:.3f}; best of {len(losses)} validations: {min(losses):.3f}",
    }


PLANTS = {int(name[6:]): plant for name, plant in list(globals().items()) if name.startswith("fault_")}
PLANTS |= plants_of_models(base, trainer)

if __name__ == "__main__":
    names = ("transformers", "peft", "accelerate", "datasets", "torch")
    harness.main("transformers Trainer with PEFT", {n: importlib.metadata.version(n) for n in names}, SETTINGS, PLANTS)
