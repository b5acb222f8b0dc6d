"""A step is the same however it is cut: 1x8 = 8x1, chunks of any size, layers recomputed or kept."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from measuring import (
    PACKING,
    SHAPES,
    SequenceMeans,
    TrueFloat64,
    assert_same,
    backward,
    distance,
    loss_of,
    step,
    train_all,
)

from luthier.adapters import ADAPTERS
from luthier.models import readout_model, readouts
from luthier.models.readout_model import ReadoutModel, Work
from luthier.models.readouts import TokenLogps, read_chunks
from luthier.objectives.supervised import SupervisedFineTuning
from luthier.segments import Batch, join, sequence_batch, share
from luthier.training.step import count_units

CUTS = {"8x1": [1] * 8, "2x4": [4, 4], "uneven": [1, 5, 2]}


def cut(batches: list[Batch], sizes: list[int]) -> list[Batch]:
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    assert sum(sizes) == len(batches)
    return [join(batches[start : start + size]) for start, size in zip(starts, sizes, strict=True)]


def two_loras(model: Any, dropout: float = 0.0) -> list[Any]:
    """Attach two adapters, with random instead of zero factors so that all of them have a gradient."""
    lora = ADAPTERS.get("lora")
    method = lora(lora.Config(rank=4, dropout=dropout))
    attached = [method.attach(model, name, seed=seed) for seed, name in enumerate(("first", "second"))]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        for adapter in attached:
            for parameter in adapter.parameters().values():
                parameter.requires_grad_(True)
                torch.nn.init.normal_(parameter, std=0.2)
    return attached


@pytest.mark.parametrize("exact", [False, True], ids=["fp32", "float64"])
@pytest.mark.parametrize("sizes", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_eight_times_one_is_one_times_eight(
    tiny: Callable[..., Any], sequences: Callable[..., Any], family: str, sizes: list[int], exact: bool
) -> None:
    model, batches = tiny(family), sequences(8, seed=2)
    if exact:
        model.module.double()
    readout = ReadoutModel(model, [ADAPTERS.get("full")().attach(model)])
    objective = SupervisedFineTuning()
    with TrueFloat64() if exact else nullcontext():
        whole, wanted = step(readout, [Work(objective, join(batches))])
        pieces, found = step(readout, [Work(objective, b) for b in cut(batches, sizes)])
    assert_same((pieces.loss, found), (whole.loss, wanted), exact)
    assert (pieces.hit_rate, pieces.predictions, pieces.tokens) == (whole.hit_rate, whole.predictions, whole.tokens)


@pytest.mark.parametrize("exact", [False, True], ids=["fp32", "float64"])
@pytest.mark.parametrize("family", PACKING)
def test_a_common_beginning_computed_once_changes_nothing(tiny: Callable[..., Any], family: str, exact: bool) -> None:
    model, batches = tiny(family), alike()
    if exact:
        model.module.double()
    readout = ReadoutModel(model, [ADAPTERS.get("full")().attach(model)])
    objective, apart = SupervisedFineTuning(), join(batches)
    shared = share(apart)
    assert len({segment.parent for segment in shared.segments}) == 3, "two beginnings, one below the other, and roots"
    with TrueFloat64() if exact else nullcontext():
        whole, wanted = step(readout, [Work(objective, apart)])
        once, found = step(readout, [Work(objective, shared)])
    assert_same((once.loss, found), (whole.loss, wanted), exact)
    assert (once.hit_rate, once.predictions, once.tokens) == (whole.hit_rate, whole.predictions, whole.tokens)


def alike() -> list[Batch]:
    """Make sequences that begin alike, some longer than others, with targets in what they share as well."""
    draw = np.random.default_rng(5)
    base = draw.integers(3, 250, 40)
    batches = []
    for common, own, prompt in ((20, 5, 22), (20, 9, 12), (40, 3, 41), (40, 8, 17), (0, 11, 4), (40, 6, 44)):
        ids = np.r_[base[:common], draw.integers(3, 250, own)]
        weights = np.r_[np.zeros(prompt), draw.choice([1.0, 0.5], len(ids) - prompt)].astype(np.float32)
        batches.append(sequence_batch(ids, weights))
    return batches


def test_means_of_means_would_be_something_else(tiny: Callable[..., Any], sequences: Callable[..., Any]) -> None:
    model, batches = tiny("llama"), sequences(8, seed=2)
    readout = ReadoutModel(model, [ADAPTERS.get("full")().attach(model)])
    record, wanted = step(readout, [Work(SupervisedFineTuning(), b) for b in batches])
    singles = [backward(readout, Work(SupervisedFineTuning(), b)) for b in batches]
    mean = {f"default/{n}": torch.stack([g[n] for _, g in singles]).mean(0) for n in singles[0][1]}
    assert distance(mean, wanted)[0] > 0.05
    assert abs(sum(loss for loss, _ in singles) / 8 - record.loss) > 1e-3


@pytest.mark.parametrize("exact", [False, True], ids=["fp32", "float64"])
def test_two_kinds_of_work_on_two_adapters_in_one_step(
    tiny: Callable[..., Any], sequences: Callable[..., Any], exact: bool
) -> None:
    model = tiny("llama")
    readout = ReadoutModel(model, two_loras(model))
    if exact:
        model.module.double()
    answers, means = SupervisedFineTuning(), SequenceMeans()
    a, b, c = sequences(8, seed=3), sequences(8, seed=4), sequences(8, seed=5)

    def work(sizes: list[int]) -> list[Work]:
        kinds = [
            [Work(answers, x, "first") for x in cut(a, sizes)],
            [Work(means, x, "second", coefficient=0.3) for x in cut(b, sizes)],
            [Work(answers, x, "second", coefficient=2.0) for x in cut(c, sizes)],
        ]
        return [piece for pieces in zip(*kinds, strict=True) for piece in pieces]  # the kinds take turns

    with TrueFloat64() if exact else nullcontext():
        whole, wanted = step(readout, work([8]))
        pieces, found = step(readout, work([1] * 8))
    assert len(wanted) == 2 * len(readout.adapters["first"].parameters())
    assert_same((pieces.loss, found), (whole.loss, wanted), exact)

    # The step's loss by hand: each (kind, adapter) divided by its own units, then weighted.
    def alone(kind: Any, batches: list[Batch], adapter: str) -> float:
        with TrueFloat64() if exact else nullcontext():
            return backward(readout, Work(kind, join(batches), adapter))[0]

    by_hand = alone(answers, a, "first") + 0.3 * 1.5 * alone(means, b, "second") + 2.0 * alone(answers, c, "second")
    assert whole.loss == pytest.approx(by_hand, rel=1e-12 if exact else 1e-6)


def test_units_are_summed_over_the_step_before_any_forward(
    sequences: Callable[..., Any], tiny: Callable[..., Any]
) -> None:
    class Counting:
        def sum_over_ranks(self, units: dict[str, float]) -> dict[str, float]:
            return {name: 2 * count for name, count in units.items()}  # another rank with the same work

    batches = sequences(3, seed=1)
    work = [Work(SupervisedFineTuning(), b, "x") for b in batches[:2]] + [Work(SequenceMeans(), batches[2], None)]
    wanted = 2 * sum(float(b.targets.weight.sum()) for b in batches[:2])
    assert count_units(Counting(), work) == {"sft/x/loss": pytest.approx(wanted), "sequence_means/None/means": 2.0}


@pytest.mark.parametrize("exact", [False, True], ids=["fp32", "float64"])
@pytest.mark.parametrize("kept", [0, 2**25], ids=["recomputed", "kept"])
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_the_chunk_size_changes_nothing(
    tiny: Callable[..., Any],
    forest: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    kept: int,
    exact: bool,
) -> None:
    model = tiny("gemma2")
    if exact:
        model.module.double()
    train_all(model)
    work = Work(SupervisedFineTuning(), forest(SHAPES["infix"], seed=4), None)
    with TrueFloat64() if exact else nullcontext():
        wanted = backward(ReadoutModel(model), work)
        monkeypatch.setattr(readout_model, "read_chunks", partial(read_chunks, size=size))
        monkeypatch.setattr(readouts, "KEPT_LOGITS", kept)
        found = backward(ReadoutModel(model), work)
    assert_same(found, wanted, exact)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2", "bloom"])
def test_recomputed_layers_give_the_same_gradient(
    tiny: Callable[..., Any], sequences: Callable[..., Any], family: str, dropout: float
) -> None:
    work, results, calls = Work(SupervisedFineTuning(), join(sequences(4)), "first"), [], []
    for recompute in (False, True):
        model = tiny(family)
        readout = ReadoutModel(model, two_loras(model, dropout), recompute=recompute)
        readout.train()
        count = [0]
        norm = next(m for n, m in model.module.named_modules() if n.endswith((".0.input_layernorm", ".0.ln_1")))
        norm.register_forward_hook(lambda *_, count=count: count.__setitem__(0, count[0] + 1))
        torch.manual_seed(7)
        results.append(backward(readout, work))
        calls.append(count[0])
    assert calls == [1, 2], "recompute=True must compute a layer again in the backward"
    assert results[0][0] == results[1][0]
    assert distance(results[1][1], results[0][1]) == (0.0, 0.0)


@pytest.mark.parametrize("recompute", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("last", ["second", None])
@pytest.mark.parametrize("family", ["llama", "gpt2", "bloom"])
def test_a_gradient_survives_other_reads_before_its_backward(
    tiny: Callable[..., Any], sequences: Callable[..., Any], family: str, last: str | None, recompute: bool
) -> None:
    model, (batch, other) = tiny(family), (join(sequences(4, seed=s)) for s in (0, 1))
    readout = ReadoutModel(model, two_loras(model), recompute=recompute)
    readout.train()
    work = Work(SupervisedFineTuning(), batch, "first")
    undisturbed = backward(readout, work)
    names = ("first", "second", None)
    reads = [partial(readout.read, other, [TokenLogps()], name) for name in (*names, last)]
    assert readout.training
    found = backward(readout, work, *reads)
    assert distance(found[1], undisturbed[1]) == (0.0, 0.0)
    assert all(".first." in name for name in found[1])
    assert sum(float(g.abs().sum()) > 0 for g in found[1].values()) == len(found[1])


@pytest.mark.parametrize("recompute", [False, True], ids=["kept", "recomputed"])
def test_two_adapters_forward_then_both_backward(
    tiny: Callable[..., Any], sequences: Callable[..., Any], recompute: bool
) -> None:
    model = tiny("llama")
    readout = ReadoutModel(model, two_loras(model), recompute=recompute)
    readout.train()
    works = [
        Work(SupervisedFineTuning(), join(sequences(4, seed=s)), name) for s, name in enumerate(("first", "second"))
    ]
    apart = backward(readout, works[0])[1] | backward(readout, works[1])[1]
    readout.zero_grad(set_to_none=True)
    loss_of(readout, works).backward()
    together = {n: p.grad for n, p in readout.module.named_parameters() if p.grad is not None}
    assert distance(together, apart) == (0.0, 0.0)
