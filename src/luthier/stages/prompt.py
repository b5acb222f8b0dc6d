"""A model as it is, asked by a strategy: answer the rows to prove on, score the answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from luthier.core import config
from luthier.core.listener import Listener
from luthier.core.run import RunDirectory
from luthier.core.types import Answer
from luthier.evaluation.answerers import Prompted
from luthier.evaluation.answering import collect_answers
from luthier.evaluation.latency import median_latency_seconds
from luthier.evaluation.opening import open_model, strategy_for
from luthier.evaluation.statistics import Scores
from luthier.models.device import name_of
from luthier.models.memory import forget_peak_memory, peak_memory_bytes
from luthier.models.source import DEFAULT_MODEL
from luthier.prompting.format_instruction import constraint_for, format_instruction
from luthier.stages.material import DataConfig, Lengths, Material, measure_lengths, read_material, require_same_model


class Config(config.Config):
    """Recipe of a prompted model."""

    data: DataConfig
    model: str = Field(DEFAULT_MODEL, description="name, folder or run")
    precision: str = Field("auto", description="fp32, bf16, or auto: bf16 where the machine computes in it")
    strategy: dict[str, Any] = Field(
        default_factory=lambda: {"strategy": "zero_shot"}, description="the strategy and its settings"
    )
    tell_format: bool = Field(False, description="put the task, its labels or its schema before the prompt")
    constrain: bool = Field(False, description="allow no answer but one of the labels, or JSON that fits the schema")
    prove_on: Literal["choose", "confirm"] = Field("confirm", description="the part that is answered")


def run(config: Config, run: RunDirectory) -> None:
    """Load, answer, score."""
    forget_peak_memory()
    material = read_material(config.data, run)
    named = run.named_run(config.model)
    model = open_model(str(named.path) if named else config.model, config.precision, run.listener)
    require_same_model(run, model.loaded.digest)
    lengths = measure_lengths(model.renderer, material.parts)
    strategy = strategy_for(_settings(config, material, lengths, run.listener), model, material.parts.tune)
    loaded = model.loaded
    run.update(
        lengths=lengths.to_json(),
        model={
            "name": loaded.facts.name,
            "digest": loaded.digest,
            "precision": loaded.precision,
            "device": name_of(loaded.device),
        },
        answering={"kind": "prompted", "model": config.model, "strategy": strategy.config.model_dump(mode="json")},
    )
    answerer = Prompted(model, strategy)
    examples = material.parts[config.prove_on]
    answers = collect_answers(answerer, examples, run, config.prove_on)
    _note_demonstrations(answers, run)
    scores = run.once(
        f"scores_{config.prove_on}",
        lambda: Scores.measure(answerer.identity, examples, answers, material.metrics),
        Scores.from_json,
    )
    latency = median_latency_seconds(answerer, examples)
    measured = {"memory_bytes": peak_memory_bytes(), "latency_seconds": latency}
    run.update(layout=model.layout, measured=measured)
    run.finish({"metric": material.task.metric, "value": scores.value(material.task.metric)})


def _settings(config: Config, material: Material, lengths: Lengths, listener: Listener) -> dict[str, Any]:
    """Return the strategy's settings, with what follows from the data filled in."""
    settings = {"strategy": "zero_shot", "max_tokens": lengths.limit, **config.strategy}
    if config.tell_format:
        settings["instruction"] = format_instruction(material.task, material.parts.tune)
    if config.constrain and not settings.get("constraint"):
        settings["constraint"] = constraint_for(material.task)
        if not settings["constraint"]:
            kind = material.task.kind.replace("_", " ")
            listener.say(f"`constrain` changes nothing: {kind} has neither labels nor a schema.")
    return settings


def _note_demonstrations(answers: Sequence[Answer], run: RunDirectory) -> None:
    """Record how many rows were asked with how many demonstrations; say how many had room for none."""
    shown = Counter(int(a.scores["demonstrations"]) for a in answers if "demonstrations" in a.scores)
    if not shown:
        return
    run.update(demonstrations={str(count): rows for count, rows in sorted(shown.items())})
    if none := shown[0]:
        run.listener.say(f"**{none} of {len(answers)} rows had no room for a demonstration** and were asked zero-shot.")
