"""Supervised fine-tuning by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from luthier.objectives.supervised import SupervisedFineTuning


def batch(weight: list[float]) -> Any:
    return SimpleNamespace(targets=SimpleNamespace(weight=torch.tensor(weight)))


def test_the_loss_is_the_weighted_sum_and_its_units_the_weights() -> None:
    objective = SupervisedFineTuning()
    some = batch([1.0, 0.5, 0.0, 2.0])
    read = {"logps": torch.tensor([-1.0, -4.0, -100.0, -0.25]), "hits": torch.tensor([1.0, 0.0, 1.0, 1.0])}
    output = objective(read, some)
    assert float(output.totals["loss"]) == 1.0 + 2.0 + 0.0 + 0.5
    assert objective.units(some) == {"loss": 3.5}
    hits, counted = output.metrics["hits"]
    assert (float(hits), int(counted)) == (2.0, 3)  # the position of weight 0 is no prediction


def test_the_gradient_is_minus_the_weight() -> None:
    logps = torch.tensor([-1.0, -4.0], requires_grad=True)
    output = SupervisedFineTuning()({"logps": logps, "hits": torch.zeros(2)}, batch([1.0, 0.5]))
    output.totals["loss"].backward()
    assert logps.grad is not None
    assert logps.grad.tolist() == [-1.0, -0.5]


def test_a_uniform_model_loses_the_logarithm_of_its_vocabulary() -> None:
    uniform = torch.full((7,), -torch.log(torch.tensor(259.0)).item())
    output = SupervisedFineTuning()({"logps": uniform, "hits": torch.zeros(7)}, batch([1.0] * 7))
    assert float(output.totals["loss"]) / 7 == pytest.approx(5.5568, abs=1e-4)
