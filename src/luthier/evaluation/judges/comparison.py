"""Two answerers compared by a judge: win rate, interval, verdict, and what length and place have to do with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from luthier.core.types import Example
from luthier.evaluation.comparison import Comparison, adjust_for_claims, compare
from luthier.evaluation.judges.length_control import LengthControlled, length_controlled
from luthier.evaluation.judges.pairwise import PairVerdict
from luthier.evaluation.judges.win_rate import PlaceBias, halved, points, win_scores
from luthier.evaluation.statistics import Interval
from luthier.evaluation.statistics.resampling import RESAMPLES


@dataclass(frozen=True)
class JudgedComparison:
    """A candidate against a base, by a judge's verdicts on pairs of their answers.

    Attributes:
        comparison: Of the two win rates, which sum to 1: its difference is twice the win rate's distance from a half.
        won, lost, tied: Pairs, as the candidate sees them; a pair whose two orders disagree is a tie.
        length: The win rate at equal length; None where all answers are equally long.
        place: How often the two orders disagreed.
    """

    comparison: Comparison
    won: int
    lost: int
    tied: int
    length: LengthControlled | None
    place: PlaceBias

    @property
    def win_rate(self) -> Interval:
        """Share of pairs that the candidate wins, ties half."""
        return halved(self.comparison.interval)

    @property
    def length_explains(self) -> bool:
        """Whether a difference is shown, and is not at equal length."""
        return (
            self.comparison.verdict in ("better", "worse")
            and self.length is not None
            and not self.length.interval.excludes(0.5)
        )

    def sentence(self) -> str:
        """Return the result in plain words."""
        found, rate = self.comparison, self.win_rate
        claim = {
            "better": f"{found.candidate} is better than {found.base} by this judge",
            "worse": f"{found.candidate} is worse than {found.base} by this judge",
            "as good within the margin": f"{found.candidate} is as good as {found.base} by this judge, within "
            f"{50 * (found.margin or 0.0):.1f} points",
            "not shown": f"No difference is shown between {found.candidate} and {found.base} by this judge",
        }[found.verdict]
        p = "below 0.001" if found.p_adjusted < 0.001 else f"{found.p_adjusted:.3f}"
        adjusted = f" (adjusted for {found.claims} claims)" if found.claims > 1 else ""
        grouped = f" in {found.clusters:,} clusters" if found.clusters != found.rows else ""
        parts = [
            f"{claim}: win rate {_percent(rate)}, ties half ({100 * rate.level:g} % interval {_limits(rate)}; p = "
            f"{p}{adjusted}; {found.rows:,} rows{grouped}: {self.won:,} won, {self.lost:,} lost, {self.tied:,} tied)."
        ]
        if found.verdict == "not shown":
            if found.rows_to_show is not None:
                parts.append(f"About {found.rows_to_show:,} rows would show a difference of this size.")
            if found.smallest_difference is None:
                parts.append("These are too few to show any difference.")
            else:
                parts.append(f"{found.rows:,} rows like these can show a win rate of "
                             f"{50 + 50 * found.smallest_difference:.1f} %.")  # fmt: skip
        parts += [note for note in found.notes if "Failed" not in note]
        return " ".join(parts)

    def length_sentence(self) -> str:
        """Say what is left at equal length."""
        if self.length is None:
            return "all answers of a pair are equally long"
        found = self.length
        said = f"at equal length {_percent(found.interval)} ({_limits(found.interval)})"
        said += f"; the candidate's answer is the longer one in {100 * found.longer:.0f} % of pairs"
        if found.one_sided:
            said += ", so that equal length is a guess beyond these data"
        if self.length_explains:
            said += ". **The difference is not shown at equal length: it may be length that this judge prefers**"
        return said

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON."""
        return {
            "base": self.comparison.base,
            "candidate": self.comparison.candidate,
            "verdict": self.comparison.verdict,
            "win_rate": self.win_rate.to_json(),
            "won": self.won,
            "lost": self.lost,
            "tied": self.tied,
            "length_controlled": None if self.length is None else self.length.to_json(),
            "place": self.place.to_json(),
            "comparison": self.comparison.to_json(),
        }


def compare_by_verdicts(
    examples: Sequence[Example],
    names: tuple[str, str],
    lengths: Sequence[tuple[int, int]],
    verdicts: Sequence[PairVerdict],
    *,
    margin: float | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> JudgedComparison:
    """Compare two answerers by verdicts on their answers.

    Args:
        examples: The rows; those of one cluster are resampled together.
        names: Of the base and of the candidate.
        lengths: Of the base's and of the candidate's answer to each row, in characters.
        verdicts: One for each row; "second" is the candidate.
        margin: Distance of the win rate from a half that would not matter (0.05: 45 to 55 %).
        resamples, seed: Of bootstrap and permutation.
    """
    base, candidate = win_scores(examples, verdicts, names)
    doubled = None if margin is None else 2 * margin
    found = compare(base, candidate, "win_rate", margin=doubled, resamples=resamples, seed=seed)
    outcomes = [verdict.outcome for verdict in verdicts]
    return JudgedComparison(
        comparison=found,
        won=outcomes.count("second"),
        lost=outcomes.count("first"),
        tied=outcomes.count("tie"),
        length=length_controlled(points(verdicts), lengths, base.codes, resamples=resamples, seed=seed),
        place=PlaceBias.of(verdicts),
    )


def adjusted_for_claims(found: Sequence[JudgedComparison]) -> list[JudgedComparison]:
    """Return comparisons that make their claims together, adjusted by Holm's method."""
    adjusted = adjust_for_claims([one.comparison for one in found])
    return [replace(one, comparison=comparison) for one, comparison in zip(found, adjusted, strict=True)]


def _percent(interval: Interval) -> str:
    return f"{100 * interval.value:.1f} %"


def _limits(interval: Interval) -> str:
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"
