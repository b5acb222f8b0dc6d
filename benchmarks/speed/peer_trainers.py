"""TRL's trainers and transformers' Trainer with PEFT as contestants, driven step by step. Imports nothing of Luthier.

They get their rows as ids, in the order of the turns, and wait at the end of every step for the next turn; so a turn
holds everything that a step takes, its batch included.
"""

from __future__ import annotations

from turns import Turns, settings

TURNS, GIVEN = Turns(), settings()

import tempfile
from pathlib import Path
from typing import Any

import material
import torch
from datasets import Dataset, disable_progress_bars
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

disable_progress_bars()
BEST = {"gradient_checkpointing": False}
"""What makes a trainer quicker here than its defaults."""


class Lockstep(TrainerCallback):
    """Lets a trainer make one step a turn."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        TURNS.ready(threads=torch.get_num_threads())
        self._wait(control)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        TURNS.done(loss=sum(self.losses) / len(self.losses))
        self.losses.clear()
        self._wait(control)

    @staticmethod
    def _wait(control: Any) -> None:
        control.should_training_stop = TURNS.wait() is None


def train(trainer: Any) -> None:
    """Train in lockstep; the loss of a step is what its training step returned."""
    lockstep, step = Lockstep(), trainer.training_step

    def kept(*arguments: Any, **named: Any) -> Any:
        loss = step(*arguments, **named)
        lockstep.losses.append(float(loss))
        return loss

    trainer.training_step = kept
    trainer.add_callback(lockstep)
    trainer.train()


def arguments(folder: str) -> dict[str, Any]:
    """Return what all trainers are given: the optimizer of the comparison, and nothing that writes."""
    return {
        "output_dir": folder,
        "per_device_train_batch_size": GIVEN["batch"],
        "learning_rate": GIVEN["rate"],
        "lr_scheduler_type": "constant",
        "max_steps": GIVEN["steps"],
        "train_sampling_strategy": "sequential",
        "bf16": GIVEN["precision"] == "bf16",
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 10**6,
        "disable_tqdm": True,
        "seed": 0,
        **(BEST if GIVEN["best"] else {}),
    }


def ordered() -> list[dict[str, Any]]:
    rows = material.read(Path(GIVEN["material"]), GIVEN.get("rows", "rows"))
    return [rows[i] for i in GIVEN["order"]]


def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(GIVEN["model"])


def model() -> Any:
    """Load the base, with the adapter to begin with unless all of it is trained."""
    base = AutoModelForCausalLM.from_pretrained(GIVEN["model"], dtype=torch.float32)
    base.config.use_cache = False
    if GIVEN["method"] == "full":
        return base
    from peft import PeftModel

    return PeftModel.from_pretrained(base, GIVEN["start"], is_trainable=True)


def trl_sft(folder: str) -> Any:
    from trl import SFTConfig, SFTTrainer

    rows = ordered()
    columns = {
        "input_ids": [[*r["prompt"], *r["answer"]] for r in rows],
        "completion_mask": [[0] * len(r["prompt"]) + [1] * len(r["answer"]) for r in rows],
    }
    chosen = SFTConfig(**arguments(folder), completion_only_loss=True)
    return SFTTrainer(model(), chosen, train_dataset=Dataset.from_dict(columns), processing_class=tokenizer())


def hf_sft(folder: str) -> Any:
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    rows = ordered()
    columns = {
        "input_ids": [[*r["prompt"], *r["answer"]] for r in rows],
        "labels": [[-100] * len(r["prompt"]) + list(r["answer"]) for r in rows],
    }
    collator = DataCollatorForSeq2Seq(tokenizer())
    chosen = TrainingArguments(**arguments(folder))
    return Trainer(model(), chosen, data_collator=collator, train_dataset=Dataset.from_dict(columns))


def trl_dpo(folder: str) -> Any:
    from trl import DPOConfig, DPOTrainer

    class Prepared(DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            """Leave the rows as they are: they are ids already."""
            return dataset

    rows = ordered()
    columns = {
        "prompt_ids": [r["prompt"] for r in rows],
        "chosen_ids": [r["answer"] for r in rows],
        "rejected_ids": [r["rejected"] for r in rows],
    }
    chosen = DPOConfig(**arguments(folder), beta=0.1, max_length=None)
    return Prepared(model(), args=chosen, train_dataset=Dataset.from_dict(columns), processing_class=tokenizer())


def trl_grpo(folder: str) -> Any:
    from trl import GRPOConfig, GRPOTrainer

    words = tokenizer()
    rows = Dataset.from_dict({"prompt": [words.decode(r["prompt"]) for r in ordered()]})
    given = arguments(folder) | {"per_device_train_batch_size": GIVEN["completions"]}
    given.pop("train_sampling_strategy")
    chosen = GRPOConfig(
        **given,
        num_generations=GIVEN["completions"] // GIVEN["batch"],
        max_completion_length=GIVEN["new"],
        beta=0.0,
        shuffle_dataset=False,
    )

    def reward(completion_ids: list[list[int]], **_: Any) -> list[float]:
        return [float(len(set(ids))) for ids in completion_ids]

    return GRPOTrainer(model(), reward, args=chosen, train_dataset=rows, processing_class=words)


if __name__ == "__main__":
    torch.manual_seed(0)
    made = {f.__name__: f for f in (trl_sft, hf_sft, trl_dpo, trl_grpo)}[GIVEN["work"]]
    with tempfile.TemporaryDirectory() as place:
        train(made(place))
