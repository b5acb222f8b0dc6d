"""Luthier as a contestant: the parts that `luthier tune`, `evaluate` and `chat` are made of, at their defaults."""

from __future__ import annotations

from turns import Turns, settings

TURNS, GIVEN = Turns(), settings()

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import material
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from luthier.adapters import ADAPTERS
from luthier.core.types import Decoding
from luthier.generation.engine import BatchEngine
from luthier.generation.readers import ModelReader
from luthier.generation.scoring import Options, score, scoring_batch
from luthier.generation.sequences import Turns as AnswerTurns
from luthier.models.load import load_model
from luthier.models.loaded import LoadedModel
from luthier.models.readout_model import LossOutput, ReadoutModel, Work
from luthier.models.readouts import TokenLogps
from luthier.models.source import find_model
from luthier.objectives.supervised import SupervisedFineTuning
from luthier.segments import Batch, sequence_batch
from luthier.training.engine.single import SingleDeviceEngine
from luthier.training.optim import OptimizerConfig, Schedule
from luthier.training.source import BatchConfig, PackedSource
from luthier.training.step import train_step

Turn = Callable[[Mapping[str, Any]], Mapping[str, Any]]
ROWS = material.read(Path(GIVEN["material"]), GIVEN.get("rows", "rows"))
MICRO_TOKENS = BatchConfig().micro_tokens


def model() -> LoadedModel:
    full = GIVEN.get("method") == "full"
    return load_model(find_model(GIVEN["model"]), precision=GIVEN["precision"], masters=full)


def adapted(loaded: LoadedModel) -> ReadoutModel:
    """Attach what is trained; its start is written for the others."""
    method = GIVEN["method"]
    if method == "full":
        attached = ADAPTERS.get("full")(ADAPTERS.get("full").Config()).attach(loaded, seed=0)
    else:
        targets = {"target_modules": ["q_proj", "v_proj"]} if method == "qv" else {}
        entry = ADAPTERS.get("lora")
        attached = entry(entry.Config(rank=GIVEN["rank"], alpha=2.0 * GIVEN["rank"], **targets)).attach(loaded, seed=0)
        if not Path(GIVEN["start"]).exists():
            attached.save(Path(GIVEN["start"]))
    readout = ReadoutModel(loaded, [attached], recompute=GIVEN.get("recompute", False))
    readout.module.train()
    return readout


def engine_of(readout: ReadoutModel) -> SingleDeviceEngine:
    return SingleDeviceEngine(readout, OptimizerConfig(), Schedule(GIVEN["rate"], 1, shape="constant"))


def supervised() -> Turn:
    """One optimizer step on the rows of a turn."""
    engine = engine_of(adapted(model()))
    batches = [sequence_batch(*_ids_and_weights(row["prompt"], row["answer"])) for row in ROWS]
    source = PackedSource(batches, SupervisedFineTuning(), BatchConfig(), 1.0, 0)

    def step(turn: Mapping[str, Any]) -> Mapping[str, Any]:
        found = train_step(engine, source.work([batches[i] for i in turn["rows"]]))
        return {"loss": found.loss}

    return step


class PairwiseLoss:
    """The logistic loss of preference pairs on log-probabilities against a reference's (DPO, arXiv:2305.18290).

    Each group has two sequences, the chosen one first; `batch.given["reference"]` holds the summed log-probabilities.
    """

    name = "pairwise"
    needs: frozenset[str] = frozenset()
    readouts = (TokenLogps(),)
    coefficients: Mapping[str, float] = {"loss": 1.0}
    beta = 0.1

    def units(self, batch: Batch) -> dict[str, float]:
        return {"loss": batch.targets.sequences / 2}

    def __call__(self, read: Mapping[str, Tensor], batch: Batch) -> LossOutput:
        margins = (summed(read["logps"], batch) - batch.given["reference"]).view(-1, 2)
        return LossOutput({"loss": -F.logsigmoid(self.beta * (margins[:, 0] - margins[:, 1])).sum()}, {})


class PolicyGradient:
    """The loss of completions by their advantages, `[U]` in `batch.given["advantage"]`; a mean over tokens."""

    name = "policy"
    needs: frozenset[str] = frozenset()
    readouts = (TokenLogps(),)
    coefficients: Mapping[str, float] = {"loss": 1.0}

    def units(self, batch: Batch) -> dict[str, float]:
        return {"loss": float(len(batch.targets))}

    def __call__(self, read: Mapping[str, Tensor], batch: Batch) -> LossOutput:
        logps = read["logps"]
        ratio = torch.exp(logps - logps.detach())
        return LossOutput({"loss": -(ratio * batch.given["advantage"][batch.targets.sequence]).sum()}, {})


def summed(logps: Tensor, batch: Batch) -> Tensor:
    """Sum log-probabilities by sequence, `[U]`."""
    return torch.zeros(batch.targets.sequences, dtype=logps.dtype).index_add(0, batch.targets.sequence, logps)


def preference() -> Turn:
    """Read both answers of each pair, with the adapter and without; one step of the pairwise loss."""
    readout = adapted(model())
    engine = engine_of(readout)

    def step(turn: Mapping[str, Any]) -> Mapping[str, Any]:
        pairs = [ROWS[i] for i in turn["rows"]]
        work = []
        for some in _by_tokens(pairs, lambda p: sum(len(p[k]) for k in ("prompt", "answer", "rejected"))):
            batch = scoring_batch([Options(p["prompt"], [p["answer"], p["rejected"]]) for p in some])
            reference = summed(readout.read(batch, [TokenLogps()], None)["logps"], batch)
            work.append(Work(PairwiseLoss(), replace(batch, given={"reference": reference})))
        return {"loss": train_step(engine, work).loss}

    return step


def scoring() -> Turn:
    """Log-probabilities of all options after their prompts."""
    readout = ReadoutModel(model())
    asked = [Options(row["prompt"], row["options"]) for row in ROWS]

    def answer(turn: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"scores": [value for one in score(readout, None, asked) for value in one]}

    return answer


def generation() -> Turn:
    """Answer all prompts greedily."""
    readout = ReadoutModel(model())
    engine = BatchEngine(ModelReader(readout, None), answer_turns(readout.loaded))

    def answer(turn: Mapping[str, Any]) -> Mapping[str, Any]:
        prompts = [ROWS[i]["prompt"] for i in turn["rows"]]
        jobs = engine.generate(prompts, [Decoding(max_tokens=GIVEN["new"])] * len(prompts))
        return {"tokens": [list(job.tokens) for job in jobs]}

    return answer


def policy_update() -> Turn:
    """Sample a group of completions for each prompt, then one step on them by their advantages."""
    readout = adapted(model())
    engine = engine_of(readout)
    writer = BatchEngine(ModelReader(readout, "default"), answer_turns(readout.loaded))

    def step(turn: Mapping[str, Any]) -> Mapping[str, Any]:
        prompts = [ROWS[i]["prompt"] for i in turn["rows"]]
        each = GIVEN["completions"] // len(prompts)
        asked = [prompt for prompt in prompts for _ in range(each)]
        readout.module.eval()
        drawn = [Decoding(max_tokens=GIVEN["new"], temperature=1.0, seed=i) for i in range(len(asked))]
        jobs = writer.generate(asked, drawn)
        readout.module.train()
        rewards = torch.tensor([float(len(set(job.tokens))) for job in jobs]).view(len(prompts), each)
        advantage = ((rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)).flatten()
        work = []
        for group in range(len(prompts)):
            members = slice(group * each, (group + 1) * each)
            batch = scoring_batch([Options(prompts[group], [list(job.tokens) for job in jobs[members]])])
            given = {"advantage": advantage[members]}
            work.append(Work(PolicyGradient(), replace(batch, given=given)))
        return {"loss": train_step(engine, work).loss, "written": sum(len(job.tokens) for job in jobs)}

    return step


def answer_turns(loaded: LoadedModel) -> AnswerTurns:
    """Turns end where the model's own generation config says."""
    ends = loaded.module.generation_config.eos_token_id
    return AnswerTurns(frozenset([ends] if isinstance(ends, int) else ends), lambda ids: "", None)


def _ids_and_weights(prompt: Sequence[int], answer: Sequence[int]) -> tuple[Any, Any]:
    weights = np.r_[np.zeros(len(prompt)), np.ones(len(answer))].astype(np.float32)
    return np.asarray([*prompt, *answer], dtype=np.int64), weights


def _by_tokens(rows: Sequence[Any], size: Callable[[Any], int]) -> list[list[Any]]:
    from luthier.segments.packing import pack_by_tokens

    return [[rows[i] for i in members] for members in pack_by_tokens([size(row) for row in rows], MICRO_TOKENS)]


if __name__ == "__main__":
    torch.manual_seed(0)
    works = {f.__name__: f for f in (supervised, preference, scoring, generation, policy_update)}
    work = works[GIVEN["work"]]()
    TURNS.ready(threads=torch.get_num_threads())
    TURNS.serve(work)
