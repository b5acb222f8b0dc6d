"""The loss of a packed batch against plain torch, TRL and transformers; two steps of LoRA against plain PEFT."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from luthier.adapters import ADAPTERS
from luthier.models.readout_model import ReadoutModel, Work
from luthier.objectives.supervised import SupervisedFineTuning
from luthier.segments import Batch, join
from luthier.testing import FAMILIES
from luthier.training.engine.single import SingleDeviceEngine
from luthier.training.optim import OptimizerConfig, Schedule
from luthier.training.step import train_step

RATE, CLIP = 3e-4, 0.5


@pytest.fixture(scope="module")
def references() -> ModuleType:
    """The plain computations that the exactness benchmark uses as well; they do not import Luthier."""
    path = Path(__file__).parents[2] / "benchmarks" / "exactness" / "references.py"
    spec = importlib.util.spec_from_file_location("exactness_references", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert not re.search(r"^\s*(from|import) luthier", path.read_text(), re.MULTILINE)
    return module


def rows_of(batches: list[Batch]) -> list[tuple[list[int], list[int]]]:
    """Tokens, and which of them are targets; weights count as 1 here, as the others know no weights."""
    rows = []
    for batch in batches:
        trained = [0] * batch.tokens
        for place in batch.targets.read_at.tolist():
            trained[place + 1] = 1
        rows.append((batch.segments[0].tokens.tolist(), trained))
    return rows


def unweighted(batches: list[Batch]) -> list[Batch]:
    for batch in batches:
        batch.targets.weight.fill_(1.0)
    return batches


def packed_loss(model: Any, batches: list[Batch]) -> float:
    objective, batch = SupervisedFineTuning(), join(batches)
    read = ReadoutModel(model).read(batch, objective.readouts, None)
    return float(objective(read, batch).totals["loss"]) / objective.units(batch)["loss"]


@pytest.mark.parametrize("family", FAMILIES)
def test_three_batches_lose_what_separate_sequences_lose(
    tiny: Callable[..., Any],
    tiny_folder: Callable[..., Path],
    sequences: Callable[..., Any],
    references: Any,
    family: str,
) -> None:
    model, plain = tiny(family), references.load(tiny_folder(family))
    for seed in range(3):
        batches = unweighted(sequences(6, seed=seed))
        with torch.no_grad():
            wanted = float(references.separate_loss(plain, rows_of(batches)))
        assert packed_loss(model, batches) == pytest.approx(wanted, rel=1e-6)
        own = references.transformers_loss(plain, rows_of(batches), pad_id=0)
        assert packed_loss(model, batches) == pytest.approx(own, rel=2e-5)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_three_batches_lose_what_trl_says(
    tiny: Callable[..., Any],
    tiny_folder: Callable[..., Path],
    sequences: Callable[..., Any],
    references: Any,
    family: str,
) -> None:
    pytest.importorskip("trl")
    model = tiny(family)
    for seed in range(3):
        batches = unweighted(sequences(6, seed=seed))
        found = references.trl_loss(references.load(tiny_folder(family)), model.tokenizer, rows_of(batches))
        assert packed_loss(model, batches) == pytest.approx(found, rel=1e-6)


def tensors(attached: Any) -> dict[str, Tensor]:
    from peft.utils.save_and_load import get_peft_model_state_dict

    held = get_peft_model_state_dict(attached._wrapper, adapter_name=attached.name, save_embedding_layers=False)
    return {name: tensor.detach().clone() for name, tensor in held.items()}


def apart(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    assert found.keys() == wanted.keys()
    flat = [torch.cat([t[n].flatten() for n in wanted]).double() for t in (found, wanted)]
    return float((flat[0] - flat[1]).norm() / flat[1].norm())


@pytest.mark.parametrize(
    ("family", "targets"),
    [
        ("llama", "all-linear"),
        ("gemma3_text", "all-linear"),
        ("gpt2", ["c_attn", "c_proj"]),
        ("llama_untied", ["q_proj", "lm_head"]),
    ],
)
def test_two_steps_of_lora_are_those_of_plain_peft(
    tiny: Callable[..., Any],
    tiny_folder: Callable[..., Path],
    sequences: Callable[..., Any],
    references: Any,
    family: str,
    targets: Any,
) -> None:
    lora = ADAPTERS.get("lora")
    model = tiny(family)
    attached = lora(lora.Config(rank=4, alpha=8, target_modules=targets)).attach(model, seed=3)
    start = tensors(attached)
    readout = ReadoutModel(model, [attached])
    readout.train()
    engine = SingleDeviceEngine(readout, OptimizerConfig(), Schedule(RATE, 2, shape="constant"))
    batches = [unweighted(sequences(6, seed=seed)) for seed in (0, 1)]
    norms = [train_step(engine, [Work(SupervisedFineTuning(), join(some))], CLIP).gradient_norm for some in batches]
    assert min(norms) > CLIP, "clipping must be at work"
    found = tensors(attached)

    settings = {"r": 4, "lora_alpha": 8, "target_modules": targets}
    rows = [rows_of(some) for some in batches]
    wanted = references.peft_steps(tiny_folder(family), settings, start, rows, RATE, CLIP, pad_id=0)
    wanted = {name: wanted[name] for name in found}
    assert apart(found, wanted) <= 1e-5
    assert apart(found, start) > 1e-3
    # What the steps changed agrees as well: parameters alone could agree by hardly moving.
    update, other = ({n: after[n] - start[n] for n in start} for after in (found, wanted))
    assert apart(update, other) <= 1e-3
