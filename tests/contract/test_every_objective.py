"""Every objective: units from the batch alone, sums that add up, a gradient that finite differences confirm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from luthier.models.readout_model import ReadoutModel, Work
from luthier.objectives import OBJECTIVES
from luthier.segments import join

objectives = pytest.mark.parametrize("name", OBJECTIVES)


def totals(readout: ReadoutModel, objective: Any, batch: Any) -> Any:
    return readout(Work(objective, batch, None))


@objectives
def test_it_keeps_the_protocol(name: str, sequences: Callable[..., Any], tiny: Callable[..., Any]) -> None:
    objective = OBJECTIVES.get(name)()
    batch = join(sequences(3))
    units = objective.units(batch)
    output = totals(ReadoutModel(tiny()), objective, batch)
    assert output.totals.keys() == units.keys() == objective.coefficients.keys()
    assert all(count > 0 for count in units.values())
    assert len({readout.name for readout in objective.readouts}) == len(objective.readouts)
    assert {total.shape for total in output.totals.values()} == {()}


@objectives
def test_its_totals_units_and_metrics_are_sums_over_sequences(
    name: str, sequences: Callable[..., Any], tiny: Callable[..., Any]
) -> None:
    objective, readout, pieces = OBJECTIVES.get(name)(), ReadoutModel(tiny()), sequences(5, seed=2)
    whole = totals(readout, objective, join(pieces))
    parts = [totals(readout, objective, piece) for piece in pieces]
    for total in whole.totals:
        assert float(whole.totals[total]) == pytest.approx(sum(float(p.totals[total]) for p in parts), rel=1e-6)
        assert objective.units(join(pieces))[total] == pytest.approx(sum(objective.units(p)[total] for p in pieces))
    for metric, (found, count) in whole.metrics.items():
        assert float(found) == sum(float(p.metrics[metric][0]) for p in parts)
        assert float(count) == sum(float(p.metrics[metric][1]) for p in parts)


@objectives
def test_its_gradient_is_that_of_finite_differences(
    name: str, sequences: Callable[..., Any], tiny: Callable[..., Any]
) -> None:
    objective, model, batch = OBJECTIVES.get(name)(), tiny("gpt2"), join(sequences(3))
    model.module.double()
    readout = ReadoutModel(model)
    weight = model.module.get_output_embeddings().weight
    weight.requires_grad_(True)
    loss = sum(totals(readout, objective, batch).totals.values())
    loss.backward()
    direction = torch.randn(weight.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    step, values = 1e-5, []
    with torch.no_grad():
        for sign in (1, -1):
            weight += sign * step * direction
            values.append(float(sum(totals(readout, objective, batch).totals.values())))
            weight -= sign * step * direction
    slope = float((weight.grad * direction).sum())
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope, rel=1e-6)
    assert abs(slope) > 1


@objectives
def test_moved_to_a_batch_twice_as_heavy_it_doubles(
    name: str, sequences: Callable[..., Any], tiny: Callable[..., Any]
) -> None:
    from dataclasses import replace

    objective, readout, batch = OBJECTIVES.get(name)(), ReadoutModel(tiny()), join(sequences(3))
    heavy = replace(batch, targets=replace(batch.targets, weight=batch.targets.weight * 2))
    assert objective.units(heavy)["loss"] == 2 * objective.units(batch)["loss"]
    ratio = totals(readout, objective, heavy).totals["loss"] / totals(readout, objective, batch).totals["loss"]
    assert float(ratio) == pytest.approx(2.0)
