"""Weights in the order of products of few rows: the same products, as long as the weights are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from luthier.adapters import ADAPTERS
from luthier.core.types import Decoding
from luthier.generation import engine as engines
from luthier.generation.engine import BatchEngine
from luthier.generation.lean import packing as packings
from luthier.generation.lean.decoder import Decoder, Linear
from luthier.generation.lean.packing import PACK_AFTER, Pace, Packing
from luthier.generation.readers import ModelReader
from luthier.generation.sequences import Turns
from luthier.models import cost as costs
from luthier.models.arithmetic.low_rank import LowRankUpdate
from luthier.models.attention import PackedAttention
from luthier.models.device import has_bf16
from luthier.models.load import probe_batch
from luthier.models.readout_model import ReadoutModel, Work
from luthier.objectives.supervised import SupervisedFineTuning
from luthier.segments import PackedLayout
from luthier.training.engine.single import SingleDeviceEngine
from luthier.training.optim import OptimizerConfig, Schedule
from luthier.training.step import train_step

DRAW = torch.Generator().manual_seed(0)
TURNS = Turns(frozenset(), lambda ids: "", None)
PROMPTS = [[5, 6, 7, 8], [9, 10], [11, 12, 13], [5, 6, 7, 20], [40]]


@pytest.mark.parametrize("rows", [1, 2, 5, 16, 97, 256, 1025])
@pytest.mark.parametrize(("inputs", "outputs", "bias"), [(24, 40, False), (40, 24, True), (7, 3, True)])
def test_a_product_with_a_packed_weight_is_the_product(rows: int, inputs: int, outputs: int, bias: bool) -> None:
    weight = torch.randn(outputs, inputs, generator=DRAW)
    x, added = torch.randn(rows, inputs, generator=DRAW), torch.randn(outputs, generator=DRAW) if bias else None
    packed = Packing().of(weight, weight)
    assert packed is not None
    wanted = F.linear(x, weight, added)
    torch.testing.assert_close(Linear(weight, added, packed=packed)(x), wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(packed(x, added), wanted, rtol=0, atol=1e-5)


def test_a_weight_that_changed_is_packed_again_and_one_that_did_not_is_not() -> None:
    packing, weight = Packing(), torch.nn.Parameter(torch.randn(6, 8, generator=DRAW))
    x = torch.randn(3, 8, generator=DRAW)
    first = packing.of(weight.detach(), weight)
    assert packing.of(weight.detach(), weight) is first
    optimizer = torch.optim.AdamW([weight], lr=0.1, fused=True)
    weight.sum().backward()
    optimizer.step()
    second = packing.of(weight.detach(), weight)
    assert first is not None
    assert second is not None
    torch.testing.assert_close(second(x, None), F.linear(x, weight.detach()), rtol=0, atol=1e-5)
    assert not torch.allclose(first(x, None), second(x, None), atol=1e-2)


def test_a_product_that_is_not_the_same_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self: Any, x: Tensor, bias: Tensor | None) -> Tensor:
        return honest(self, x, bias) * (1.0 + by)

    honest, by = packings._OrderedProduct.__call__, 1e-3
    monkeypatch.setattr(packings._OrderedProduct, "__call__", wrong)
    weight = torch.randn(4, 6, generator=DRAW)
    assert Packing().of(weight, weight) is None
    by = 0.0
    assert Packing().of(weight, weight) is not None


@pytest.mark.skipif(not packings.can_halve(), reason="this torch cannot hold weights in fp16 here")
@pytest.mark.parametrize("rows", [1, 3, 64])
def test_a_weight_in_fp16_moves_a_product_a_little(rows: int) -> None:
    weight = torch.randn(40, 64, generator=DRAW)
    x, bias = torch.randn(rows, 64, generator=DRAW), torch.randn(40, generator=DRAW)
    product = Packing(half=True).of(weight, weight)
    assert product is not None
    assert product.fewest == 1
    found, wanted = Linear(weight, bias, packed=product)(x), F.linear(x, weight, bias)
    assert 0 < (found - wanted).abs().max() < 1e-3 * wanted.abs().max()
    torch.testing.assert_close(found, F.linear(x, weight.half().float(), bias), rtol=0, atol=2e-5)
    many = torch.randn(product.most + 1, 64, generator=DRAW)
    assert torch.equal(Linear(weight, bias, packed=product)(many), F.linear(many, weight, bias))


@pytest.mark.skipif(not packings.can_halve(), reason="this torch cannot hold weights in fp16 here")
def test_weights_that_fp16_cannot_hold_stay_as_they_are() -> None:
    weight = torch.randn(8, 8, generator=DRAW) * 1e6
    before = weight.clone()
    assert Packing(half=True).of(weight, weight) is None
    assert torch.equal(weight, before)


@pytest.mark.parametrize(("precision", "fewest"), [(torch.float32, 2), (torch.bfloat16, 1)])
def test_a_single_row_is_multiplied_with_a_packed_weight_in_bf16_only(precision: torch.dtype, fewest: int) -> None:
    weight = torch.randn(40, 32, generator=DRAW).to(precision)
    product = Packing().of(weight, weight)
    if product is None and precision == torch.bfloat16:
        pytest.skip("torch packs no weights in bf16 on this machine")
    assert product is not None
    assert product.fewest == fewest


@pytest.mark.parametrize(("rows", "wide"), [(1, True), (16, True), (17, False)])
def test_an_update_of_few_rows_in_bf16_is_computed_in_fp32(rows: int, wide: bool) -> None:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    a, b, x = drawn(4, 48), drawn(64, 4), drawn(rows, 48).bfloat16()
    layer = Linear(torch.zeros(64, 48), update=LowRankUpdate(a, b, 0.5)).to(torch.bfloat16)
    found = layer(x)
    assert found.dtype == torch.bfloat16
    in_fp32 = (0.5 * (x.float() @ a.t() @ b.t())).bfloat16()
    assert torch.equal(found, in_fp32) == wide
    torch.testing.assert_close(found, in_fp32, rtol=0, atol=0.02 * float(in_fp32.abs().max()))
    torch.testing.assert_close(
        replace(layer, update=None, wide_update=None)(x), torch.zeros(rows, 64, dtype=torch.bfloat16)
    )


@pytest.mark.skipif(not has_bf16(torch.device("cpu")), reason="this machine has no bf16")
def test_nothing_casts_what_a_decoder_computes(tiny: Callable[..., Any]) -> None:
    """Autocast would compute the update in bf16 again, by way of two more casts a product."""
    model = ReadoutModel(tiny(precision="bf16"))
    reader = ModelReader(model, None)
    reader.open()
    decoder, seen = reader.decoder, []
    assert decoder is not None

    def watched(*args: Any) -> Tensor:
        seen.append(torch.is_autocast_enabled("cpu"))
        return decoder(*args)

    reader.decoder = cast("Decoder", watched)
    layout = PackedLayout(probe_batch(model.loaded))
    logits = reader.logits(layout.input_ids[0], layout.position_ids[0], PackedAttention(layout.plan), None)
    assert logits.dtype == torch.float32
    assert seen == [False]


def test_it_is_packed_once_after_steps_that_gain_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    pace = Pace(False, torch.float32, cpu, 100)
    assert not any(pace.is_time(1) for _ in range(50))
    assert [pace.is_time(2) for _ in range(PACK_AFTER + 3)] == [*[False] * (PACK_AFTER - 1), True, *[False] * 3]
    alone = Pace(True, torch.float32, cpu, 100)
    assert sum(alone.is_time(1) for _ in range(50)) == 1
    in_bf16 = Pace(True, torch.bfloat16, cpu, 100)  # fp16 is for weights in fp32
    assert [in_bf16.is_time(1) for _ in range(PACK_AFTER + 1)] == [*[False] * (PACK_AFTER - 1), True, False]
    assert Pace(True, torch.bfloat16, cpu, 100).is_time(PACK_AFTER * 512)
    monkeypatch.setattr(costs, "memory_bytes", lambda device: 100)
    never = Pace(False, torch.float32, cpu, 100)
    assert not any(never.is_time(2) for _ in range(50))


def test_prompts_that_are_about_to_be_read_count_as_well() -> None:
    cpu = torch.device("cpu")
    assert not Pace(False, torch.float32, cpu, 100).is_time(PACK_AFTER * 512 - 1)
    assert Pace(False, torch.float32, cpu, 100).is_time(PACK_AFTER * 512)
    half = Pace(True, torch.float32, cpu, 100)
    assert not half.is_time(PACK_AFTER * 512)  # they are not read with weights in fp16
    assert sum(half.is_time(1) for _ in range(50)) == 1


def written(reader: ModelReader, prompts: Sequence[Sequence[int]] = PROMPTS, tokens: int = 20) -> list[list[int]]:
    jobs = BatchEngine(reader, TURNS).generate(prompts, [Decoding(max_tokens=tokens)] * len(prompts))
    return [list(job.tokens) for job in jobs]


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3_text", "phi", "gpt_neox"])
def test_what_is_written_is_the_same(tiny: Callable[..., Any], family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    readout = ReadoutModel(tiny(family))
    packed = ModelReader(readout, None)
    found = written(packed)
    assert packed._packing is not None
    assert packed._packing._made
    monkeypatch.setattr(packings, "PACK_AFTER", 10**9)
    ordinary = ModelReader(readout, None)
    assert written(ordinary) == found
    assert ordinary._packing is None


def test_one_row_alone_and_short_answers_pack_nothing(tiny: Callable[..., Any]) -> None:
    reader = ModelReader(ReadoutModel(tiny("llama")), None)
    written(reader, PROMPTS[:1])
    written(reader, tokens=PACK_AFTER - 1)
    assert reader._packing is None


def test_after_training_all_weights_the_new_ones_write(
    tiny: Callable[..., Any], sequences: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny("llama", masters=True)
    readout = ReadoutModel(model, [ADAPTERS.get("full")(ADAPTERS.get("full").Config()).attach(model, seed=0)])
    reader = ModelReader(readout, "default")
    before = written(reader)
    assert reader._packing is not None
    engine = SingleDeviceEngine(readout, OptimizerConfig(), Schedule(0.05, 1, shape="constant"))
    readout.module.train()
    train_step(engine, [Work(SupervisedFineTuning(), batch) for batch in sequences(4)])
    readout.module.eval()
    after = written(reader)
    monkeypatch.setattr(packings, "PACK_AFTER", 10**9)
    assert after == written(ModelReader(readout, "default"))
    assert after != before


def test_prompts_are_announced_before_they_are_read(tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ModelReader(ReadoutModel(tiny("llama")), None)
    rows: list[int] = []
    monkeypatch.setattr(reader, "prepare", rows.append)
    written(reader, tokens=3)
    assert rows == [sum(map(len, PROMPTS)), 5, 5]
    rows.clear()
    written(reader, PROMPTS[:1], tokens=3)
    assert rows == [1, 1]


def steps(reader: ModelReader, rooms: Sequence[int], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each step of decoding for prompts whose tails take such room with six tokens of an answer."""
    rows: list[int] = []
    monkeypatch.setattr(reader, "prepare", rows.append)
    # What is said before the prompts of a cohort are read is longer than any step.
    written(reader, [[5 + i] * (room - 6) for i, room in enumerate(rooms)], tokens=6)
    return [n for n in rows if n <= len(rooms)]


def test_short_prompts_decode_together_and_long_ones_apart(
    tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = ModelReader(ReadoutModel(tiny("llama")), None)
    assert steps(reader, [10, 40, 100, 200], monkeypatch) == [4] * 5
    monkeypatch.setattr(engines, "_SHORT", 64)
    assert steps(reader, [10, 40, 100, 200], monkeypatch) == [2] * 5 + [1] * 10
