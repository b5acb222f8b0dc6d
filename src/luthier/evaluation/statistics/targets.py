"""A score against a target that somebody set, such as "at least 80 %"."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal

from luthier.evaluation.statistics.intervals import Interval

TargetStatus = Literal["shown", "not reached", "not shown"]
_NORMAL = NormalDist()


@dataclass(frozen=True)
class TargetCheck:
    """Whether a score reaches a target.

    Attributes:
        status: "shown" where the whole interval reaches the target, "not reached" where the whole interval misses it,
            "not shown" where it holds both.
        target: What was asked for.
        value: The score found.
        rows_to_decide: Only for "not shown": rows after which, were this score the true one, the interval would lie on
            one side with the power asked for; None where the score is the target itself.
    """

    status: TargetStatus
    target: float
    value: float
    rows_to_decide: int | None

    def to_json(self) -> dict[str, Any]:
        """Return the check as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TargetCheck:
        """Read a check back."""
        return cls(**value)

    def sentence(self) -> str:
        """Return the result in plain words."""
        if self.status == "shown":
            return f"The target of {self.target:g} is reached: {self.value:.3g}, and the whole interval reaches it."
        if self.status == "not reached":
            return f"The target of {self.target:g} is not reached: {self.value:.3g}, and the whole interval misses it."
        rows = f" About {self.rows_to_decide:,} rows would decide." if self.rows_to_decide else ""
        return f"Whether the target of {self.target:g} is reached is not shown: {self.value:.3g}.{rows}"


def against_target(interval: Interval, target: float, higher_is_better: bool = True, power: float = 0.8) -> TargetCheck:
    """Hold a score's interval against a target.

    Args:
        interval: The score.
        target: What it should reach (or, where lower is better, stay below), in the same unit.
        higher_is_better: The metric's direction.
        power: For the number of rows that would decide.
    """
    reached, missed = interval.low >= target, interval.high < target
    if not higher_is_better:
        reached, missed = interval.high <= target, interval.low > target
    if reached or missed:
        return TargetCheck("shown" if reached else "not reached", target, interval.value, None)
    return TargetCheck("not shown", target, interval.value, _rows_to_decide(interval, target, power))


def _rows_to_decide(interval: Interval, target: float, power: float) -> int | None:
    """Scale the rows so that the side of the interval that faces the target shrinks to fit, with this power."""
    distance = abs(interval.value - target)
    side = interval.value - interval.low if target <= interval.value else interval.high - interval.value
    if distance == 0 or side == 0:
        return None
    z = _NORMAL.inv_cdf((1 + interval.level) / 2)
    factor = (1 + _NORMAL.inv_cdf(power) / z) * side / distance
    return max(interval.rows + 1, math.ceil(interval.rows * factor**2))
