"""Packed = rows: the same readouts and gradients whether sequences share a row, a prefix, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from measuring import PACKING, SHAPES, TrueFloat64, assert_same, backward, train_all

from luthier.models.readout_model import ReadoutModel, Work
from luthier.models.readouts import NextTokenHits, TokenLogps
from luthier.objectives.supervised import SupervisedFineTuning
from luthier.testing import FAMILIES


def test_the_families_tested_are_all_that_pack(tiny: Callable[..., Any]) -> None:
    assert tuple(family for family in FAMILIES if tiny(family).packs) == PACKING


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("family", PACKING)
def test_readouts_are_the_same(tiny: Callable[..., Any], forest: Callable[..., Any], family: str, shape: str) -> None:
    model, batch = tiny(family), forest(SHAPES[shape])
    packed, rows = (
        ReadoutModel(model, layout=layout).read(batch, (TokenLogps(), NextTokenHits()), None)
        for layout in ("packed", "rows")
    )
    apart = (packed["logps"] - rows["logps"]).norm() / rows["logps"].norm()
    assert apart <= 1e-6
    assert packed["logps"].std() > 0.2, "too flat to tell positions apart"
    assert torch.equal(packed["hits"], rows["hits"])


@pytest.mark.parametrize("exact", [False, True], ids=["fp32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("family", PACKING)
def test_gradients_are_the_same(
    tiny: Callable[..., Any], forest: Callable[..., Any], family: str, shape: str, exact: bool
) -> None:
    model = tiny(family)
    if exact:
        model.module.double()
    train_all(model)
    work = Work(SupervisedFineTuning(), forest(SHAPES[shape], seed=1), None)
    with TrueFloat64() if exact else nullcontext():
        packed, rows = (backward(ReadoutModel(model, layout=layout), work) for layout in ("packed", "rows"))
    assert len(packed[1]) == len(list(model.module.parameters()))
    with TrueFloat64():
        model.module.double()
        true = rows if exact else backward(ReadoutModel(model, layout="rows"), work)
    assert_same(packed, rows, exact, true[1])


def test_unmodified_float64_is_exact_where_nothing_is_shared(
    tiny: Callable[..., Any], forest: Callable[..., Any]
) -> None:
    # Llama's norm computes in fp32 also in a float64 model, but token by token: the same numbers in either layout.
    model = tiny("llama")
    model.module.double()
    train_all(model)
    work = Work(SupervisedFineTuning(), forest(SHAPES["sequences"], longest=20), None)
    packed, rows = (backward(ReadoutModel(model, layout=layout), work) for layout in ("packed", "rows"))
    assert_same(packed, rows, exact=True)


@pytest.mark.parametrize("family", ["mistral", "gemma2", "gemma3_text"])
def test_the_windows_of_these_families_are_at_work(
    tiny: Callable[..., Any], sequences: Callable[..., Any], family: str
) -> None:
    # Without this the cases above could pass with the window ignored in both layouts.
    model, batch = tiny(family), sequences(1, shortest=25)[0]
    windowed = ReadoutModel(model).read(batch, [TokenLogps()], None)["logps"]
    for layer in model.module.base_model.layers:
        layer.self_attn.sliding_window = None
    model.module.config.sliding_window = None  # where Mistral's layers look
    unlimited = ReadoutModel(model).read(batch, [TokenLogps()], None)["logps"]
    assert (windowed - unlimited).abs().max() > 1e-2


def test_a_neighbour_changes_nothing(tiny: Callable[..., Any], sequences: Callable[..., Any]) -> None:
    from luthier.segments import join

    model = tiny("llama")
    alone = sequences(1, seed=5)[0]
    for seed in (6, 7):
        neighbours = sequences(3, seed=seed)
        together = ReadoutModel(model).read(join([*neighbours, alone]), [TokenLogps()], None)["logps"][
            -len(alone.targets) :
        ]
        assert torch.allclose(
            together, ReadoutModel(model).read(alone, [TokenLogps()], None)["logps"], rtol=1e-6, atol=1e-6
        )
