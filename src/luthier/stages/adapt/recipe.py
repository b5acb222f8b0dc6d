"""The recipe of a bake-off."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from luthier.core import config
from luthier.core.budget import parse_duration
from luthier.models.source import DEFAULT_MODEL
from luthier.stages.material import DataConfig

TRIED = (
    "as_is", "told_format", "held_to_format", "few_shot_random", "few_shot_nearest", "lora_fewer", "lora", "tuned_held",
    "retention",
)  # fmt: skip
"""What may be named: candidates with a model, and the general questions that show what was forgotten."""


class Config(config.Config):
    """Recipe of a bake-off."""

    data: DataConfig
    model: str = Field(DEFAULT_MODEL, description="name, folder or run")
    precision: str = Field("auto", description="fp32, bf16, or auto: bf16 where the machine computes in it")
    target: float | None = Field(None, gt=0, le=1, description="score that would be good enough, e.g. 0.8")
    budget_seconds: float = Field(600.0, description="time for everything, cumulative over resumes")
    cross_validate: int | None = Field(
        None, ge=2, description="folds of a cross-validation, which confirms every row once; null: one part confirms"
    )
    continues: str | None = Field(
        None, description="an earlier run of adapt on the same rows, whose finished candidates are taken over"
    )
    candidates: list[str] = Field(
        default_factory=list,
        description="what is tried beside the rivals without a model, by name; empty: all that fits",
    )
    keep: Literal["winner", "all"] = Field("winner", description="whose weights stay when the winner is known")
    redact: bool = Field(False, description="leave the rows and answers out of the report")
    seed: int = Field(0, description="seed of initialisation and order")

    @field_validator("candidates")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in TRIED:
                raise ValueError(f"'{name}' is nothing that can be tried. Known: {', '.join(TRIED)}")
        return names

    @field_validator("budget_seconds", mode="before")
    @classmethod
    def _duration(cls, value: str | float) -> float:
        return parse_duration(value)
