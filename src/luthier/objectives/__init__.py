"""Objectives: one file a loss, arithmetic on readouts. They return sums; the step divides by the units."""

from typing import Any

from luthier.core.registry import Table

OBJECTIVES: Table[Any] = Table(
    "objective",
    {
        "sft": "luthier.objectives.supervised:SupervisedFineTuning",
        "causal_lm": "luthier.objectives.causal_lm:CausalLanguageModelling",
    },
)
"""Name -> class. Its `material` says what it learns from: "examples" (prompts with answers) or "corpus" (documents)."""
