"""Is the arithmetic right on the real model? Luthier against torch, transformers, PEFT and TRL, in fp32.

    python benchmarks/exactness/run.py            # half an hour on one thread; goes on where it was stopped
    python benchmarks/exactness/run.py --again loss steps   # makes these sections anew
    python benchmarks/exactness/run.py --report   # only RESULTS.md, from results/exactness.json

The model is the built-in smollm2-135m-instruct, the rows are the shipped support tickets. References live in
`references.py` and `plain_peft.py`, which import nothing of Luthier.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import importlib.metadata
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import references
import report
import torch
from references import Row
from safetensors.torch import load_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from luthier.adapters import ADAPTERS
from luthier.core.files import read_json, write_json
from luthier.core.types import Decoding
from luthier.data.options import ReadOptions
from luthier.data.render import Rendered, Renderer
from luthier.data.sources import read_examples
from luthier.data.splits import Parts, split
from luthier.generation.engine import BatchEngine
from luthier.generation.readers import ModelReader
from luthier.generation.scoring import Options, scoring_batch
from luthier.generation.sequences import Turns
from luthier.models.load import load_model
from luthier.models.loaded import LoadedModel
from luthier.models.readout_model import ReadoutModel, Work
from luthier.models.readouts import TokenLogps
from luthier.models.source import find_model
from luthier.objectives.supervised import SupervisedFineTuning
from luthier.segments import join
from luthier.training.engine.contract import UpdateRecord
from luthier.training.engine.single import SingleDeviceEngine
from luthier.training.optim import OptimizerConfig, Schedule
from luthier.training.step import train_step

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "exactness.json"
ADAPTER = HERE / "work" / "adapter"
MODEL = "smollm2-135m-instruct"
TICKETS = HERE.parents[1] / "examples" / "data" / "support_tickets" / "tickets.csv"
BATCH, BATCHES = 8, 3
LORA: dict[str, Any] = {"rank": 16, "alpha": 32.0}
RATE, CLIP = 3e-4, 1.0
PROMPTS, LIMIT = 64, 64
TUNING_STEPS = 25


class TrueFloat64(TorchFunctionMode):
    """Leave float64 alone where the model's code casts to fp32 (norms, rotary angles): float64 throughout."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if args and isinstance(args[0], Tensor) and args[0].dtype == torch.float64:
            if func is Tensor.float:
                return args[0]
            args = tuple(torch.float64 if a is torch.float32 else a for a in args)
            kwargs = {k: torch.float64 if v is torch.float32 else v for k, v in kwargs.items()}
        return func(*args, **kwargs)


# ---------------------------------------------------------------- model and rows


def fresh() -> LoadedModel:
    return load_model(find_model(MODEL), precision="fp32")


@cache
def parts() -> Parts:
    data = read_examples(str(TICKETS), ReadOptions())
    return split(data.examples, 0, given=data.given)


def renderer(model: LoadedModel) -> Renderer:
    return Renderer(model.tokenizer, model.facts.context)


def rendered(model: LoadedModel, count: int) -> list[Rendered]:
    return [renderer(model).render(e) for e in parts().tune[:count]]


def rows_of(some: Sequence[Rendered]) -> list[Row]:
    return [(r.tokens.tolist(), (r.weights > 0).astype(int).tolist()) for r in some]


def in_batches(some: Sequence[Rendered]) -> list[Sequence[Rendered]]:
    return [some[i : i + BATCH] for i in range(0, len(some), BATCH)]


def attach_lora(model: LoadedModel) -> Any:
    lora = ADAPTERS.get("lora")
    return lora(lora.Config(**LORA)).attach(model, seed=0)


def randomise(attached: Any) -> None:
    """Draw B as well, so that all factors have a gradient and the adapter is at work."""
    torch.manual_seed(1)
    for name, parameter in attached.parameters().items():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)


class RecordingEngine(SingleDeviceEngine):
    """Keeps the gradient that an update got, before it is clipped."""

    gradients: Mapping[str, Tensor]

    def update(self, clip: float | None) -> UpdateRecord:
        self.gradients = {n: p.grad.clone() for n, p in self.trained.items() if p.grad is not None}
        return super().update(clip)


def engine(readout: ReadoutModel, rate: float = 0.0) -> RecordingEngine:
    return RecordingEngine(readout, OptimizerConfig(), Schedule(rate, 1, shape="constant"))


def relative(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> float:
    """Norm of the difference over the norm, all tensors together."""
    assert found.keys() == wanted.keys()
    apart = sum(float((found[n].double() - wanted[n].double()).square().sum()) for n in wanted)
    return float((apart / sum(float(w.double().square().sum()) for w in wanted.values())) ** 0.5)


# ---------------------------------------------------------------- sections


def loss() -> dict[str, Any]:
    """The loss of packed batches against four references."""
    model = fresh()
    batches = in_batches(rendered(model, BATCH * BATCHES))
    objective = SupervisedFineTuning()
    own = []
    for some in batches:
        batch = join([r.batch() for r in some])
        read = ReadoutModel(model).read(batch, objective.readouts, None)
        own.append(float(objective(read, batch).totals["loss"]) / objective.units(batch)["loss"])
    plain = references.load(find_model(MODEL).folder)
    pad, lines = model.pad_id, []
    with torch.no_grad():
        for value, some in zip(own, batches, strict=True):
            rows = rows_of(some)
            lines.append(
                {
                    "rows": len(rows),
                    "tokens": sum(len(t) for t, _ in rows),
                    "targets": sum(sum(on) for _, on in rows),
                    "luthier": value,
                    "separate": float(references.separate_loss(plain, rows)),
                    "separate_fp32_log_softmax": float(references.separate_loss(plain, rows, torch.float32)),
                    "transformers": references.transformers_loss(plain, rows, pad),
                }
            )
    exact = references.load(find_model(MODEL).folder, torch.float64)
    with torch.no_grad(), TrueFloat64():
        for line, some in zip(lines, batches, strict=True):
            line["float64"] = float(references.separate_loss(exact, rows_of(some)))
    del exact
    for line, some in zip(lines, batches, strict=True):
        line["trl"] = references.trl_loss(plain, model.tokenizer, rows_of(some))
    return {"batches": lines}


def gradients_of(readout: ReadoutModel, batch: Any) -> tuple[float, dict[str, Tensor]]:
    readout.zero_grad(set_to_none=True)
    objective = SupervisedFineTuning()
    total = readout(Work(objective, batch, None)).totals["loss"] / objective.units(batch)["loss"]
    total.backward()
    return float(total.detach()), {n: p.grad for n, p in readout.module.named_parameters() if p.grad is not None}


def layouts() -> dict[str, Any]:
    """Packed against rows, all weights' gradients, in fp32 and in float64; sequences, and a shared prompt."""
    model = fresh()
    some = rendered(model, BATCH)
    answers = [renderer(model).answer_ids(e.reference) for e in parts().tune[:4]]
    cases = {
        "8 sequences": join([r.batch() for r in some]),
        "one prompt, 4 answers": scoring_batch([Options(some[0].tokens[: some[0].prompt_length].tolist(), answers)]),
    }
    lines = []
    for exact in (False, True):
        if exact:
            model.module.double()
        for parameter in model.module.parameters():
            parameter.requires_grad_(True)
        for name, batch in cases.items():
            with TrueFloat64():  # changes nothing in fp32
                packed = gradients_of(ReadoutModel(model, layout="packed"), batch)
                rows = gradients_of(ReadoutModel(model, layout="rows"), batch)
                read = [
                    ReadoutModel(model, layout=layout).read(batch, [TokenLogps()], None)["logps"]
                    for layout in ("packed", "rows")
                ]
            lines.append(
                {
                    "case": name,
                    "precision": "float64" if exact else "fp32",
                    "targets": len(batch.targets),
                    "loss": abs(packed[0] - rows[0]) / abs(rows[0]),
                    "readouts": float((read[0] - read[1]).norm() / read[1].norm()),
                    "gradient": relative(packed[1], rows[1]),
                }
            )
    return {"cases": lines}


def accumulation() -> dict[str, Any]:
    """1x8 against 8x1: the gradient of one step, for LoRA and for all weights."""
    lines = []
    for method in ("lora", "full"):
        for exact in (False, True):
            model = fresh()
            attached = attach_lora(model) if method == "lora" else ADAPTERS.get("full")().attach(model)
            if method == "lora":
                randomise(attached)
            if exact:
                model.module.double()
            running = engine(ReadoutModel(model, [attached]))
            batches, objective = [r.batch() for r in rendered(model, BATCH)], SupervisedFineTuning()
            with TrueFloat64():
                whole = train_step(running, [Work(objective, join(batches))])
                wanted = running.gradients
                pieces = train_step(running, [Work(objective, b) for b in batches])
            lines.append(
                {
                    "method": method,
                    "precision": "float64" if exact else "fp32",
                    "loss": abs(pieces.loss - whole.loss) / abs(whole.loss),
                    "gradient": relative(running.gradients, wanted),
                }
            )
            del model, attached, running, wanted
    return {"cases": lines}


def adapter_tensors(attached: Any) -> dict[str, Tensor]:
    from peft.utils.save_and_load import get_peft_model_state_dict

    held = get_peft_model_state_dict(attached._wrapper, adapter_name=attached.name)
    return {name: tensor.detach().clone() for name, tensor in held.items()}


def steps() -> dict[str, Any]:
    """Two AdamW steps of LoRA in Luthier, packed, and in plain PEFT and torch, padded."""
    model = fresh()
    attached = attach_lora(model)
    start = adapter_tensors(attached)
    batches = in_batches(rendered(model, BATCH * 2))
    readout = ReadoutModel(model, [attached])
    readout.train()
    running = engine(readout, RATE)
    losses = [
        train_step(running, [Work(SupervisedFineTuning(), join([r.batch() for r in some]))], CLIP).loss
        for some in batches
    ]
    own = adapter_tensors(attached)
    settings = {"r": LORA["rank"], "lora_alpha": LORA["alpha"], "target_modules": "all-linear"}
    rows = [rows_of(some) for some in batches]
    plain, rough = (
        references.peft_steps(find_model(MODEL).folder, settings, start, rows, RATE, CLIP, model.pad_id, dtype)
        for dtype in (torch.float64, torch.float32)
    )
    updates = {name: {n: after[n] - start[n] for n in start} for name, after in (("own", own), ("plain", plain))}
    return {
        "losses": losses,
        "tensors": len(own),
        "parameters": relative(own, plain),
        "updates": relative(updates["own"], updates["plain"]),
        "update_over_parameters": relative(plain, start),
        "parameters_to_fp32_log_softmax": relative(own, rough),
        "plain_to_fp32_log_softmax": relative(plain, rough),
    }


def tune() -> dict[str, Any]:
    """Train an adapter over the rows to tune once, and save it: what the next two sections use."""
    import shutil

    model = fresh()
    attached = attach_lora(model)
    readout = ReadoutModel(model, [attached])
    readout.train()
    running = RecordingEngine(readout, OptimizerConfig(), Schedule(RATE, TUNING_STEPS, 2))
    batches = in_batches(rendered(model, BATCH * TUNING_STEPS))
    records = []
    for some in batches:
        records.append(train_step(running, [Work(SupervisedFineTuning(), join([r.batch() for r in some]))], CLIP))
        print(f"  step {len(records)} of {len(batches)}: loss {records[-1].loss:.4f}", flush=True)
    shutil.rmtree(ADAPTER, ignore_errors=True)
    attached.save(ADAPTER)
    return {"steps": len(batches), "first_loss": records[0].loss, "last_loss": records[-1].loss}


def tuned() -> tuple[LoadedModel, ReadoutModel]:
    model = fresh()
    return model, ReadoutModel(model, [ADAPTERS.get("lora").open(ADAPTER, model)])


def plainly(name: str, request: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """Run `plain_peft.py` in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder) / "request.json", Path(folder) / f"{name}.json"
        asked.write_text(json.dumps(request | {"base": str(find_model(MODEL).folder), "max_new_tokens": LIMIT}))
        subprocess.run([sys.executable, HERE / "plain_peft.py", asked, answer], check=True, cwd=folder)
        logits = answer.with_suffix(".safetensors")
        return read_json(answer), load_file(logits) if logits.exists() else {}


def saved_adapter() -> dict[str, Any]:
    """Logits of the saved adapter, loaded with PeftModel.from_pretrained, against Luthier's own."""
    model, readout = tuned()
    probes = [renderer(model).render(e).tokens.tolist() for e in parts().choose[:8]]
    _, plain = plainly("logits", {"adapter": str(ADAPTER), "probes": probes, "prompts": [], "stop_ids": [model.pad_id]})
    differences, same, positions = [], 0, 0
    for index, ids in enumerate(probes):
        with torch.no_grad(), readout.reading("default", model.ordinary_attention):
            own = model.module(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
        differences.append(float((own - plain[str(index)]).abs().max()))
        same += int((own.argmax(-1) == plain[str(index)].argmax(-1)).sum())
        positions += len(ids)
    # The packed path: the log-probabilities of all next tokens, from one packed row.
    import numpy as np

    from luthier.segments import sequence_batch

    weights = [np.r_[0.0, np.ones(len(ids) - 1)].astype(np.float32) for ids in probes]
    batch = join([sequence_batch(np.array(ids), w) for ids, w in zip(probes, weights, strict=True)])
    packed = readout.read(batch, [TokenLogps()], "default")["logps"]
    wanted = torch.cat(
        [
            torch.log_softmax(plain[str(i)].double(), -1)[:-1].gather(1, torch.tensor(ids)[1:, None])[:, 0]
            for i, ids in enumerate(probes)
        ]
    )
    return {
        "probes": len(probes),
        "positions": positions,
        "largest_logit_difference": max(differences),
        "bit_equal": sum(d == 0 for d in differences),
        "same_top_token": same,
        "packed_logps": float((packed.double() - wanted).norm() / wanted.norm()),
    }


def greedy() -> dict[str, Any]:
    """Greedy answers of 64 ragged prompts, batched in Luthier, one at a time in transformers."""
    model, readout = tuned()
    write = renderer(model)
    examples = (*parts().confirm, *parts().choose)[:PROMPTS]
    prompts = [write.prompt_ids(e.messages) for e in examples]
    stops = sorted(write.template.stop_ids)
    found = {}
    for name, adapter in (("adapter", "default"), ("base", None)):
        batched = BatchEngine(ModelReader(readout, adapter), Turns(frozenset(stops), lambda ids: ""), record_gaps=True)
        began = time.monotonic()
        jobs = batched.generate(prompts, [Decoding(LIMIT)] * len(prompts))
        own_seconds = time.monotonic() - began
        request = {"adapter": str(ADAPTER) if adapter else None, "probes": [], "prompts": prompts, "stop_ids": stops}
        began = time.monotonic()
        plain, _ = plainly(name, request)
        divergences = []
        for example, job, other in zip(examples, jobs, plain, strict=True):
            if job.tokens != other["tokens"]:
                pairs = zip(job.tokens, other["tokens"], strict=False)
                at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(job.tokens), len(other["tokens"])))
                divergences.append(
                    {
                        "example": example.id,
                        "at": at,
                        "luthier": model.tokenizer.decode(job.tokens[at : at + 1]),
                        "transformers": model.tokenizer.decode(other["tokens"][at : at + 1]),
                        "gap_luthier": job.gap[at],
                        "gap_transformers": other["gaps"][at],
                    }
                )
        gaps = [gap for other in plain for gap in other["gaps"]]
        found[name] = {
            "prompts": len(prompts),
            "shortest_prompt": min(map(len, prompts)),
            "longest_prompt": max(map(len, prompts)),
            "tokens": sum(len(job.tokens) for job in jobs),
            "ended": sum(job.finish == "stop" for job in jobs),
            "smallest_gap": min(gaps),
            "equal": len(prompts) - len(divergences),
            "divergences": divergences,
            "luthier_seconds": round(own_seconds, 1),
            "transformers_seconds": round(time.monotonic() - began, 1),
        }
    return found


SECTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "loss": loss,
    "layouts": layouts,
    "accumulation": accumulation,
    "steps": steps,
    "tune": tune,
    "saved_adapter": saved_adapter,
    "greedy": greedy,
}


def environment() -> dict[str, Any]:
    packages = ("torch", "transformers", "peft", "trl")
    return {
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "model": MODEL,
        "rows": "examples/data/support_tickets/tickets.csv",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", action="store_true", help="only write RESULTS.md from the results that are there")
    parser.add_argument("--again", nargs="*", choices=SECTIONS, default=[], help="sections to make anew")
    asked = parser.parse_args()
    RESULTS.parent.mkdir(exist_ok=True)
    results = read_json(RESULTS) if RESULTS.exists() else {}
    for name, make in {} if asked.report else SECTIONS.items():
        stale = name == "tune" and not (ADAPTER / "adapter_model.safetensors").exists()
        if name in results and name not in asked.again and not stale:
            continue
        print(f"{name} …", flush=True)
        began = time.monotonic()
        results[name] = {**make(), "seconds": round(time.monotonic() - began, 1)}
        results["environment"] = environment()
        write_json(RESULTS, results)
    (HERE / "RESULTS.md").write_text(report.render(results), encoding="utf-8")


if __name__ == "__main__":
    main()
