"""A few seconds on the real model and rows: how fast this machine trains and generates."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from luthier.adapters.lora import Lora
from luthier.core.budget import format_duration
from luthier.core.errors import BudgetError
from luthier.core.listener import Listener
from luthier.core.types import Decoding, Request
from luthier.data.render import Renderer
from luthier.evaluation.opening import reading_weights, require_there
from luthier.generation.local import LocalModel
from luthier.models.compatibility import check_compatible
from luthier.models.cost import estimate_training_bytes
from luthier.models.device import name_of
from luthier.models.load import load_model, template_note
from luthier.models.readout_model import ReadoutModel
from luthier.models.source import find_model
from luthier.objectives.supervised import SupervisedFineTuning
from luthier.prompting.format_instruction import format_instruction
from luthier.stages.guards import render_parts
from luthier.stages.material import Material, measure_lengths
from luthier.training.engine.single import SingleDeviceEngine
from luthier.training.optim import OptimizerConfig, Schedule
from luthier.training.source import BatchConfig, PackedSource
from luthier.training.speed import tokens_per_second

WITHOUT_MODEL_SECONDS = 20.0
"""Below this there is no time to load a model and look at it, only for the rivals that need none."""
_SHORTEST_SECONDS = 3.0
_PROMPTS = 48
_NEW_TOKENS = 12


@dataclass(frozen=True)
class Calibration:
    """What was measured, and the lengths that plans are made from (tokens; seconds).

    `usable` is False where the budget did not allow to look at the model at all.
    """

    usable: bool
    load_seconds: float = 0.0
    train_tokens_per_second: float = 1.0
    prefill_tokens_per_second: float = 1.0
    generate_tokens_per_second: float = 1.0
    seconds_a_token_alone: float = 0.0
    tune_tokens: int = 0
    choose_tokens: int = 0
    prompt_tokens: float = 0.0
    instruction_tokens: int = 0
    answer_tokens: float = 0.0
    output_limit: int = 0
    memory_bytes: int = 0
    precision: str = ""
    device: str = ""
    layout: str = ""
    template_note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the measurements as JSON."""
        return asdict(self)


def calibrate(spec: str, precision: str, material: Material, listener: Listener, budget_seconds: float) -> Calibration:
    """Load the model, compute one training step and a few tokens, and throw the step away.

    Raises:
        BudgetError: if the budget does not even suffice for the rivals without a model.
        CompatibilityError: if the model cannot be adapted this way.
    """
    require_there(spec)
    source = find_model(spec, listener)
    check_compatible(source.facts(), [Lora(), SupervisedFineTuning()])
    if budget_seconds < _SHORTEST_SECONDS:
        raise BudgetError(
            f"A budget of {format_duration(budget_seconds)} is too small for anything: the rivals without a model take "
            f"about {_SHORTEST_SECONDS:.0f} s, a look at the model {WITHOUT_MODEL_SECONDS:.0f} s. Try --budget 10m."
        )
    if budget_seconds < WITHOUT_MODEL_SECONDS:
        return Calibration(usable=False)
    with listener.track("measuring this machine", 3, "steps") as progress:
        began = time.monotonic()
        with reading_weights(source):
            model = load_model(source, precision=precision)
        renderer = Renderer(model.tokenizer, model.facts.context)
        tune = render_parts(renderer, material.parts)["tune"]
        lengths = measure_lengths(renderer, material.parts)
        load_seconds = time.monotonic() - began
        progress.advance()
        asked = LocalModel(ReadoutModel(model), renderer, None)
        speeds = _generation_speeds(asked, material)
        progress.advance()
        batch = BatchConfig()
        readout = ReadoutModel(model, [Lora().attach(model)])
        step = PackedSource([r.batch() for r in tune], SupervisedFineTuning(), batch, 1, seed=0)
        engine = SingleDeviceEngine(readout, OptimizerConfig(), Schedule(0.0, 1))
        train = tokens_per_second(engine, step.first_pieces())
        progress.advance()
    choose = [
        len(renderer.prompt_ids(e.messages)) + len(renderer.answer_ids(e.reference)) for e in material.parts.choose
    ]
    instruction = format_instruction(material.task, material.parts.tune)
    return Calibration(
        usable=True,
        load_seconds=load_seconds,
        train_tokens_per_second=train,
        **speeds,
        tune_tokens=sum(map(len, tune)),
        choose_tokens=sum(choose),
        prompt_tokens=lengths.prompt.mean,
        instruction_tokens=len(renderer.answer_ids(instruction)),
        answer_tokens=lengths.answer.mean,
        output_limit=lengths.limit,
        memory_bytes=estimate_training_bytes(model.facts, engine.trained, step.largest_micro_batch, model.precision),
        precision=model.precision,
        device=name_of(model.device),
        layout=asked.layout,
        template_note=template_note(model.facts.name, model.tokenizer),
    )


def _generation_speeds(model: LocalModel, material: Material) -> dict[str, float]:
    """Measure reading prompts and writing answers, many at once as in an evaluation; and writing one alone."""
    examples = material.parts.choose[:_PROMPTS]
    alone = model.times_of([Request(e.messages, Decoding(max_tokens=_NEW_TOKENS)) for e in examples[:1]])  # warms up
    many = [Request(e.messages, Decoding(max_tokens=_NEW_TOKENS)) for e in examples]
    model.times_of(many)  # the first products of a new shape take longer
    together = model.times_of(many)
    return {
        "prefill_tokens_per_second": together.prefill_tokens / together.prefill_seconds,
        "generate_tokens_per_second": max(1, together.decode_tokens) / max(1e-3, together.decode_seconds),
        "seconds_a_token_alone": alone.decode_seconds / max(1, alone.decode_tokens),
    }
