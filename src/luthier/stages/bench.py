"""How fast Luthier is here: a minute of tuning and answering on the shipped rows, beside the machine's own limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from luthier.adapters import ADAPTERS
from luthier.core.errors import unknown_name
from luthier.core.listener import Listener
from luthier.core.types import Decoding, Example, Request
from luthier.data.options import ReadOptions
from luthier.data.render import Renderer
from luthier.data.shipped import shipped_data
from luthier.data.sources import read_examples
from luthier.evaluation.opening import open_model, reading_weights
from luthier.models.cost import estimate_answering_bytes, estimate_training_bytes
from luthier.models.fit import SUSTAINED, measure_machine, training_operations
from luthier.models.load import load_model
from luthier.models.memory import forget_peak_memory, peak_memory_bytes
from luthier.models.readout_model import ReadoutModel
from luthier.models.source import find_model
from luthier.objectives.supervised import SupervisedFineTuning
from luthier.reporting.blocks import Cell, Column, Row, Table
from luthier.reporting.inline import escape
from luthier.reporting.quantities import MISSING, percent, size
from luthier.training.engine.single import SingleDeviceEngine
from luthier.training.optim import OptimizerConfig, Schedule
from luthier.training.source import BatchConfig, PackedSource
from luthier.training.step import train_step

_STEPS = 4
"""Optimizer steps that are timed, after one that warms up."""
_SEQUENCES = 16
_PROMPTS, _NEW_TOKENS = 32, 48


@dataclass(frozen=True)
class Speed:
    """What one kind of work reached.

    Attributes:
        work: Its name.
        tokens_per_second: The median over steps; none of the tokens is padding.
        limit_share: Share of the speed that the machine's matrix products allow; None where they are not the limit.
        expected_tokens_per_second: What plans reckon with before anything was measured; None where they do not.
        memory_bytes: Peak of the process.
        expected_bytes: What plans reckon with.
        note: What to know about the figure.
    """

    work: str
    tokens_per_second: float
    limit_share: float | None
    expected_tokens_per_second: float | None
    memory_bytes: int
    expected_bytes: int
    note: str = ""


def bench(spec: str, works: Sequence[str], precision: str, listener: Listener) -> dict[str, Any]:
    """Measure, and show a table.

    Args:
        spec: The model.
        works: Some of `WORKS`; all if empty.
        precision: fp32, bf16, or auto.
        listener: Told of progress, and shown the table.

    Raises:
        ConfigError: for an unknown kind of work.
        ModelError: if the model cannot be found or read.
    """
    for name in works:
        if name not in WORKS:
            raise unknown_name("kind of work", name, WORKS)
    source = find_model(spec, listener)
    with reading_weights(source):
        machine = measure_machine(precision)
        measured = [
            speed for name in (works or WORKS) for speed in WORKS[name](spec, precision, machine.gflops, listener)
        ]
    listener.show(
        Row("machine", f"{machine.device}, {machine.precision}, {machine.gflops:.0f} GFLOP/s of matrix products")
    )
    listener.show(_table(measured))
    return {
        "model": source.base,
        "machine": asdict(machine),
        "speeds": [asdict(speed) for speed in measured],
    }


def _tuning(method: str) -> Callable[[str, str, float, Listener], Iterator[Speed]]:
    def measure(spec: str, precision: str, gflops: float, listener: Listener) -> Iterator[Speed]:
        with listener.track(f"tuning ({method})", _STEPS + 1, "steps") as progress:
            forget_peak_memory()
            entry = ADAPTERS.get(method)
            adapter = entry(entry.Config())
            model = load_model(find_model(spec), precision=precision, masters=adapter.masters)
            readout = ReadoutModel(model, [adapter.attach(model)])
            renderer = Renderer(model.tokenizer, model.facts.context)
            rows = [renderer.render(example) for example in _examples()]
            batch = BatchConfig(sequences=_SEQUENCES)
            work = PackedSource([r.batch() for r in rows], SupervisedFineTuning(), batch, epochs=99, seed=0)
            engine = SingleDeviceEngine(readout, OptimizerConfig(), Schedule(1e-6, 1))
            paces, answers, tokens = [], 0, 0
            for index in range(_STEPS + 1):
                pieces = work.next() or []
                began = time.monotonic()
                step = train_step(engine, pieces)
                if index:
                    paces.append(step.tokens / (time.monotonic() - began))
                    answers, tokens = answers + step.predictions, tokens + step.tokens
                progress.advance()
            limit = gflops * 1e9 / training_operations(model.facts, answers / tokens, all_weights=method == "full")
            expected = estimate_training_bytes(model.facts, engine.trained, work.largest_micro_batch, model.precision)
        yield Speed(
            f"tuning, {method}", median(paces), median(paces) / limit, limit * SUSTAINED, peak_memory_bytes(), expected,
            f"steps of {_SEQUENCES} rows, {tokens / _STEPS:.0f} tokens",
        )  # fmt: skip

    return measure


def _answering(spec: str, precision: str, gflops: float, listener: Listener) -> Iterator[Speed]:
    """Reading prompts and writing answers, many at once."""
    with listener.track("answering", 2, "rounds") as progress:
        forget_peak_memory()
        model = open_model(spec, precision)
        asked = [Request(e.messages, Decoding(max_tokens=_NEW_TOKENS)) for e in _examples()[:_PROMPTS]]
        for _ in range(2):  # the first products of a new shape take longer
            times = model.times_of(asked)
            progress.advance()
    peak, expected = peak_memory_bytes(), estimate_answering_bytes(model.loaded.facts, model.loaded.precision)
    reading = times.prefill_tokens / times.prefill_seconds
    limit = gflops * 1e9 / (training_operations(model.loaded.facts, _PROMPTS / times.prefill_tokens) / 2)
    yield Speed(
        "reading prompts", reading, reading / limit, None, peak, expected, f"{times.prefill_tokens} tokens at once"
    )
    writing = times.decode_tokens / max(times.decode_seconds, 1e-9)
    yield Speed("writing answers", writing, None, None, peak, expected, f"{_PROMPTS} answers at once")


WORKS: dict[str, Callable[[str, str, float, Listener], Iterator[Speed]]] = {
    "lora": _tuning("lora"),
    "full": _tuning("full"),
    "answers": _answering,
}


def _examples() -> Sequence[Example]:
    return read_examples(shipped_data("support_tickets") / "tickets.csv", ReadOptions()).examples


def _table(measured: Sequence[Speed]) -> Table:
    columns = [
        Column("", help="What was done"),
        Column("tokens/s", "right", help="Median over steps; none of the tokens is padding"),
        Column("of the limit", "right", help="Of what the machine's matrix products allow"),
        Column("plans expect", "right", help="Tokens a second that plans reckon with before anything was measured"),
        Column("peak memory", "right", help="Of the process, the model's weights included"),
        Column("plans expect", "right", help="Memory that plans reckon with"),
        Column(""),
    ]
    rows = [
        (
            escape(speed.work),
            Cell(f"{speed.tokens_per_second:.0f}", emphasis=True),
            MISSING if speed.limit_share is None else percent(speed.limit_share),
            MISSING if speed.expected_tokens_per_second is None else f"{speed.expected_tokens_per_second:.0f}",
            size(speed.memory_bytes),
            size(speed.expected_bytes),
            speed.note,
        )
        for speed in measured
    ]
    return Table(columns, rows)
