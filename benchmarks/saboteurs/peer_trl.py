"""TRL's SFTTrainer, with its documented defaults, given the planted faults. Imports nothing of Luthier.

python peer_trl.py RESULTS.json WORK_FOLDER [--only N …]
"""

from __future__ import annotations

import importlib.metadata
import math
from pathlib import Path
from typing import Any

import harness
import torch
from datasets import Dataset, load_dataset
from material import as_chat, flip_byte, planted_model, planted_rows, rename_tensors, rows, write_lines
from model_faults import plants_of_models
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM
from trl import SFTConfig, SFTTrainer

END = 2
SETTINGS = (
    "SFTConfig defaults but: max_steps 4, batch 8, CPU, report_to none, seed 0; rows as conversational prompt and "
    "completion; LoRA of rank 8 on all linear layers"
)


def base(folder: Path) -> Path:
    return folder.parent.parent / "model"


def data(folder: Path, found: list[dict[str, str]], name: str = "rows.jsonl") -> Dataset:
    return load_dataset(
        "json", data_files=str(write_lines(folder / name, [as_chat(r) for r in found])), split="train",
        cache_dir=str(folder / "cache"),
    )  # fmt: skip


def trainer(folder: Path, model: Path | None = None, found: Any = None, **settings: Any) -> SFTTrainer:
    held_out = settings.pop("held_out", None)
    chosen = {"max_steps": 4, "per_device_train_batch_size": 8, "report_to": "none", "use_cpu": True, "seed": 0,
              "logging_steps": 1} | settings  # fmt: skip
    return SFTTrainer(
        model=str(model or base(folder)),
        args=SFTConfig(output_dir=str(folder / "out"), **chosen),
        train_dataset=data(folder, rows() if found is None else found),
        eval_dataset=None if held_out is None else data(folder, held_out, "held_out.jsonl"),
        peft_config=LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"),
    )


def batches(made: SFTTrainer) -> list[tuple[list[int], list[int]]]:
    """Return (ids, labels) of every training row, without padding."""
    found = []
    for batch in made.get_train_dataloader():
        masks = batch.get("attention_mask", torch.ones_like(batch["input_ids"]))
        for ids, labels, mask in zip(batch["input_ids"], batch["labels"], masks, strict=True):
            kept = mask.bool()
            found.append((ids[kept].tolist(), labels[kept].tolist()))
    return found


def model_of(folder: Path, fault: int) -> Path:
    return planted_model(base(folder), folder / "model", fault, folder / "trace")


def fault_1(folder: Path) -> dict[str, Any]:
    found = batches(trainer(folder, model_of(folder, 1)))
    without = sum(END not in [x for x in labels if x != -100] for _, labels in found)
    return {"harm": without > 0, "measured": f"{without} of {len(found)} rows do not train the end of the answer"}


def fault_3(folder: Path) -> dict[str, Any]:
    found = batches(trainer(folder, found=planted_rows(3)))
    more = sum(ids.count(END) > 2 for ids, _ in found)
    return {"harm": more > 0, "measured": f"{more} of {len(found)} rows hold an end of turn inside the question"}


def fault_4(folder: Path) -> dict[str, Any]:
    found = batches(trainer(folder, found=planted_rows(4)))
    lost = sum(all(x == -100 for x in labels) for _, labels in found)
    gone = 40 - len(found)
    return {"harm": lost + gone > 0, "measured": f"{lost} of 40 rows lost the whole answer, {gone} were left out"}


def fault_5(folder: Path) -> dict[str, Any]:
    norms = []
    for size, pieces in ((8, 1), (1, 8)):
        made = trainer(folder, found=planted_rows(5), per_device_train_batch_size=size,
                       gradient_accumulation_steps=pieces, max_steps=1, max_grad_norm=1e9, bf16=False)  # fmt: skip
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
    loaded = PeftModel.from_pretrained(plain, folder / "out")
    apart = float((loaded(ids).logits - wanted).detach().abs().max())
    return {"harm": apart < 1e-6, "measured": f"loads; its logits differ from the base's by {apart:.1e}"}


def fault_12(folder: Path) -> dict[str, Any]:
    trainer(folder, max_steps=2, save_steps=2, save_strategy="steps").train()
    made = trainer(folder, found=rows(seed=9))
    made.train(resume_from_checkpoint=True)
    return {"harm": True, "measured": f"went on with other rows to step {made.state.global_step}"}


def fault_13(folder: Path) -> dict[str, Any]:
    found = rows(8)
    packed, alone = trainer(folder, found=found, packing=True, bf16=False), trainer(folder, found=found, bf16=False)
    losses = []
    for made in (packed, alone):
        total = count = 0.0
        made.model.eval()
        for batch in made.get_train_dataloader():
            with torch.no_grad():
                trained = int((batch["labels"] != -100).sum())
                total += float(made.compute_loss(made.model, batch)) * trained
                count += trained
        losses.append(total / count)
    apart = abs(losses[0] / losses[1] - 1)
    return {"harm": apart > 0.001, "measured": f"loss {losses[0]:.4f} packed, {losses[1]:.4f} alone"}


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
    made = trainer(folder, found=planted_rows(38))
    found = batches(made)
    empty = sum(sum(x != -100 for x in labels) <= 2 for _, labels in found)
    return {
        "harm": True,
        "measured": f"{empty} of {len(found)} rows train only an end; {40 - len(found)} vanished",
    }


def fault_41(folder: Path) -> dict[str, Any]:
    made = trainer(folder, held_out=rows(10, seed=5), eval_strategy="steps", eval_steps=1, max_steps=8,
                   learning_rate=0.3, bf16=False)  # fmt: skip
    made.train()
    made.save_model()
    losses = [line["eval_loss"] for line in made.state.log_history if "eval_loss" in line]
    last = losses[-1]
    return {
        "harm": not math.isfinite(last) or last > min(losses) * 1.001,
        "measured": f"saved: {last:.3f}; best of {len(losses)} validations: {min(losses):.3f}",
    }


PLANTS = {int(name[6:]): plant for name, plant in list(globals().items()) if name.startswith("fault_")}
PLANTS |= plants_of_models(base, trainer)

if __name__ == "__main__":
    names = ("trl", "transformers", "peft", "accelerate", "datasets", "torch")
    harness.main("TRL SFTTrainer", {n: importlib.metadata.version(n) for n in names}, SETTINGS, PLANTS)
