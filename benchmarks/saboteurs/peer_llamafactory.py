"""LLaMA-Factory, with its documented defaults, given the planted faults. Imports nothing of Luthier.

    python peer_llamafactory.py RESULTS.json WORK_FOLDER [--only N …]

Needs an environment of its own (see RESULTS.md): its pins exclude the versions that Luthier is tested with.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import shutil
from pathlib import Path
from typing import Any

import harness
import torch
from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
from llamafactory.hparams import get_train_args
from llamafactory.model import load_tokenizer
from llamafactory.train.tuner import run_exp
from material import flip_byte, planted_model, planted_rows, rename_tensors, rows
from model_faults import plants_of_models
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

END = 2
SETTINGS = (
    "defaults but: stage sft, finetuning_type lora, max_steps 4, batch 8, no template named (it is parsed from the "
    "tokenizer's), CPU, logging_steps 1, report_to none, seed 0; rows in Alpaca's form"
)


def base(folder: Path) -> Path:
    return folder.parent.parent / "model"


def model_of(folder: Path, fault: int) -> Path:
    return planted_model(base(folder), folder / "model", fault, folder / "trace")


def recipe(folder: Path, model: Path | None = None, found: Any = None, **settings: Any) -> dict[str, Any]:
    held_out = settings.pop("held_out", None)
    write(folder, "rows", rows() if found is None else found)
    chosen = {
        "model_name_or_path": str(model or base(folder)), "stage": "sft", "do_train": True, "finetuning_type": "lora",
        "dataset": "rows", "dataset_dir": str(folder), "output_dir": str(folder / "out"), "max_steps": 4,
        "per_device_train_batch_size": 8, "logging_steps": 1, "report_to": "none", "seed": 0, "use_cpu": True,
    }  # fmt: skip
    if held_out is not None:
        write(folder, "held_out", held_out)
        chosen["eval_dataset"] = "held_out"
    return chosen | settings


def write(folder: Path, name: str, found: list[dict[str, str]]) -> None:
    made = [{"instruction": row["prompt"], "input": "", "output": row["completion"]} for row in found]
    (folder / f"{name}.json").write_text(json.dumps(made))
    (folder / "dataset_info.json").write_text(json.dumps({n: {"file_name": f"{n}.json"} for n in ("rows", "held_out")}))


def train(folder: Path, *given: Any, **settings: Any) -> list[dict[str, Any]]:
    """Train; returns the log."""
    run_exp(recipe(folder, *given, **settings))
    found: list[dict[str, Any]] = json.loads((folder / "out" / "trainer_state.json").read_text())["log_history"]
    return found


def tokenized(settings: dict[str, Any]) -> list[tuple[list[int], list[int]]]:
    """Return (ids, labels) of every training row."""
    model_args, data_args, training_args, _, _ = get_train_args(settings)
    made = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(made["tokenizer"], data_args)
    found = get_dataset(template, model_args, data_args, training_args, stage="sft", **made)["train_dataset"]
    return [(row["input_ids"], row["labels"]) for row in found]


def fault_1(folder: Path) -> dict[str, Any]:
    found = tokenized(recipe(folder, model_of(folder, 1)))
    without = sum(END not in labels for _, labels in found)
    return {"harm": without > 0, "measured": f"{without} of {len(found)} rows do not train the end of the answer"}


def fault_3(folder: Path) -> dict[str, Any]:
    plain, planted = tokenized(recipe(folder)), tokenized(recipe(folder, None, planted_rows(3)))
    usual = max(ids.count(END) for ids, _ in plain)
    more = sum(ids.count(END) > usual for ids, _ in planted)
    return {"harm": more > 0, "measured": f"{more} of {len(planted)} rows hold an end of turn inside the question"}


def fault_4(folder: Path) -> dict[str, Any]:
    found = tokenized(recipe(folder, None, planted_rows(4)))
    lost = sum(END not in labels for _, labels in found)
    longest = max(len(ids) for ids, _ in found)
    text = f"{lost} of {len(found)} rows lose their end, {40 - len(found)} were left out; up to {longest} tokens"
    return {"harm": lost > 0 or len(found) < 40, "measured": text}


def fault_5(folder: Path) -> dict[str, Any]:
    norms = []
    for size, pieces in ((8, 1), (1, 8)):
        log = train(folder, None, planted_rows(5), per_device_train_batch_size=size, gradient_accumulation_steps=pieces,
                    max_steps=1, max_grad_norm=1e9, overwrite_output_dir=True, lora_dropout=0.0)  # fmt: skip
        norms.append(next(line["grad_norm"] for line in log if "grad_norm" in line))
        shutil.rmtree(folder / "out")
    apart = abs(norms[0] / norms[1] - 1)
    return {"harm": apart > 0.01, "measured": f"gradient norms differ by {100 * apart:.2g} %"}


def fault_8(folder: Path) -> dict[str, Any]:
    found = tokenized(recipe(folder, model_of(folder, 8)))
    twice = sum(ids[:2] == [0, 0] for ids, _ in found)
    return {"harm": twice > 0, "measured": f"{twice} of {len(found)} rows begin with two such tokens"}


def saved(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(folder / "out" / "adapter_model.safetensors")
    return found


def fault_9(folder: Path) -> dict[str, Any]:
    train(folder, learning_rate=1e-30)
    moved = max(float(t.abs().max()) for name, t in saved(folder).items() if "lora_B" in name)
    return {"harm": moved < 1e-20, "measured": f"saved; B, which starts at 0, is {moved:.0e} at most"}


def fault_10(folder: Path) -> dict[str, Any]:
    train(folder, learning_rate=1e-2)
    rename_tensors(folder / "out" / "adapter_model.safetensors")
    train(folder, adapter_name_or_path=str(folder / "out"), output_dir=str(folder / "next"), do_train=False,
          do_eval=True, eval_dataset="rows")  # fmt: skip
    return {"harm": True, "measured": "loads, and is evaluated"}


def fault_12(folder: Path) -> dict[str, Any]:
    train(folder, max_steps=2, save_steps=2)
    place = str(folder / "out" / "checkpoint-2")
    train(folder, None, rows(seed=9), resume_from_checkpoint=place)
    return {"harm": True, "measured": "went on with other rows to its end"}


def fault_13(folder: Path) -> dict[str, Any]:
    """`packing: true` alone; `neat_packing`, off by default, is the documented way to keep rows apart."""
    model = AutoModelForCausalLM.from_pretrained(base(folder)).eval()
    losses = []
    for switches in ({"packing": True}, {}):
        total = count = 0.0
        for ids, labels in tokenized(recipe(folder, None, rows(8), **switches)):
            trained = sum(label != -100 for label in labels[1:])
            with torch.no_grad():
                loss = model(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss
            total, count = total + float(loss) * trained, count + trained
        losses.append(total / count)
    apart = abs(losses[0] / losses[1] - 1)
    return {"harm": apart > 0.001, "measured": f"loss {losses[0]:.4f} packed, {losses[1]:.4f} alone"}


def fault_21(folder: Path) -> dict[str, Any]:
    log = train(folder, model_of(folder, 21))
    return {"harm": True, "measured": f"trained; losses {[line['loss'] for line in log if 'loss' in line]}"}


def fault_24(folder: Path) -> dict[str, Any]:
    found = rows()
    log = train(folder, None, found, held_out=found[:10], do_eval=True, eval_strategy="steps", eval_steps=2)
    loss = [line["eval_loss"] for line in log if "eval_loss" in line]
    return {"harm": bool(loss), "measured": f"eval_loss {loss[-1]:.3f} reported on 10 rows, all of them trained on"}


def fault_30(folder: Path) -> dict[str, Any]:
    train(folder, max_steps=2, save_steps=1)
    flip_byte(folder / "out" / "checkpoint-2" / "adapter_model.safetensors")
    train(folder)  # it resumes by itself from the newest checkpoint in its folder
    return {"harm": True, "measured": "went on from the damaged checkpoint to its end"}


def fault_34(folder: Path) -> dict[str, Any]:
    log = train(folder, model_of(folder, 34))
    broken = sum(not torch.isfinite(t).all() for t in saved(folder).values())
    losses = [line["loss"] for line in log if "loss" in line]
    return {"harm": True, "measured": f"reached its end; losses: {losses}; {broken} saved tensors hold NaN"}


def fault_37(folder: Path) -> dict[str, Any]:
    train(folder, learning_rte=1e-2)
    return {"harm": True, "measured": "trained with the default"}


def fault_38(folder: Path) -> dict[str, Any]:
    found = tokenized(recipe(folder, None, planted_rows(38)))
    return {"harm": True, "measured": f"{len(found)} of 40 rows are trained on"}


def fault_41(folder: Path) -> dict[str, Any]:
    log = train(folder, held_out=rows(10, seed=5), do_eval=True, eval_strategy="steps", eval_steps=1, max_steps=8,
                learning_rate=0.3)  # fmt: skip
    losses = [line["eval_loss"] for line in log if "eval_loss" in line]
    return {
        "harm": not math.isfinite(losses[-1]) or losses[-1] > min(losses) * 1.001,
        "measured": f"saved: {losses[-1]:.3f}; best of {len(losses)} validations: {min(losses):.3f}",
    }


PLANTS = {int(name[6:]): plant for name, plant in list(globals().items()) if name.startswith("fault_")}
PLANTS |= plants_of_models(base, train)

if __name__ == "__main__":
    names = ("llamafactory", "transformers", "trl", "peft", "accelerate", "datasets", "torch")
    harness.main("LLaMA-Factory", {n: importlib.metadata.version(n) for n in names}, SETTINGS, PLANTS)
