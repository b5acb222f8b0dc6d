"""A rival without a model: learn from tune rows, answer the rows to prove on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from luthier.core import config
from luthier.core.run import RunDirectory
from luthier.evaluation.answering import collect_answers
from luthier.evaluation.model_free import BASELINES
from luthier.evaluation.statistics import Scores
from luthier.stages.material import DataConfig, read_material


class Config(config.Config):
    """Recipe of a model-free rival."""

    data: DataConfig
    method: str = Field("tfidf", description="most_frequent or tfidf")
    prove_on: Literal["choose", "confirm"] = Field("confirm", description="the part that is answered")


def run(config: Config, run: RunDirectory) -> None:
    """Learn, answer, score."""
    material = read_material(config.data, run)
    answerer = BASELINES.get(config.method)(material.parts.tune, material.task)
    run.update(answering={"kind": "baseline", "method": config.method})
    examples = material.parts[config.prove_on]
    answers = collect_answers(answerer, examples, run, config.prove_on)
    scores = run.once(
        f"scores_{config.prove_on}",
        lambda: Scores.measure(answerer.identity, examples, answers, material.metrics),
        Scores.from_json,
    )
    run.finish({"metric": material.task.metric, "value": scores.value(material.task.metric)})
