"""Resumed = uninterrupted, bit for bit: weights, optimizer, metrics, early stopping, dropout's random stream."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from luthier.adapters import ADAPTERS
from luthier.core.errors import GuardError
from luthier.models.device import has_bf16
from luthier.models.readout_model import ReadoutModel
from luthier.objectives.supervised import SupervisedFineTuning
from luthier.segments import Batch
from luthier.training.checkpoints import Checkpoints
from luthier.training.early_stopping import EarlyStopping
from luthier.training.engine.single import SingleDeviceEngine
from luthier.training.optim import OptimizerConfig, Schedule
from luthier.training.source import BatchConfig, PackedSource
from luthier.training.state import TrainingState, fit
from luthier.training.validation import validate


def begin(
    model: Any, batches: list[Batch], method: str = "lora", seed: int = 0, recompute: bool = False
) -> TrainingState:
    """Make everything afresh, as a new process would."""
    entry = ADAPTERS.get(method)
    config = entry.Config(rank=4, dropout=0.1) if method == "lora" else entry.Config()
    attached = entry(config).attach(model, seed=seed)
    readout = ReadoutModel(model, [attached], recompute=recompute)
    source = PackedSource(batches, SupervisedFineTuning(), BatchConfig(sequences=4, micro_tokens=40), 2.0, seed=5)
    engine = SingleDeviceEngine(readout, OptimizerConfig(weight_decay=0.01), Schedule(3e-3, source.total_steps, 2))
    return TrainingState(engine, source, parts={"early_stopping": EarlyStopping(patience=3)})


def train(state: TrainingState, held_out: list[Batch], until: int | None = None) -> list[dict[str, Any]]:
    """Train as the stages do: a validation every second step, seen by the early stopping."""
    lines = []
    for record in fit(state):
        line: dict[str, Any] = record.to_json()
        if record.step % 2 == 0:
            value = validate(state.engine, SupervisedFineTuning(), held_out, 64)
            state.parts["early_stopping"].observe(record.step, value.loss)  # type: ignore[attr-defined]
            line |= value.to_json()
        lines.append(line)
        if record.step == until:
            break
    return lines


def digest(state: TrainingState) -> str:
    """Digest all that a checkpoint holds."""
    whole = state.state_dict()
    found = hashlib.sha256(repr(whole["values"]).encode())
    for name in sorted(whole["tensors"]):
        tensor = whole["tensors"][name].reshape(-1)
        found.update(name.encode() + str(tensor.dtype).encode() + tensor.view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


@pytest.mark.parametrize(("method", "interrupted_at"), [("lora", 1), ("lora", 5), ("full", 6)])
def test_resumed_equals_uninterrupted(
    tiny: Callable[..., Any], sequences: Callable[..., Any], tmp_path: Path, method: str, interrupted_at: int
) -> None:
    batches, held_out = sequences(14, longest=18), sequences(4, seed=9, longest=18)
    torch.manual_seed(1)
    whole = begin(tiny(), batches, method)
    untouched = digest(whole)
    lines = train(whole, held_out)
    assert len(lines) == 8  # 4 steps an epoch: an interruption at 5 or 6 is in the middle of the second

    torch.manual_seed(1)
    first = begin(tiny(), batches, method)
    assert digest(first) == untouched
    before = train(first, held_out, until=interrupted_at)
    Checkpoints(tmp_path).save(first)

    torch.manual_seed(12345)  # a new process knows nothing of the old one's random state
    second = begin(tiny(), batches, method, seed=77)
    assert Checkpoints(tmp_path).resume_newest_that_verifies(second)
    assert second.step == interrupted_at
    assert digest(second) == digest(first)
    after = train(second, held_out)

    assert before + after == lines
    assert digest(second) == digest(whole)
    assert digest(second) != untouched


@pytest.mark.parametrize("recompute", [False, True])
def test_bf16_and_recomputed_layers_resume_too(
    tiny: Callable[..., Any], sequences: Callable[..., Any], tmp_path: Path, recompute: bool
) -> None:
    if not has_bf16(torch.device("cpu")):
        pytest.skip("this machine has no bf16")
    batches = sequences(14, longest=18)
    torch.manual_seed(1)
    whole = begin(tiny("llama", precision="bf16"), batches, recompute=recompute)
    train(whole, batches[:2])
    torch.manual_seed(1)
    first = begin(tiny("llama", precision="bf16"), batches, recompute=recompute)
    train(first, batches[:2], until=3)
    Checkpoints(tmp_path).save(first)
    torch.manual_seed(2)
    second = begin(tiny("llama", precision="bf16"), batches, seed=3, recompute=recompute)
    Checkpoints(tmp_path).resume_newest_that_verifies(second)
    train(second, batches[:2])
    assert digest(second) == digest(whole)


def test_dropout_is_at_work_and_follows_the_seed(tiny: Callable[..., Any], sequences: Callable[..., Any]) -> None:
    batches, results = sequences(14, longest=18), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        state = begin(tiny(), batches)
        train(state, batches[:2], until=3)
        results.append(digest(state))
    assert results[0] == results[1] != results[2]


def test_early_stopping_goes_on_counting(
    tiny: Callable[..., Any], sequences: Callable[..., Any], tmp_path: Path
) -> None:
    state = begin(tiny(), sequences(14))
    stopping = state.parts["early_stopping"]
    for step, value in ((1, 2.0), (2, 2.5), (3, 2.5)):
        stopping.observe(step, value)  # type: ignore[attr-defined]
    Checkpoints(tmp_path).save(state)
    again = begin(tiny(), sequences(14))
    Checkpoints(tmp_path).resume_newest_that_verifies(again)
    resumed = again.parts["early_stopping"]
    assert isinstance(resumed, EarlyStopping)
    assert (resumed.best, resumed.best_step, resumed.satisfied) == (2.0, 1, False)
    resumed.observe(4, 2.5)
    assert resumed.satisfied


def test_a_checkpoint_of_another_adapter_is_refused(
    tiny: Callable[..., Any], sequences: Callable[..., Any], tmp_path: Path
) -> None:
    state = begin(tiny(), sequences(14))
    train(state, [], until=1)
    Checkpoints(tmp_path).save(state)
    with pytest.raises(GuardError, match="another adapter"):
        Checkpoints(tmp_path).resume_newest_that_verifies(begin(tiny(), sequences(14), "full"))
    with pytest.raises(GuardError, match="another adapter"):
        Checkpoints(tmp_path).resume_newest_that_verifies(begin(tiny("llama_untied"), sequences(14), "full"))
