"""The verdict once more, in words that need no statistics."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.evaluation.comparison import Comparison
from luthier.evaluation.metrics import title_of
from luthier.evaluation.retention import Forgetting
from luthier.evaluation.statistics import Interval
from luthier.reporting.inline import escape
from luthier.reporting.quantities import interval_parts
from luthier.stages.adapt.choosing import Entry
from luthier.stages.adapt.findings import Findings
from luthier.stages.blocks import RIGHT_OR_WRONG


def in_plain_words(found: Findings) -> list[str]:
    """Return what the verdict means: what to expect, whether it may be chance, and what else to know."""
    lines = [_expected(found), *_by_chance(found)]
    if found.proof.forgetting is not None:
        lines.append(_other_skills(found.proof.forgetting))
    if found.proof.target is not None:
        lines.append(found.proof.target.sentence())
    return [escape(line) for line in lines]


def _expected(found: Findings) -> str:
    """Say which scores to expect on new rows."""
    choice, metric = found.choice, found.metric
    score = found.proof.scores[choice.winner.name].interval(metric)
    if metric in RIGHT_OR_WRONG:
        right = "exactly right" if metric == "exact_match" else "right"
        first = (
            f"Of 100 new rows like these, expect {choice.winner.phrase} to get about {_of_100(score.value)} "
            f"{right} (somewhere from {_of_100(score.low)} to {_of_100(score.high)})"
        )
        others = [f"{r.phrase} about {_of_100(_score(found, r).value)}" for r in choice.rivals]
    else:
        title, (value, bounds) = title_of(metric), interval_parts(score.value, score.low, score.high, "share")
        first = f"On new rows like these, expect answers of {choice.winner.phrase} to score {value} {bounds} by {title}"
        others = [f"{r.phrase} {interval_parts(_score(found, r).value, None, None, 'share')[0]}" for r in choice.rivals]
    return ", ".join([first, *others]) + "."


def _score(found: Findings, entry: Entry) -> Interval:
    return found.proof.scores[entry.name].interval(found.metric)


def _of_100(share: float) -> str:
    return f"{round(100 * share)}"


def _by_chance(found: Findings) -> list[str]:
    """Say of each lead whether chance explains it; leads that it does not explain share a sentence."""
    pairs = list(zip(found.choice.rivals, found.proof.comparisons, strict=True))
    better = [rival.phrase for rival, comparison in pairs if comparison.verdict == "better"]
    lines = [_open(rival, comparison) for rival, comparison in pairs if comparison.verdict != "better"]
    return lines + ([f"The lead over {_and(better)} is larger than chance explains."] if better else [])


def _open(rival: Entry, comparison: Comparison) -> str:
    """Say what is known of a lead that is not shown."""
    if comparison.verdict == "worse":
        return f"On these rows it is behind {rival.phrase}, by more than chance explains."
    if comparison.verdict != "not shown":
        return f"It is as good as {rival.phrase}."
    gain = comparison.difference if comparison.higher_is_better else -comparison.difference
    if abs(gain) < 1e-12:
        return f"It is level with {rival.phrase} on these rows."
    needed = f"; about {comparison.rows_to_show:,} rows like these would tell" if comparison.rows_to_show else ""
    what = "The lead over" if gain > 0 else "It is behind"
    may = "may be chance" if gain > 0 else "on these rows, which may be chance"
    return f"{what} {rival.phrase} {may}{needed}."


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _other_skills(forgetting: Forgetting) -> str:
    """Say what tuning cost in general ability."""
    asked = sum(kind.questions for kind in forgetting.kinds)
    before, after = (sum(getattr(kind, when) for kind in forgetting.kinds) for when in ("before", "after"))
    claim = {
        "shown": "The model kept its other skills",
        "worse": "But tuning cost the model other skills",
        "not shown": "Whether tuning cost the model other skills is not shown",
    }[forgetting.verdict]
    return f"{claim}: of {asked} general questions it now answers {after} rightly, {before} before."
