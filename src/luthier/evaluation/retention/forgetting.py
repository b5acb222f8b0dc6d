"""Did tuning cost the model what it could do before? A question of non-inferiority, not of difference.

That no loss is shown proves nothing: with few questions no loss ever is. So the claim is turned round. "No worse than
5 points" is shown if the whole 95 % interval of (after - before), on the same questions, lies above -5 points.

The interval is Tango's score interval for paired shares (`statistics.intervals`). Most questions are right both times
or wrong both times; they say nothing about the direction, yet they bound how large a change can be, and the score
interval counts them so. A test or interval on the changed questions alone answers another question (which way does it
change), and the Wald interval shrinks to a point where nothing changed, although unseen questions could have.

The verdict is about questions like these. With as many lost as gained, up to 34 changed answers of 240 show 5 points; a
small model changes that many soon, because it is often unsure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from luthier.core.errors import DataError
from luthier.evaluation.comparison import Comparison, compare
from luthier.evaluation.retention.material import General
from luthier.evaluation.retention.retained import Retained
from luthier.evaluation.statistics import Interval
from luthier.evaluation.statistics.intervals import Sample
from luthier.evaluation.statistics.resampling import Floats
from luthier.reporting.quantities import interval_parts

ForgettingVerdict = Literal["shown", "not shown", "worse"]


@dataclass(frozen=True)
class KindRetained:
    """One kind of question: how many there are, and how many were answered rightly before and after."""

    kind: str
    questions: int
    before: int
    after: int


@dataclass(frozen=True)
class Forgetting:
    """A tuned model against the one it was made from.

    Attributes:
        verdict: On "no worse than the margin": "shown", "not shown", or "worse" where instead a loss is shown.
        margin: Largest loss that counts as none, as a share (0.05 is five percentage points).
        comparison: Of the shares of general questions answered rightly; its `losses` and `wins` are the questions
            forgotten and gained.
        kinds: The same questions by kind, too few of each for a verdict of their own.
        perplexity_before, perplexity_after: Of the general text.
        perplexity_ratio: After divided by before, with a paired bootstrap interval over passages; above 1 is worse.
    """

    verdict: ForgettingVerdict
    margin: float
    comparison: Comparison
    kinds: tuple[KindRetained, ...]
    perplexity_before: float
    perplexity_after: float
    perplexity_ratio: Interval

    @property
    def interval(self) -> Interval:
        """Of the change of the share of right answers, after - before."""
        return self.comparison.interval

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Forgetting:
        """Read it back."""
        return cls(
            **{
                **value,
                "comparison": Comparison.from_json(value["comparison"]),
                "kinds": tuple(KindRetained(**kind) for kind in value["kinds"]),
                "perplexity_ratio": Interval.from_json(value["perplexity_ratio"]),
            }
        )

    def claim(self) -> str:
        """Return the verdict in a few words."""
        if self.verdict == "worse":
            return "worse than before: shown"
        return f"no worse than {100 * self.margin:g} points: {self.verdict}"

    def sentence(self) -> str:
        """Return verdict and figures in plain words, without a full stop."""
        change = " ".join(interval_parts(self.interval.value, self.interval.low, self.interval.high, "points"))
        ratio = self.perplexity_ratio
        factor = f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
        small = ", a loss, but within the margin" if self.verdict == "shown" and self.interval.high < 0 else ""
        failed = self.comparison.base_failed, self.comparison.candidate_failed
        failures = f"; failed answers, counted as wrong: {failed[0]} before, {failed[1]} after" if any(failed) else ""
        return f"{self.claim()} ({change}{small}); perplexity of general text x{factor}{failures}"


def compare_retention(before: Retained, after: Retained, margin: float = 0.05) -> Forgetting:
    """Judge whether a tuned model is no worse on general questions than before.

    Args:
        before: The model before tuning.
        after: The model after it.
        margin: Largest loss that counts as none, as a share; 0.05 is five percentage points.

    Raises:
        DataError: if the two were measured on other material or with another tokenizer.
        ConfigError: for a margin that is not between 0 and 1.
    """
    if before.material != after.material:
        raise DataError(
            "Retention before and after was measured on other questions (another version of Luthier?). "
            "Measure both again."
        )
    comparison = compare(before.scores, after.scores, General.name, margin=margin)
    return Forgetting(
        verdict=_judge(comparison, margin),
        margin=margin,
        comparison=comparison,
        kinds=_by_kind(before, after),
        perplexity_before=before.perplexity,
        perplexity_after=after.perplexity,
        perplexity_ratio=perplexity_ratio(before, after),
    )


def perplexity_ratio(before: Retained, after: Retained, level: float = 0.95) -> Interval:
    """Return perplexity after / before with its interval: passages are resampled, the same for both.

    It is the exponential of the difference of nats a token, whose bootstrap is that of all other scores here.

    Raises:
        DataError: if the two cut the text into different tokens, whose perplexities cannot be compared.
    """
    first, second = np.array(before.passages), np.array(after.passages)  # [C, 2]
    if not np.array_equal(first[:, 1], second[:, 1]):
        raise DataError(
            "Perplexity before and after is of different tokens: the two models have different tokenizers. "
            "Compare a tuned model with its own base."
        )
    tokens, change = first[:, 1], second[:, 0] - first[:, 0]

    def nats_a_token(counts: Floats) -> Floats:
        return (counts @ change) / (counts @ tokens)  # [R, C] -> [R]

    value, passages = float(change.sum() / tokens.sum()), len(tokens)
    found = Sample(nats_a_token, value, passages).interval(level)
    low, high, method = found or (value, value, "all passages alike")
    low, high = min(low, value), max(high, value)
    return Interval(math.exp(value), math.exp(low), math.exp(high), level, method, passages, passages)


def _judge(comparison: Comparison, margin: float) -> ForgettingVerdict:
    if comparison.interval.low > -margin:
        return "shown"
    return "worse" if comparison.verdict == "worse" else "not shown"


def _by_kind(before: Retained, after: Retained) -> tuple[KindRetained, ...]:
    first, second = before.right_by_kind(), after.right_by_kind()
    return tuple(KindRetained(kind, count, right, second[kind][0]) for kind, (right, count) in first.items())
