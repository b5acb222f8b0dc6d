"""Objectives: one file a loss, arithmetic on readouts. They return sums; the step divides by the units."""

from typing import Any

from luthier.core.registry import Table

OBJECTIVES: Table[Any] = Table("objective", {"sft": "luthier.objectives.supervised:SupervisedFineTuning"})
