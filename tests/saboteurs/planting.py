"""What saboteurs share: single rows, an engine, where the package lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luthier.adapters.lora import Lora, LoraConfig
from luthier.core.types import Example, user
from luthier.data.render import Renderer
from luthier.models.load import load_model
from luthier.models.readout_model import ReadoutModel
from luthier.models.source import find_model
from luthier.objectives.supervised import SupervisedFineTuning
from luthier.training.engine.single import SingleDeviceEngine
from luthier.training.optim import OptimizerConfig, Schedule
from luthier.training.source import BatchConfig, PackedSource

PACKAGE = Path(find_model.__code__.co_filename).parents[1]


def example(text: str, answer: str) -> Example:
    return Example("e1", user(text), (answer,), line=2)


def trained_text(renderer: Renderer, row: Example) -> str:
    return "".join(text for text, weight in renderer.pieces(renderer.render(row)) if weight)


def engine_for(model: Path, batches: Any, micro_tokens: int = 10_000) -> tuple[SingleDeviceEngine, PackedSource]:
    loaded = load_model(find_model(str(model)), precision="fp32")
    readout = ReadoutModel(loaded, [Lora(LoraConfig(rank=4)).attach(loaded)])
    config = BatchConfig(sequences=8, micro_tokens=micro_tokens)
    source = PackedSource(batches, SupervisedFineTuning(), config, 1.0, seed=0)
    return SingleDeviceEngine(readout, OptimizerConfig(), Schedule(1e-3, 10)), source
