"""A model as it is, asked by a strategy: answer the rows to prove on, score the answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from luthier.core import config
from luthier.core.run import RunDirectory
from luthier.evaluation.answerers import Prompted
from luthier.evaluation.answering import collect_answers
from luthier.evaluation.opening import open_model
from luthier.evaluation.statistics import Scores
from luthier.models.source import DEFAULT_MODEL
from luthier.prompting.format_instruction import format_instruction
from luthier.prompting.strategies import STRATEGIES
from luthier.stages.material import DataConfig, measure_lengths, read_material


class Config(config.Config):
    """Recipe of a prompted model."""

    data: DataConfig
    model: str = Field(DEFAULT_MODEL, description="name, folder or run")
    precision: str = Field("auto", description="fp32, bf16, or auto: bf16 where the machine computes in it")
    strategy: dict[str, Any] = Field(
        default_factory=lambda: {"strategy": "zero_shot"}, description="the strategy and its settings"
    )
    tell_format: bool = Field(False, description="put the task, its labels or its schema before the prompt")
    prove_on: Literal["choose", "confirm"] = Field("confirm", description="the part that is answered")


def run(config: Config, run: RunDirectory) -> None:
    """Load, answer, score."""
    material = read_material(config.data, run)
    model = open_model(config.model, config.precision, run.listener)
    lengths = measure_lengths(model.renderer, material.parts)
    settings = {"max_tokens": lengths.limit, **config.strategy}
    if config.tell_format:
        settings["instruction"] = format_instruction(material.task, material.parts.tune)
    entry = STRATEGIES.get(str(settings.get("strategy", "zero_shot")))
    strategy = entry(entry.Config.parse(settings, "strategy"))
    run.update(
        lengths=lengths.to_json(),
        model={"name": model.loaded.facts.name, "digest": model.loaded.digest, "precision": model.loaded.precision},
        layout=model.model.layout if model.loaded.packs else f"rows: {model.loaded.why_rows}",
        answering={"kind": "prompted", "model": config.model, "strategy": settings},
    )
    answerer = Prompted(model, strategy)
    examples = material.parts[config.prove_on]
    answers = collect_answers(answerer, examples, run, config.prove_on)
    scores = run.once(
        f"scores_{config.prove_on}",
        lambda: Scores.measure(answerer.identity, examples, answers, material.metrics),
        Scores.from_json,
    )
    run.finish({"metric": material.task.metric, "value": scores.value(material.task.metric)})
