"""Whether a model fits this machine, and about how long LoRA takes here: from its shape alone, before a download.

Memory is that of `luthier.models.cost`. Time is arithmetic divided by the speed of a matrix product measured here: a
token costs LoRA two operations a weight forward and two back (the frozen weights have no gradients of their own), and
the output layer only where an answer is learned.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from luthier.models.cost import estimate_answering_bytes, estimate_training_bytes
from luthier.models.device import memory_bytes, pick_device, pick_precision, wait_for
from luthier.models.facts import ModelFacts

SUSTAINED = 0.5
"""Share of a matrix product's speed that a training step reaches: 0.50 (fp32) and 0.54 (bf16) for the 135 M built-in
model, 0.44 for gemma-3-270m, on one core with 4 x 150 tokens a step. Small models on a GPU reach less: not tried."""
_ROOM = 0.9
"""Share of the memory that one process can have; the system needs some, too."""
_LARGEST_PRODUCT = 8192


@dataclass(frozen=True)
class Machine:
    """What fits and how fast: memory in bytes (None where it is not known), the precision, GFLOP/s in it."""

    device: str
    precision: str
    memory_bytes: int | None
    gflops: float


@dataclass(frozen=True)
class Workload:
    """Rows to learn from: how many, tokens of each, how many of these are the answer, passes over them."""

    rows: int = 300
    row_tokens: int = 150
    answer_tokens: int = 30
    epochs: float = 2.0
    micro_batch_tokens: int = 600

    def __str__(self) -> str:
        return f"{self.rows} rows of {self.row_tokens} tokens, {self.epochs:g} epochs"


@dataclass(frozen=True)
class Fit:
    """What a model needs here: bytes to answer and to be tuned with LoRA, and what there is for it; seconds to tune."""

    answering_bytes: int
    tuning_bytes: int
    room_bytes: float | None
    seconds: float

    @property
    def answers(self) -> bool:
        """Whether it can answer here; False where the memory is not known."""
        return self.room_bytes is not None and self.answering_bytes <= self.room_bytes

    @property
    def tunes(self) -> bool:
        """Whether it can be tuned with LoRA here; False where the memory is not known."""
        return self.room_bytes is not None and self.tuning_bytes <= self.room_bytes


def fit(facts: ModelFacts, machine: Machine, work: Workload, rank: int) -> Fit:
    """Estimate what a model needs on a machine.

    Args:
        facts: The model's shape.
        machine: From `measure_machine`.
        work: What it would learn from.
        rank: Of LoRA on all linear layers.
    """
    answering = estimate_answering_bytes(facts, machine.precision)
    tuning = estimate_training_bytes(facts, lora_parameters(facts, rank), work.micro_batch_tokens, machine.precision)
    room = None if machine.memory_bytes is None else machine.memory_bytes * _ROOM
    return Fit(answering, tuning, room, tuning_seconds(facts, machine.gflops, work))


def lora_parameters(facts: ModelFacts, rank: int) -> dict[str, torch.Tensor]:
    """Return the shapes of LoRA's A and B on all linear layers of a decoder, as tensors without storage."""
    queries, keys = facts.heads * facts.head_width, facts.kv_heads * facts.head_width
    width, inner = facts.width, facts.feed_forward
    linear = {
        "q_proj": (width, queries), "k_proj": (width, keys), "v_proj": (width, keys), "o_proj": (queries, width),
        "gate_proj": (width, inner), "up_proj": (width, inner), "down_proj": (inner, width),
    }  # fmt: skip
    found = {}
    for layer in range(facts.layers):
        for name, (inputs, outputs) in linear.items():
            found[f"layers.{layer}.{name}.lora_A"] = torch.empty(rank, inputs, device="meta")
            found[f"layers.{layer}.{name}.lora_B"] = torch.empty(outputs, rank, device="meta")
    return found


def tuning_seconds(facts: ModelFacts, gflops: float, work: Workload) -> float:
    """Estimate the seconds of LoRA's updates; loading, validating and answering are not in them."""
    a_row = work.row_tokens * training_operations(facts, work.answer_tokens / work.row_tokens)
    return work.rows * work.epochs * a_row / (gflops * 1e9 * SUSTAINED)


def training_operations(facts: ModelFacts, answer_share: float, *, all_weights: bool = False) -> float:
    """Count the operations that a step cannot do without, a token: products with the weights, forwards and back.

    Args:
        facts: The model's shape.
        answer_share: Share of the tokens at which the output layer is read.
        all_weights: Whether the weights are trained, and need gradients of their own.
    """
    output_layer = facts.vocabulary * facts.width
    body = facts.parameters - output_layer * (1 if facts.tied else 2)
    return (6 if all_weights else 4) * (body + output_layer * answer_share)


def measure_machine(wanted: str = "auto") -> Machine:
    """Measure this machine in less than half a second, in a precision."""
    device = pick_device("auto")
    precision = pick_precision(wanted, device)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return Machine(device.type, precision, memory_bytes(device), measure_gflops(device, dtype))


def measure_gflops(device: torch.device, dtype: torch.dtype, at_most_seconds: float = 0.4) -> float:
    """Return the speed of a square matrix product in billions of operations a second: the best of growing ones."""
    _time_product(torch.randn(64, 64, dtype=dtype, device=device))  # what a GPU sets up once, a second and more
    best, size, began = 0.0, 256, time.perf_counter()
    while True:
        matrix = torch.randn(size, size, dtype=dtype, device=device)
        seconds = min(_time_product(matrix) for _ in range(2))
        best = max(best, 2 * size**3 / seconds / 1e9)
        next_pair = 2 * 8 * seconds
        if size == _LARGEST_PRODUCT or time.perf_counter() - began + next_pair > at_most_seconds:
            return best
        size *= 2


def _time_product(matrix: torch.Tensor) -> float:
    wait_for(matrix.device)
    began = time.perf_counter()
    matrix @ matrix
    wait_for(matrix.device)
    return time.perf_counter() - began
