"""Learning rates by hand, when validation is due, and which parameters decay."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from luthier.core.errors import ConfigError
from luthier.training.config import TrainingConfig
from luthier.training.early_stopping import EarlyStopping
from luthier.training.optim import OptimizerConfig, Schedule, build_optimizer


@pytest.mark.parametrize(
    ("shape", "rates"),
    [
        ("constant", {0: 0.5, 1: 1.0, 2: 1.0, 9: 1.0, 30: 1.0}),
        ("linear", {0: 0.5, 1: 1.0, 2: 1.0, 4: 0.75, 6: 0.5, 9: 0.125, 10: 0.0, 30: 0.0}),
        ("cosine", {0: 0.5, 1: 1.0, 2: 1.0, 4: (1 + math.sqrt(0.5)) / 2, 6: 0.5, 10: 0.0, 30: 0.0}),
    ],
)
def test_rates_by_hand(shape: str, rates: dict[int, float]) -> None:
    schedule = Schedule(2.0, total=10, warmup=2, shape=shape)  # type: ignore[arg-type]
    for update, rate in rates.items():
        assert schedule.at(update) == pytest.approx(2.0 * rate, abs=1e-15)


def test_without_warm_up_the_first_update_has_the_whole_rate() -> None:
    assert Schedule(3.0, total=4).at(0) == 3.0
    assert Schedule(3.0, total=1, warmup=1).at(0) == 3.0


def test_validations_are_spread_evenly_and_the_last_step_is_one() -> None:
    config = TrainingConfig(validations=4)
    assert [s for s in range(1, 11) if config.validates_at(s, 10)] == [2, 5, 8, 10]
    assert [s for s in range(1, 4) if config.validates_at(s, 3)] == [1, 2, 3]
    assert not any(TrainingConfig(validations=0).validates_at(s, 10) for s in range(1, 11))


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="schedule: Input should be 'constant', 'linear' or 'cosine'"):
        TrainingConfig.parse({"schedule": "cosin"})
    with pytest.raises(ConfigError, match="epochs: Input should be greater than 0"):
        TrainingConfig.parse({"epochs": 0})


def test_only_matrices_that_are_no_lora_factor_decay() -> None:
    parameters = {
        "x/layer.weight": nn.Parameter(torch.ones(2, 2)),
        "x/layer.bias": nn.Parameter(torch.ones(2)),
        "x/norm.weight": nn.Parameter(torch.ones(2)),
        "x/layer.lora_A.default.weight": nn.Parameter(torch.ones(2, 2)),
    }
    optimizer = build_optimizer(OptimizerConfig(weight_decay=0.1, beta1=0.8, beta2=0.9, epsilon=1e-3), parameters)
    decayed = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert [decayed[id(p)] for p in parameters.values()] == [0.1, 0.0, 0.0, 0.0]
    assert optimizer.defaults["betas"] == (0.8, 0.9)
    assert optimizer.defaults["eps"] == 1e-3


def test_early_stopping_by_hand() -> None:
    stopping = EarlyStopping(patience=2)
    assert not stopping.is_best
    seen = []
    for step, value in enumerate([3.0, 2.0, 2.0, 1.5, 1.6, 1.7, 1.0], start=1):
        stopping.observe(step, value)
        seen.append((stopping.is_best, stopping.satisfied))
    # An equal value is no improvement; two validations without one are enough at step 6.
    assert seen == [
        (True, False), (True, False), (False, False), (True, False), (False, False), (False, True), (True, False),
    ]  # fmt: skip
    assert (stopping.best, stopping.best_step) == (1.0, 7)


def test_an_improvement_may_have_to_be_large_enough() -> None:
    stopping = EarlyStopping(patience=1, min_delta=0.5)
    stopping.observe(1, 2.0)
    stopping.observe(2, 1.6)
    assert stopping.satisfied
    assert stopping.best == 2.0


def test_without_patience_it_never_stops_but_knows_the_best() -> None:
    stopping = EarlyStopping()
    for step, value in enumerate([1.0, 2.0, 3.0, 4.0], start=1):
        stopping.observe(step, value)
    assert not stopping.satisfied
    assert stopping.best_step == 1


def test_early_stopping_goes_on_from_its_state() -> None:
    first = EarlyStopping(patience=2)
    first.observe(1, 1.0)
    first.observe(2, 2.0)
    second = EarlyStopping(patience=2)
    second.load_state_dict(first.state_dict())
    second.observe(3, 2.0)
    assert (second.satisfied, second.best, second.best_step) == (True, 1.0, 1)
