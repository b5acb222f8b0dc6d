"""A rival without a model: learn from tune rows, answer the rows to prove on."""

from __future__ import annotations

import time
from typing import Literal

from pydantic import Field

from luthier.core import config
from luthier.core.run import RunDirectory
from luthier.evaluation.answering import collect_answers
from luthier.evaluation.latency import median_latency_seconds
from luthier.evaluation.model_free import BASELINES
from luthier.evaluation.statistics import Scores
from luthier.models.memory import forget_peak_memory, peak_memory_bytes
from luthier.stages.material import DataConfig, read_material


class Config(config.Config):
    """Recipe of a model-free rival."""

    data: DataConfig
    method: str = Field("tfidf", description="most_frequent or tfidf")
    prove_on: Literal["choose", "confirm"] = Field("confirm", description="the part that is answered")


def run(config: Config, run: RunDirectory) -> None:
    """Learn, answer, score."""
    forget_peak_memory()
    material = read_material(config.data, run)
    began = time.monotonic()
    answerer = BASELINES.get(config.method)(material.parts.tune, material.task)
    prepared = time.monotonic() - began
    run.update(answering={"kind": "baseline", "method": config.method})
    examples = material.parts[config.prove_on]
    answers = collect_answers(answerer, examples, run, config.prove_on)
    latency = median_latency_seconds(answerer, examples)
    run.update(
        measured={
            "memory_bytes": peak_memory_bytes(),
            "prepared_seconds": round(prepared, 2),
            "latency_seconds": latency,
        }
    )
    scores = run.once(
        f"scores_{config.prove_on}",
        lambda: Scores.measure(answerer.identity, examples, answers, material.metrics),
        Scores.from_json,
    )
    run.finish({"metric": material.task.metric, "value": scores.value(material.task.metric)})
