"""Which precision a model computes in, and what bf16 does to weights, reads and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from luthier.adapters import ADAPTERS
from luthier.core.errors import ConfigError
from luthier.models.device import has_bf16, pick_device, pick_precision
from luthier.models.readout_model import ReadoutModel, Work
from luthier.models.readouts import TokenLogps
from luthier.objectives.supervised import SupervisedFineTuning
from luthier.segments import join
from luthier.training.engine.single import SingleDeviceEngine
from luthier.training.optim import OptimizerConfig, Schedule
from luthier.training.step import train_step

CPU = torch.device("cpu")
needs_bf16 = pytest.mark.skipif(not has_bf16(CPU), reason="this machine has no bf16")


@pytest.mark.parametrize(
    ("variable", "machine", "chosen"),
    [(None, True, "bf16"), ("0", True, "bf16"), ("", True, "bf16"), ("1", True, "fp32"), (None, False, "fp32")],
)
def test_bf16_is_taken_where_the_machine_has_it_unless_forced_off(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, machine: bool, chosen: str
) -> None:
    monkeypatch.delenv("LUTHIER_NO_BF16", raising=False)
    if variable is not None:
        monkeypatch.setenv("LUTHIER_NO_BF16", variable)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: machine, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert pick_precision("auto", CPU) == chosen
    assert pick_precision("fp32", CPU) == "fp32"
    if chosen == "bf16":
        assert pick_precision("bf16", CPU) == "bf16"
    else:
        with pytest.raises(ConfigError, match="does not compute in bf16 natively"):
            pick_precision("bf16", CPU)


def test_forced_off_the_whole_model_is_fp32(tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_NO_BF16", "1")
    model = tiny(precision="auto")
    assert model.precision == "fp32"
    assert {p.dtype for p in model.module.parameters()} == {torch.float32}


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"Precision 'fp16' is unknown. Known: auto, fp32, bf16."):
        pick_precision("fp16", CPU)
    with pytest.raises(ConfigError, match=r"Device 'tpu' is not available here. Available: .*cpu"):
        pick_device("tpu")
    assert pick_device("cpu") == CPU


@needs_bf16
def test_frozen_weights_are_bf16_and_masters_fp32(tiny: Callable[..., Any], sequences: Callable[..., Any]) -> None:
    frozen = tiny(precision="bf16")
    assert {p.dtype for p in frozen.module.parameters()} == {torch.bfloat16}
    masters = tiny(precision="bf16", masters=True)
    assert {p.dtype for p in masters.module.parameters()} == {torch.float32}
    # An update far below bf16's resolution still moves a master weight.
    readout = ReadoutModel(masters, [ADAPTERS.get("full")().attach(masters)])
    before = masters.module.lm_head.weight.detach().clone()
    engine = SingleDeviceEngine(readout, OptimizerConfig(), Schedule(1e-6, 1, shape="constant"))
    train_step(engine, [Work(SupervisedFineTuning(), join(sequences(2)))])
    moved = (masters.module.lm_head.weight - before).abs().max()
    assert 0 < float(moved.detach()) < 2e-6


@needs_bf16
@pytest.mark.parametrize("layout", ["packed", "rows"])
def test_an_exact_read_is_fp32_on_the_widened_weights(
    tiny: Callable[..., Any], sequences: Callable[..., Any], layout: str
) -> None:
    batch = join(sequences(4))
    model, wide = tiny(precision="bf16"), tiny()
    for parameter in wide.module.parameters():
        parameter.data = parameter.data.bfloat16().float()
    readout = ReadoutModel(model, layout=layout)
    exact = readout.read(batch, [TokenLogps()], None, exact=True)["logps"]
    assert torch.equal(exact, ReadoutModel(wide, layout=layout).read(batch, [TokenLogps()], None)["logps"])
    rough = readout.read(batch, [TokenLogps()], None)["logps"]
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).norm() / exact.norm() < 2e-2
    assert {p.dtype for p in model.module.parameters()} == {torch.bfloat16}  # put back


@needs_bf16
def test_gradients_in_bf16_are_those_of_fp32_up_to_its_resolution(
    tiny: Callable[..., Any], sequences: Callable[..., Any]
) -> None:
    batch, gradients = join(sequences(6)), []
    for precision in ("fp32", "bf16"):
        model = tiny(precision=precision)
        attached = ADAPTERS.get("lora")().attach(model)
        torch.manual_seed(0)
        for parameter in attached.parameters().values():
            torch.nn.init.normal_(parameter, std=0.1)
        readout = ReadoutModel(model, [attached])
        readout(Work(SupervisedFineTuning(), batch)).totals["loss"].backward()
        gradients.append(torch.cat([p.grad.flatten() for p in attached.parameters().values()]))
    assert gradients[1].dtype == torch.float32
    assert float((gradients[0] - gradients[1]).norm() / gradients[0].norm()) < 0.1
