"""All that a bake-off found, for the screen, the report and the card."""

from __future__ import annotations

from dataclasses import dataclass

from luthier.stages.adapt.choosing import Choice, Entry, Proof
from luthier.stages.adapt.plan import Plan
from luthier.stages.material import Material


@dataclass(frozen=True)
class Findings:
    """What was tried, chosen and shown, and the seconds it took."""

    material: Material
    plan: Plan
    entries: tuple[Entry, ...]
    choice: Choice
    proof: Proof
    seconds: float

    @property
    def metric(self) -> str:
        """The primary metric."""
        return self.material.task.metric

    def entry(self, name: str) -> Entry | None:
        """Return a candidate that was run, by name."""
        return next((entry for entry in self.entries if entry.name == name), None)
