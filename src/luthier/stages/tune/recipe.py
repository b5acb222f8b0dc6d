"""The recipe of a tuning run, and what such a run finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, field_validator

from luthier.adapters import ADAPTERS
from luthier.core import config
from luthier.core.config import SectionError
from luthier.core.errors import ConfigError, unknown_name
from luthier.evaluation.comparison import Comparison
from luthier.evaluation.retention import Forgetting
from luthier.evaluation.second_reading import SecondReading
from luthier.evaluation.statistics import Scores
from luthier.models.source import DEFAULT_MODEL
from luthier.objectives import OBJECTIVES
from luthier.stages.material import DataConfig
from luthier.stages.raw_text import CorpusConfig
from luthier.training.config import TrainingConfig
from luthier.training.source import BatchConfig


class Config(config.Config):
    """Recipe of a tuning run."""

    data: DataConfig
    model: str = Field(DEFAULT_MODEL, description="name, folder or run")
    precision: str = Field(
        "auto", description="fp32, bf16, or auto: bf16 compute with fp32 masters where the machine has it"
    )
    adapter: dict[str, Any] = Field(default_factory=lambda: {"method": "lora"}, description="method and its settings")
    objective: str = Field("sft", description="what is minimised: sft on examples with answers, causal_lm on raw text")
    corpus: CorpusConfig = Field(CorpusConfig(), description="how raw text is read (objective causal_lm)")
    batch: BatchConfig = BatchConfig()
    training: TrainingConfig = TrainingConfig()
    seed: int = Field(0, description="seed of initialisation, order and dropout")
    prove_on: Literal["choose", "confirm"] = Field(
        "confirm", description="the part that before and after are measured on"
    )
    compare_before: bool = Field(True, description="also measure the model before tuning, and compare")
    retention: bool | None = Field(
        None, description="ask general questions before and after; null: for raw text, not for examples"
    )

    def asks_general_questions(self, material: str) -> bool:
        """Whether the general questions are asked before and after."""
        return material == "corpus" if self.retention is None else self.retention

    @field_validator("objective")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in OBJECTIVES:
            raise SectionError([((), f"{unknown_name(OBJECTIVES.kind, name, OBJECTIVES)} Write one of these.")])
        return name

    @field_validator("adapter")
    @classmethod
    def _settings_of_its_method(cls, value: dict[str, Any]) -> dict[str, Any]:
        settings = {"method": "lora", **value}
        try:
            method = ADAPTERS.get(str(settings["method"]))
        except ConfigError as error:
            raise SectionError([(("method",), f"method: {error} Write one of these.")]) from None
        method.Config.check_section(settings)
        return value


@dataclass(frozen=True)
class Outcome:
    """What a tuning run found."""

    after: Scores
    before: Scores | None
    comparison: Comparison | None
    form: SecondReading | None = None
    forgetting: Forgetting | None = None
