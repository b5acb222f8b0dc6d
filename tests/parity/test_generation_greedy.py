"""Greedy answers of 64 ragged prompts, and a saved adapter's logits, against transformers and PEFT alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from luthier.adapters import ADAPTERS
from luthier.core.types import Decoding
from luthier.generation import sampling
from luthier.generation.engine import BatchEngine
from luthier.generation.readers import ModelReader
from luthier.generation.sequences import Turns
from luthier.models.arithmetic.modules import OWN_CLASSES
from luthier.models.readout_model import ReadoutModel, Work
from luthier.models.readouts import TokenLogps
from luthier.objectives.supervised import SupervisedFineTuning
from luthier.segments import join, sequence_batch
from luthier.training.engine.single import SingleDeviceEngine
from luthier.training.optim import OptimizerConfig, Schedule
from luthier.training.step import train_step

PLAIN = Path(__file__).parents[2] / "benchmarks" / "exactness" / "plain_peft.py"
NEAR_TIE = 1e-4
STOPS, LIMIT = [2, *range(40, 60)], 8
TURNS = Turns(frozenset(STOPS), lambda ids: "")


@contextmanager
def ordinary_functions(model: torch.nn.Module) -> Iterator[None]:
    """Give norms and feed-forwards back the classes that transformers gave them."""
    own = {module: type(module) for module in model.modules() if type(module).__mro__[1] in OWN_CLASSES}
    assert own
    for module, found in own.items():
        module.__class__ = found.__mro__[2]
    try:
        yield
    finally:
        for module, found in own.items():
            module.__class__ = found


def ragged(count: int) -> list[list[int]]:
    draw = np.random.default_rng(0)
    return [draw.integers(3, 259, int(draw.integers(1, 60))).tolist() for _ in range(count)]


def plainly(folder: Path, request: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    """Run the plain script in a process of its own: it asserts that Luthier was never imported."""
    asked, answer = folder / "request.json", folder / "answer.json"
    asked.write_text(json.dumps({"max_new_tokens": LIMIT, "stop_ids": STOPS, **request}))
    subprocess.run([sys.executable, PLAIN, asked, answer], check=True, cwd=folder, capture_output=True)
    logits = answer.with_suffix(".safetensors")
    return json.loads(answer.read_text()), load_file(logits) if logits.exists() else {}


def compare(jobs: list[Any], answers: list[dict[str, Any]]) -> None:
    """Hold tokens against tokens; where they part, the two best logits must be a near-tie."""
    ties = 0
    for job, other in zip(jobs, answers, strict=True):
        if job.tokens != other["tokens"]:
            at = next(i for i, (a, b) in enumerate(zip(job.tokens, other["tokens"], strict=False)) if a != b)
            assert min(job.gap[at], other["gaps"][at]) < NEAR_TIE
            ties += 1
        else:
            assert job.gap == pytest.approx(other["gaps"], abs=1e-3)
    assert ties <= 1
    assert {job.finish for job in jobs} == {"stop", "length"}
    assert len({tuple(job.tokens) for job in jobs}) > len(jobs) // 2, "the prompts must matter"


@pytest.mark.parametrize("family", ["gemma3_text", "phi"])
def test_batched_answers_are_those_of_generate_one_at_a_time(
    tiny: Callable[..., Any], tiny_folder: Callable[..., Path], family: str
) -> None:
    plain = AutoModelForCausalLM.from_pretrained(tiny_folder(family), attn_implementation="sdpa").eval()
    prompts, answers = ragged(64), []
    for prompt in prompts:
        out = plain.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=False,
            max_new_tokens=6,
            eos_token_id=STOPS,
            pad_token_id=0,
            return_dict_in_generate=True,
            output_logits=True,
        )
        best = [step[0].topk(2).values for step in out.logits]
        answers.append({"tokens": out.sequences[0, len(prompt) :].tolist(), "gaps": [float(b[0] - b[1]) for b in best]})
    engine = BatchEngine(ModelReader(ReadoutModel(tiny(family)), None), TURNS, slots=20, record_gaps=True)
    compare(engine.generate(prompts, [Decoding(6)] * 64), answers)


def test_a_saved_adapter_answers_alike_in_a_plain_script(
    tiny: Callable[..., Any], tiny_folder: Callable[..., Path], sequences: Callable[..., Any], tmp_path: Path
) -> None:
    family = "llama"
    model = tiny(family)
    attached = ADAPTERS.get("lora")().attach(model)
    readout = ReadoutModel(model, [attached])
    engine = SingleDeviceEngine(readout, OptimizerConfig(), Schedule(1e-2, 4, shape="constant"))
    readout.train()
    for seed in range(4):
        train_step(engine, [Work(SupervisedFineTuning(), join(sequences(6, seed=seed)))])
    attached.save(tmp_path / "adapter")

    prompts, probes = ragged(64), ragged(70)[64:]
    readout.eval()
    jobs = BatchEngine(ModelReader(readout, "default"), TURNS, slots=20, record_gaps=True).generate(
        prompts, [Decoding(LIMIT)] * 64
    )
    answers, logits = plainly(
        tmp_path,
        {
            "base": str(tiny_folder(family)),
            "adapter": str(tmp_path / "adapter"),
            "attention": model.ordinary_attention,
            "prompts": prompts,
            "probes": probes,
        },
    )
    assert len(answers) == 64
    compare(jobs, answers)

    for number, ids in enumerate(probes):
        own = logits[str(number)]
        with torch.no_grad(), readout.reading("default", model.ordinary_attention):
            ours = model.module(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
            with ordinary_functions(model.module):
                called = model.module(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
        assert torch.equal(called, own), "the same modules, called the same way, give the same bits"
        assert (ours - own).norm() / own.norm() <= 1e-6
        weights = np.r_[0.0, np.ones(len(ids) - 1)].astype(np.float32)
        if len(ids) > 1:
            packed = readout.read(sequence_batch(np.array(ids), weights), [TokenLogps()], "default")["logps"]
            wanted = torch.log_softmax(own.double(), -1)[:-1].gather(1, torch.tensor(ids)[1:, None])[:, 0]
            assert (packed - wanted).norm() / wanted.norm() <= 1e-6
            untuned = readout.read(sequence_batch(np.array(ids), weights), [TokenLogps()], None)["logps"]
            assert (untuned - wanted).norm() / wanted.norm() > 1e-3


@pytest.mark.parametrize(
    "decoding",
    [
        Decoding(temperature=0.7),
        Decoding(temperature=1.3, top_k=5),
        Decoding(temperature=0.9, top_p=0.8),
        Decoding(temperature=1.5, top_k=20, top_p=0.5),
    ],
)
def test_sampling_filters_are_those_of_transformers(decoding: Decoding, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(sampling, "draw", lambda p, generator: (seen.append(p), 0)[1])
    logits = torch.randn(20, 50, generator=torch.Generator().manual_seed(0)) * 3
    for row in logits:
        sampling.next_token(row, decoding, None)
    warped = TemperatureLogitsWarper(decoding.temperature)(None, logits)
    if decoding.top_k:
        warped = TopKLogitsWarper(decoding.top_k)(None, warped)
    if decoding.top_p < 1:
        warped = TopPLogitsWarper(decoding.top_p)(None, warped)
    assert torch.allclose(torch.stack(seen), torch.softmax(warped, -1), atol=1e-7)
