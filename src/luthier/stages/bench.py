"""How fast Luthier is here: a minute of tuning and answering on the shipped rows, beside the machine's own limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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

_STEPS = 3
"""Optimizer steps that are timed, after one that warms up."""
_SEQUENCES = 8
_PROMPTS, _NEW_TOKENS = 32, 48


@dataclass(frozen=True)
class Speed:
    """What one kind of work reached.

    Attributes:
        work: Its name.
        tokens_per_second: Of those computed (what rows begin with in common counts once), the median over steps.
        operations_a_token: Of products with the weights, which all need; None where they are not the limit.
        planned: Whether plans reckon with a share of the limit before anything was measured.
        memory_bytes: Peak of the process.
        expected_bytes: What plans reckon with.
        note: What to know about the figure.
    """

    work: str
    tokens_per_second: float
    operations_a_token: float | None
    planned: bool
    memory_bytes: int
    expected_bytes: int
    note: str = ""

    def limit_share(self, gflops: float) -> float | None:
        """Share of the speed that the machine's matrix products allow."""
        operations = self.operations_a_token
        return None if operations is None else self.tokens_per_second * operations / (gflops * 1e9)

    def expected(self, gflops: float) -> float | None:
        """Tokens a second that plans reckon with."""
        if self.operations_a_token is None or not self.planned:
            return None
        return SUSTAINED * gflops * 1e9 / self.operations_a_token


def bench(spec: str, works: Sequence[str], precision: str, listener: Listener) -> dict[str, Any]:
    """Measure, and show a table.

    The limit is measured before and after each kind of work, and the highest counts: other programs, and other tenants
    of a rented machine, take turns in making it seem lower.

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
    machine = measure_machine(precision)
    measured: list[Speed] = []
    with reading_weights(source):
        for name in works or WORKS:
            measured += WORKS[name](spec, precision, listener)
            machine = max(machine, measure_machine(precision), key=lambda found: found.gflops)
    reached = f"{machine.gflops:.0f} GFLOP/s of matrix products"
    listener.show(Row("machine", f"{machine.device}, {machine.precision}, {reached}"))
    listener.show(_table(measured, machine.gflops))
    return {
        "model": source.base,
        "machine": asdict(machine),
        "speeds": [
            asdict(speed)
            | {
                "limit_share": speed.limit_share(machine.gflops),
                "expected_tokens_per_second": speed.expected(machine.gflops),
            }
            for speed in measured
        ],
    }


def _tuning(method: str) -> Callable[[str, str, Listener], list[Speed]]:
    def measure(spec: str, precision: str, listener: Listener) -> list[Speed]:
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
                    computed = sum(piece.batch.tokens for piece in pieces)
                    paces.append(computed / (time.monotonic() - began))
                    answers, tokens = answers + step.predictions, tokens + computed
                progress.advance()
        operations = training_operations(model.facts, answers / tokens, all_weights=method == "full")
        expected = estimate_training_bytes(model.facts, engine.trained, work.largest_micro_batch, model.precision)
        note = f"steps of {_SEQUENCES} rows, {tokens / _STEPS:.0f} tokens computed"
        return [Speed(f"tuning, {method}", median(paces), operations, True, peak_memory_bytes(), expected, note)]

    return measure


def _answering(spec: str, precision: str, listener: Listener) -> list[Speed]:
    """Reading prompts and writing answers, many at once."""
    with listener.track("answering", 2, "rounds") as progress:
        forget_peak_memory()
        model = open_model(spec, precision)
        for new_tokens in (2, _NEW_TOKENS):  # the first products of a new shape take longer
            decoding = Decoding(max_tokens=new_tokens)
            times = model.times_of([Request(e.messages, decoding) for e in _examples()[:_PROMPTS]])
            progress.advance()
    facts = model.loaded.facts
    memory = peak_memory_bytes(), estimate_answering_bytes(facts, model.loaded.precision)
    operations = training_operations(facts, _PROMPTS / times.prefill_tokens) / 2  # forwards only
    reading = times.prefill_tokens / times.prefill_seconds
    writing = times.decode_tokens / max(times.decode_seconds, 1e-9)
    return [
        Speed("reading prompts", reading, operations, False, *memory, f"{times.prefill_tokens} tokens at once"),
        Speed("writing answers", writing, None, False, *memory, f"{_PROMPTS} answers at once"),
    ]


WORKS: dict[str, Callable[[str, str, Listener], list[Speed]]] = {
    "lora": _tuning("lora"),
    "full": _tuning("full"),
    "answers": _answering,
}


def _examples() -> Sequence[Example]:
    return read_examples(shipped_data("support_tickets") / "tickets.csv", ReadOptions()).examples


def _table(measured: Sequence[Speed], gflops: float) -> Table:
    columns = [
        Column("", help="What was done"),
        Column(
            "tokens/s",
            "right",
            help="Of those computed, the median over steps: what rows begin with in common counts once",
        ),
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
            _shown(speed.limit_share(gflops), percent),
            _shown(speed.expected(gflops), "{:.0f}".format),
            size(speed.memory_bytes),
            size(speed.expected_bytes),
            speed.note,
        )
        for speed in measured
    ]
    return Table(columns, rows)


def _shown(value: float | None, write: Callable[[float], str]) -> str:
    return MISSING if value is None else write(value)
