"""The packed source: order, cursor, micro-batches, and refusal to go on with other data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from luthier.adapters import ADAPTERS
from luthier.core.errors import GuardError
from luthier.core.seeding import stream
from luthier.models.readout_model import ReadoutModel
from luthier.objectives.supervised import SupervisedFineTuning
from luthier.segments import Batch, sequence_batch
from luthier.training import speed
from luthier.training.engine.single import SingleDeviceEngine
from luthier.training.optim import OptimizerConfig, Schedule
from luthier.training.source import BatchConfig, PackedSource
from luthier.training.validation import validation_work

SFT = SupervisedFineTuning()


def numbered(count: int, length: int = 3) -> list[Batch]:
    """Make sequences whose first token is their number."""
    weights = np.r_[0.0, np.ones(length - 1)].astype(np.float32)
    return [sequence_batch(np.array([i, *range(50, 49 + length)]), weights) for i in range(count)]


def source(rows: list[Batch], epochs: float = 2.0, seed: int = 7, **config: int) -> PackedSource:
    return PackedSource(rows, SFT, BatchConfig(**({"sequences": 4} | config)), epochs, seed, "french")


def numbers(work: list) -> list[int]:
    return [int(s.tokens[0]) for piece in work for s in piece.batch.segments]


def drain(packed: PackedSource) -> list[list[int]]:
    steps = []
    while (work := packed.next()) is not None:
        steps.append(numbers(work))
    return steps


def test_every_epoch_takes_every_sequence_once_in_its_own_order() -> None:
    packed = source(numbered(10))
    assert (packed.steps_per_epoch, packed.total_steps) == (3, 6)
    steps = drain(packed)
    assert [len(step) for step in steps] == [4, 4, 2, 4, 4, 2]
    epochs = [list(chain(*steps[:3])), list(chain(*steps[3:]))]
    assert epochs[0] == stream(7, "order", 0).permutation(10).tolist()
    assert epochs[1] == stream(7, "order", 1).permutation(10).tolist()
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert packed.next() is None
    assert drain(source(numbered(10), seed=8)) != steps


def test_speed_is_measured_by_micro_batches_as_large_as_those_of_a_step() -> None:
    packed = source(numbered(10, length=5), micro_tokens=12)
    pieces = packed.first_pieces()
    assert [numbers([piece]) for piece in pieces] == [[0, 1], [4, 5], [8, 9]]
    assert max(piece.batch.tokens for piece in pieces) <= packed.largest_micro_batch == 12
    assert len(source(numbered(3)).first_pieces()) == 1
    assert packed.next() is not None
    assert numbers(source(numbered(10), sequences=4).first_pieces(1)) == [0, 1, 2, 3]


@pytest.mark.parametrize(("epochs", "steps"), [(0.1, 1), (0.5, 2), (1.0, 3), (1.2, 4), (2.7, 8)])
def test_epochs_may_be_fractions_and_at_least_one_step_is_made(epochs: float, steps: int) -> None:
    assert len(drain(source(numbered(10), epochs=epochs))) == steps


def test_a_step_is_packed_into_micro_batches_that_keep_objective_and_adapter() -> None:
    work = source(numbered(10, length=5), micro_tokens=12).next()
    assert work is not None
    assert [piece.batch.tokens for piece in work] == [10, 10]
    assert {(piece.objective, piece.adapter, piece.coefficient) for piece in work} == {(SFT, "french", 1.0)}
    whole = source(numbered(10, length=5), micro_tokens=1000).next()
    assert whole is not None
    assert len(whole) == 1
    assert numbers(whole) == numbers(work)


def test_a_common_beginning_is_computed_once_and_counted_each_time() -> None:
    rows = [
        sequence_batch(np.array([*range(30, 60), i]), np.r_[np.zeros(30), 1.0].astype(np.float32)) for i in range(4)
    ]
    packed = source(rows)
    work = packed.next()
    assert work is not None
    assert [(piece.batch.tokens, piece.batch.all_tokens) for piece in work] == [(34, 124)]
    assert work[0].batch.targets.token.tolist() == list(packed.under_way)
    # Memory is tried as if nothing were shared: another step may share less.
    assert packed.longest_piece().batch.tokens == packed.largest_micro_batch == 124
    assert [piece.batch.tokens for piece in validation_work(SFT, rows, 2048)] == [34]


def test_memory_is_tried_with_the_longest_sequences_of_a_step() -> None:
    def row(length: int) -> Batch:
        return sequence_batch(np.array([length] * length), np.r_[0.0, np.ones(length - 1)].astype(np.float32))

    packed = source([row(length) for length in (3, 9, 4, 10, 5, 8)], micro_tokens=19)
    assert sorted(numbers([packed.longest_piece()])) == [9, 10]  # of 10, 9, 8 and 5, in two micro-batches
    assert packed.largest_micro_batch == 19


@pytest.mark.parametrize(("alike", "computed"), [(7, 16), (8, 10)])
def test_eight_common_tokens_are_computed_once(alike: int, computed: int) -> None:
    weights = np.r_[np.zeros(alike), 1.0].astype(np.float32)
    rows = [sequence_batch(np.array([*range(30, 30 + alike), i]), weights) for i in range(2)]
    assert [piece.batch.tokens for piece in source(rows).work(rows)] == [computed]


def test_speed_counts_tokens_in_full_and_leaves_no_trace(
    tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny("llama")
    readout = ReadoutModel(model, [ADAPTERS.get("lora")(ADAPTERS.get("lora").Config()).attach(model, seed=0)])
    engine = SingleDeviceEngine(readout, OptimizerConfig(), Schedule(0.1, 1))
    trained = readout.adapters["default"].parameters()
    before = {name: parameter.detach().clone() for name, parameter in trained.items()}
    weights = np.r_[np.zeros(30), 1.0].astype(np.float32)
    rows = [sequence_batch(np.array([*range(30, 60), i]), weights) for i in range(4)]
    clock = iter(range(0, 100, 2))
    monkeypatch.setattr(speed, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    pieces = PackedSource(rows, SFT, BatchConfig(sequences=4), 1.0, 7).first_pieces()
    assert [(piece.batch.tokens, piece.batch.all_tokens) for piece in pieces] == [(34, 124)]
    assert speed.tokens_per_second(engine, pieces) == 124 / 2
    assert all(parameter.grad is None for parameter in readout.module.parameters())
    assert all(torch.equal(parameter, before[name]) for name, parameter in trained.items())


@pytest.mark.parametrize(
    ("ends", "speed_wanted"),
    [
        ((2, 3, 5, 5.25), 4 / 1),  # the first warms up; 1, 2 and 0.25 seconds
        ((3, 6, 7, 8), 4 / 3),  # slow: one after the first is enough
        ((3, 4, 6, 7), 3.0),  # 1 and 2 seconds; the last one is not waited for
    ],
)
def test_speed_is_the_median_of_as_many_pieces_as_there_is_time_for(
    ends: tuple[float, ...], speed_wanted: float, tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny("llama")
    readout = ReadoutModel(model, [ADAPTERS.get("lora")(ADAPTERS.get("lora").Config()).attach(model, seed=0)])
    engine = SingleDeviceEngine(readout, OptimizerConfig(), Schedule(0.1, 1))
    rows = [sequence_batch(np.array([30, 31, 32, 33 + i]), np.array([0, 1, 1, 1], np.float32)) for i in range(4)]
    moments = iter([0.0, *(moment for end in ends for moment in (end, end))])
    monkeypatch.setattr(speed, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    pieces = PackedSource(rows, SFT, BatchConfig(sequences=1), 1.0, 7).first_pieces()
    assert len(pieces) == 4
    assert speed.tokens_per_second(engine, pieces) == pytest.approx(speed_wanted)


def test_the_cursor_goes_on_where_it_was() -> None:
    wanted = drain(source(numbered(10)))
    first = source(numbered(10))
    before = [numbers(first.next() or []) for _ in range(4)]
    second = source(numbered(10))
    second.load_state_dict(first.state_dict())
    assert before + drain(second) == wanted


def changed(kind: str) -> PackedSource:
    sequences = numbered(10)
    if kind == "token":
        tokens = sequences[3].segments[0].tokens.copy()
        tokens[-1] += 1
        sequences[3] = sequence_batch(tokens, np.array([0, 1, 1], dtype=np.float32))
    if kind == "border":  # the same tokens in a row, divided elsewhere
        a, b = sequences[0].segments[0].tokens, sequences[1].segments[0].tokens
        sequences[0] = sequence_batch(a[:2], np.array([0, 1], dtype=np.float32))
        sequences[1] = sequence_batch(np.r_[a[2:], b], np.array([0, 0, 1, 1], dtype=np.float32))
    if kind == "weight":
        targets = sequences[3].targets
        sequences[3] = replace(sequences[3], targets=replace(targets, weight=torch.tensor([1.0, 0.5])))
    if kind == "order":
        sequences[0], sequences[1] = sequences[1], sequences[0]
    options = {"batch": {"sequences": 5}, "epochs": {"epochs": 3.0}, "seed": {"seed": 8}}.get(kind, {})
    return source(sequences[:9] if kind == "fewer" else sequences, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["token", "border", "weight", "order", "fewer", "batch", "epochs", "seed"])
def test_other_data_batches_or_seeds_are_refused(kind: str) -> None:
    state = source(numbered(10)).state_dict()
    with pytest.raises(GuardError, match="would not give the run that was begun"):
        changed(kind).load_state_dict(state)
    changed("nothing").load_state_dict(state)
