"""The single-device engine by hand: AdamW's first update, clipping, and the guards before the weights."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from luthier.core.errors import GuardError
from luthier.models.readout_model import LossOutput
from luthier.training.engine.single import SingleDeviceEngine
from luthier.training.optim import OptimizerConfig, Schedule
from luthier.training.step import train_step, weighted_loss
from luthier.training.validation import validate


class Attached:
    """One parameter, and a memory of the updates."""

    name = "default"

    def __init__(self, values: list[float], name: str = "w") -> None:
        self.parameter = nn.Parameter(torch.tensor(values))
        self.updates: list[int] = []
        self._name = name

    def parameters(self) -> dict[str, nn.Parameter]:
        return {self._name: self.parameter}

    def after_update(self, step: int) -> None:
        self.updates.append(step)


def engine(attached: Attached, rate: float = 0.1, **options: Any) -> SingleDeviceEngine:
    model: Any = SimpleNamespace(adapters={"default": attached})
    return SingleDeviceEngine(model, OptimizerConfig(**options), Schedule(rate, 4, shape="linear"))


def backward(running: SingleDeviceEngine, attached: Attached, gradient: list[float]) -> None:
    running.backward((attached.parameter * torch.tensor(gradient)).sum(), last=True)


def test_the_first_update_by_hand() -> None:
    # AdamW's first step is lr * g / (|g| + eps): the rate itself, whatever the gradient's size.
    attached = Attached([1.0, 2.0])
    running = engine(attached)
    backward(running, attached, [3.0, -4.0])
    record = running.update(clip=None)
    assert (record.gradient_norm, record.learning_rate) == (5.0, 0.1)
    assert attached.parameter.tolist() == pytest.approx([0.9, 2.1])
    assert attached.parameter.grad is None
    assert attached.updates == [1]
    backward(running, attached, [3.0, -4.0])
    assert running.update(clip=None).learning_rate == pytest.approx(0.075)  # linear: 3 of 4 are left
    assert attached.updates == [1, 2]


def test_weight_decay_by_hand() -> None:
    attached = Attached([[1.0], [2.0]])  # type: ignore[list-item]
    running = engine(attached, weight_decay=0.5)
    backward(running, attached, [[1.0], [1.0]])  # type: ignore[list-item]
    running.update(clip=None)
    # Decoupled: w * (1 - 0.1 * 0.5) - 0.1
    assert attached.parameter.flatten().tolist() == pytest.approx([0.85, 1.8])


def test_clipping_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    for gradient, norm, used in (([3.0, -4.0], 5.0, [0.6, -0.8]), ([0.3, -0.4], 0.5, [0.3, -0.4])):
        attached = Attached([1.0, 2.0])
        running = engine(attached)
        backward(running, attached, gradient)
        seen: list[list[float]] = []
        monkeypatch.setattr(running.optimizer, "step", lambda p=attached.parameter, s=seen: s.append(p.grad.tolist()))
        assert running.update(clip=1.0).gradient_norm == pytest.approx(norm)
        assert seen == [pytest.approx(used, rel=1e-5)]


def test_gradients_add_up_until_the_update() -> None:
    attached = Attached([0.0, 0.0])
    running = engine(attached)
    backward(running, attached, [1.0, 2.0])
    backward(running, attached, [2.0, 2.0])
    assert running.update(clip=None).gradient_norm == 5.0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_never_reaches_the_weights(bad: float) -> None:
    attached = Attached([1.0, 2.0])
    running = engine(attached)
    backward(running, attached, [1.0, bad])
    with pytest.raises(
        GuardError, match=r"gradient is not finite .* at update 1; stopped before it reached the weights"
    ):
        running.update(clip=1.0)
    assert attached.parameter.tolist() == [1.0, 2.0]
    assert running.updates == 0


def test_a_trained_tensor_without_gradient_stops_the_run() -> None:
    attached = Attached([1.0, 2.0])
    running = engine(attached)
    with pytest.raises(GuardError, match=r"1 of 1 trained tensors got no gradient \(first: default/w\)"):
        running.update(clip=None)


def test_nothing_to_train_is_refused() -> None:
    attached = Attached([1.0])
    attached.parameter.requires_grad_(False)
    with pytest.raises(GuardError, match="Nothing would be trained"):
        engine(attached)


class Stub:
    """An engine whose forward returns given totals, and an objective that counts given units."""

    name = "stub"
    coefficients: Mapping[str, float] = {"loss": 2.0, "bonus": -1.0}
    averaging = 4.0

    def __init__(self, totals: dict[str, float], units: dict[str, float]) -> None:
        self._totals, self._units = totals, units
        self.losses: list[float] = []
        self.model = nn.Identity()

    def units(self, batch: Any) -> dict[str, float]:
        return self._units

    def sum_over_ranks(self, units: dict[str, float]) -> dict[str, float]:
        return units

    def forward(self, work: Any) -> LossOutput:
        totals = {n: torch.tensor(v, requires_grad=True) for n, v in self._totals.items()}
        return LossOutput(totals, {"hits": (torch.tensor(3.0), torch.tensor(4))})

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        self.losses.append(float(loss.detach()))
        self.last = last

    def update(self, clip: float | None) -> Any:
        return SimpleNamespace(gradient_norm=1.0, learning_rate=0.5)


def work(stub: Stub, coefficient: float = 1.0, adapter: str = "a") -> Any:
    batch = SimpleNamespace(all_tokens=10)
    return SimpleNamespace(objective=stub, batch=batch, adapter=adapter, coefficient=coefficient)


def test_a_steps_loss_by_hand() -> None:
    # Two pieces share their units (2 * 4 = 8 and 2 * 1 = 2); the second counts half.
    stub = Stub({"loss": 6.0, "bonus": 1.0}, {"loss": 4.0, "bonus": 1.0})
    record = train_step(stub, [work(stub), work(stub, coefficient=0.5)])  # type: ignore[arg-type]
    one = 2.0 * 6.0 / 8.0 - 1.0 * 1.0 / 2.0
    assert record.loss == pytest.approx(one + 0.5 * one)
    assert stub.losses == pytest.approx([4 * one, 4 * 0.5 * one])  # what the backend divides by comes back
    assert stub.last
    assert (record.hit_rate, record.predictions, record.tokens) == (0.75, 8, 20)
    assert record.to_json() == {
        "step": 0,
        "train_total_loss": record.loss,
        "train_fraction_of_correct_next_step_preds": 0.75,
        "train_num_predictions": 8,
        "learning_rate": 0.5,
        "gradient_norm": 1.0,
    }


def test_another_adapters_work_has_units_of_its_own() -> None:
    stub = Stub({"loss": 6.0}, {"loss": 4.0})
    units = {"stub/a/loss": 4.0, "stub/b/loss": 12.0}
    assert float(weighted_loss(work(stub, adapter="a"), {"loss": torch.tensor(6.0)}, units)) == 3.0
    assert float(weighted_loss(work(stub, adapter="b"), {"loss": torch.tensor(6.0)}, units)) == 1.0


def test_a_loss_that_is_not_finite_stops_before_the_backward() -> None:
    stub = Stub({"loss": float("nan")}, {"loss": 4.0})
    with pytest.raises(GuardError, match=r"The loss is not finite \(nan\)"):
        train_step(stub, [work(stub)])  # type: ignore[arg-type]
    assert stub.losses == []


def test_a_step_without_targets_is_refused() -> None:
    stub = Stub({"loss": 0.0}, {"loss": 0.0})
    with pytest.raises(GuardError, match="no units for stub/a/loss: nothing in it is a target"):
        train_step(stub, [work(stub)])  # type: ignore[arg-type]


def test_validation_divides_by_all_units_and_trains_nothing(tiny: Any, sequences: Any) -> None:
    from luthier.adapters import ADAPTERS
    from luthier.models.readout_model import ReadoutModel
    from luthier.objectives.supervised import SupervisedFineTuning
    from luthier.segments import join

    model, batches, objective = tiny(), sequences(6), SupervisedFineTuning()
    readout = ReadoutModel(model, [ADAPTERS.get("lora")().attach(model)])
    running = SingleDeviceEngine(readout, OptimizerConfig(), Schedule(1.0, 1))
    before = {n: p.detach().clone() for n, p in running.trained.items()}
    found = validate(running, objective, batches, micro_tokens=20)
    whole = join(batches)
    read = readout.read(whole, objective.readouts)
    wanted = float(objective(read, whole).totals["loss"]) / float(whole.targets.weight.sum())
    assert found.loss == pytest.approx(wanted, rel=1e-6)
    assert found.predictions == len(whole.targets)
    assert found.hit_rate == pytest.approx(float(read["hits"].mean()))
    assert set(found.to_json()) == {
        "eval_total_loss",
        "eval_fraction_of_correct_next_step_preds",
        "eval_num_predictions",
    }
    assert all(torch.equal(p, before[n]) and p.grad is None for n, p in running.trained.items())


@pytest.mark.parametrize("lost", ["exp_avg", "exp_avg_sq", "step"])
def test_a_checkpoint_without_the_optimizers_moments_is_refused(lost: str) -> None:
    """Fault 12: weights alone are no state; going on from them would be another run, without a word."""
    attached = Attached([1.0, 2.0])
    running = engine(attached)
    backward(running, attached, [3.0, -4.0])
    running.update(clip=None)
    state = running.state_dict()
    whole = engine(Attached([0.0, 0.0]))
    whole.load_state_dict(state)
    assert whole.updates == 1
    tensors = {name: tensor for name, tensor in state["tensors"].items() if f"optimizer/{lost}/" not in name}
    with pytest.raises(GuardError, match="moments of 1 tensors"):
        engine(Attached([0.0, 0.0])).load_state_dict({**state, "tensors": tensors})
