"""A comparison in plain words: what is shown, by which figures, what it holds for, and what else one should know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.evaluation.metrics import title_of

if TYPE_CHECKING:
    from luthier.evaluation.comparison import Comparison


def sentence_of(found: Comparison, base: str | None = None, candidate: str | None = None, *, reach: bool = True) -> str:
    """Return the result in sentences.

    Args:
        found: The comparison.
        base: Names the base where its identity is unwieldy.
        candidate: Names the candidate.
        reach: Say what the claim holds for; where several claims stand together, once is enough.
    """
    base = base or _name(found.base, found.base_seeds)
    candidate = candidate or _name(found.candidate, found.candidate_seeds)
    claim = {
        "better": f"{candidate} is better than {base}",
        "worse": f"{candidate} is worse than {base}",
        "as good within the margin": f"{candidate} is as good as {base} within {_size(found, found.margin or 0.0)}",
        "not shown": f"No difference is shown between {candidate} and {base}",
    }[found.verdict]
    if claim.startswith("the "):
        claim = f"T{claim[1:]}"
    last = [_what_would_show(found)] if found.verdict == "not shown" else []
    if reach and not last:
        last = [_what_it_holds_for(found, base, candidate)]
    return " ".join([f"{claim}: {_figures(found)}.", *last, *notes_on(found)])


def notes_on(found: Comparison) -> tuple[str, ...]:
    """Return what a careful reader should know beside the verdict, in whole sentences."""
    notes = []
    if found.interval_widened:
        notes.append(
            f"The interval was widened to hold zero, because the paired test does not rule zero out "
            f"(p = {_p_text(found.p_value)})."
        )
    if found.p_adjusted <= found.alpha and not found.interval.excludes(0.0):
        notes.append(
            f"The paired test alone would show a difference (p = {_p_text(found.p_adjusted)}), but the interval "
            "holds zero; the cautious one of the two counts."
        )
    if found.p_value <= found.alpha < found.p_adjusted:
        notes.append(
            f"Alone, this claim would be shown (p = {_p_text(found.p_value)}); as one of {found.claims} it is not."
        )
    if found.verdict == "as good within the margin" and found.p_adjusted <= found.alpha:
        notes.append("There is a difference, but it is smaller than the margin.")
    if found.base_failed or found.candidate_failed:
        notes.append(
            f"Failed or missing answers, scored as wrong: {found.base_failed} of the base, "
            f"{found.candidate_failed} of the candidate."
        )
    return tuple(notes)


def _name(identity: str, seeds: tuple[float, ...]) -> str:
    return f"the method of {identity}" if seeds else identity


def _figures(found: Comparison) -> str:
    """Return scores, difference, interval, p-value, rows and seeds."""
    low, high = _signed(found, found.interval.low), _signed(found, found.interval.high)
    percent = None if found.is_share else found.relative_percent
    relative = "" if percent is None else f", {percent:+.2f} %"
    adjusted = f" (adjusted for {found.claims} claims)" if found.claims > 1 else ""
    grouped = f" in {found.clusters:,} clusters" if found.clusters != found.rows else ""
    seeds = "" if found.generalises_over == "examples" else f"; {_seeds_against(found)}"
    return (
        f"{title_of(found.metric)} {_score(found, found.candidate_value)} against {_score(found, found.base_value)}, "
        f"a difference of {_signed(found, found.difference)}{' points' if found.is_share else ''}{relative} "
        f"({100 * found.interval.level:g} % interval {low} to {high}; p = {_p_text(found.p_adjusted)}{adjusted}; "
        f"{found.rows:,} rows{grouped}{seeds})"
    )


def _seeds_against(found: Comparison) -> str:
    first, second = len(found.candidate_seeds), len(found.base_seeds)
    if first and second:
        return f"{first} seeds against {second}"
    return f"{first} seeds against one model" if first else f"one model against {second} seeds"


def _what_it_holds_for(found: Comparison, base: str, candidate: str) -> str:
    """Say which other cases the claim speaks of."""
    if found.generalises_over == "examples":
        return "That holds for these two models on such rows; another training run of the same method may differ."
    if found.base_seeds and found.candidate_seeds:
        return "That holds for the methods: for other seeds, on such rows."
    group, single = (candidate, base) if found.candidate_seeds else (base, candidate)
    return (
        f"That holds for other seeds of {group}, on such rows; {single} is one fixed model, of which another training "
        "run may differ."
    )


def _what_would_show(found: Comparison) -> str:
    """Return what the difference would take, and what these rows could have shown."""
    rows = None if found.rows_to_show is None else f"{found.rows_to_show:,} rows"
    seeds = None if found.seeds_to_show is None else f"{found.seeds_to_show:,} seeds"
    seeds = f"{seeds} a side" if seeds and found.base_seeds and found.candidate_seeds else seeds
    texts = []
    if rows or seeds:
        texts.append(f"About {' or '.join(filter(None, (rows, seeds)))} would show a difference of this size.")
    elif found.generalises_over != "examples" and abs(found.difference) > 1e-12:
        texts.append("Neither more rows nor more seeds alone would show a difference of this size.")
    if found.smallest_difference is None:
        texts.append("These are too few to show any difference.")
    else:
        alike = "rows" if found.generalises_over == "examples" else "rows and seeds"
        texts.append(f"{found.rows:,} {alike} like these can show one of {_size(found, found.smallest_difference)}.")
    return " ".join(texts)


def _score(found: Comparison, value: float) -> str:
    return f"{100 * value:.1f} %" if found.is_share else f"{value:.3f}"


def _signed(found: Comparison, value: float) -> str:
    text = f"{100 * value:+.1f}" if found.is_share else f"{value:+.3f}"
    return text.replace("-", "−") if float(text) else text.lstrip("+-")


def _size(found: Comparison, value: float) -> str:
    return f"{100 * value:.1f} points" if found.is_share else f"{value:.3f}"


def _p_text(p: float) -> str:
    """Write a p-value: three decimals, "below 0.001" when smaller."""
    return "below 0.001" if p < 0.001 else f"{p:.3f}"
