"""Forgetting: verdicts of non-inferiority, the ratio of perplexities, and what is said of them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from luthier.core.errors import ConfigError, DataError
from luthier.core.types import Answer
from luthier.evaluation.retention import Forgetting, General, Retained, compare_retention, ended, questions
from luthier.evaluation.statistics import Scores

ROWS = [(120.0 + i, 40 + i) for i in range(24)]


def retained(right: Sequence[int], name: str, rows: Sequence[tuple[float, int]] = ROWS, failed: int = 0) -> Retained:
    """Return a model that has the given questions (0 to 239) right."""
    asked = questions()
    answers = [Answer(q.id, q.reference if i in set(right) else "?", "stop") for i, q in enumerate(asked)]
    scores = Scores.measure(name, asked, answers[: len(asked) - failed], [General()])
    return Retained("material", scores, tuple(rows))


def forgetting(lost: int, gained: int, margin: float = 0.05) -> Forgetting:
    """Compare a model that has the first 100 questions right with one that lost and gained some."""
    after = [*range(lost, 100), *range(100, 100 + gained)]
    return compare_retention(retained(range(100), "before"), retained(after, "after"), margin)


def test_no_change_shows_no_loss() -> None:
    found = forgetting(0, 0)
    assert found.verdict == "shown"
    # Without a changed row Tango's limits are z^2 / (n + z^2) from zero.
    z2 = stats.norm.ppf(0.975) ** 2
    assert found.interval.low == pytest.approx(-z2 / (240 + z2), abs=1e-9)
    assert found.interval.high == pytest.approx(z2 / (240 + z2), abs=1e-9)
    assert found.sentence() == (
        "no worse than 5 points: shown (0.0 [-1.6, +1.6]); perplexity of general text x1.00 [1.00, 1.00]"
    )


def test_the_lower_limit_decides() -> None:
    assert forgetting(17, 17).verdict == "shown"  # of 240: -4.94 points
    assert forgetting(18, 18).verdict == "not shown"  # -5.07 points
    assert forgetting(18, 18, margin=0.06).verdict == "shown"
    assert forgetting(10, 7).verdict == "shown"
    assert forgetting(12, 5).verdict == "not shown"  # no loss is shown either
    assert forgetting(20, 5).verdict == "worse"
    assert forgetting(0, 30).verdict == "shown"
    found = forgetting(18, 18)
    assert -0.0515 < found.interval.low < -0.05
    assert (found.comparison.losses, found.comparison.wins) == (18, 18)
    assert found.sentence().startswith("no worse than 5 points: not shown (0 [-5, +5]); ")


def test_a_shown_loss_is_said() -> None:
    found = forgetting(40, 2)
    assert found.claim() == "worse than before: shown"
    assert found.sentence().startswith("worse than before: shown (-16 [-21, -11]); ")
    within = forgetting(9, 0, margin=0.1)
    assert within.verdict == "shown"
    assert ", a loss, but within the margin); " in within.sentence()
    assert within.claim() == "no worse than 10 points: shown"


def test_kinds_are_counted() -> None:
    found = forgetting(10, 50)  # ids 0-47 reading, 48-95 facts, 96-143 arithmetic, 144-191 common sense
    counted = [(kind.kind, kind.questions, kind.before, kind.after) for kind in found.kinds]
    assert counted == [
        ("reading", 48, 48, 38),
        ("facts", 48, 48, 48),
        ("arithmetic", 48, 4, 48),
        ("common_sense", 48, 0, 6),
        ("instruction", 48, 0, 0),
    ]


def test_failed_answers_are_said() -> None:
    found = compare_retention(retained(range(100), "before"), retained(range(100), "after", failed=3))
    assert found.sentence().endswith("; failed answers, counted as wrong: 0 before, 3 after")


def test_the_perplexity_ratio_is_of_all_tokens() -> None:
    draws = np.random.default_rng(0)
    tokens = np.array([count for _, count in ROWS])
    change = tokens * draws.normal(0.05, 0.02, 24)
    rows = [(nats + float(more), count) for (nats, count), more in zip(ROWS, change, strict=True)]
    before, after = retained(range(100), "before"), retained(range(100), "after", rows)
    found = compare_retention(before, after)
    assert before.perplexity == pytest.approx(math.exp(sum(120 + i for i in range(24)) / sum(range(40, 64))))
    assert found.perplexity_ratio.value == pytest.approx(after.perplexity / before.perplexity)
    assert found.perplexity_ratio.value == pytest.approx(math.exp(change.sum() / tokens.sum()))
    # Passages are nearly as long, so the interval is near Student's over their changes a token.
    reach = stats.t.ppf(0.975, 23) * (change / tokens).std(ddof=1) / math.sqrt(24)
    ratio = found.perplexity_ratio
    assert "x1.05 [1.04, 1.06]" in found.sentence()
    assert math.log(ratio.high / ratio.low) == pytest.approx(2 * reach, rel=0.05)
    assert ratio.low < ratio.value < ratio.high
    assert (ratio.rows, ratio.clusters, ratio.level) == (24, 24, 0.95)
    assert found.sentence().endswith(
        f"perplexity of general text x{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
    )
    back = compare_retention(after, before).perplexity_ratio
    assert back.value == pytest.approx(1 / ratio.value)


def test_it_survives_json() -> None:
    found = forgetting(18, 12)
    again = Forgetting.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found
    before = retained(range(100), "before")
    assert Retained.from_json(json.loads(json.dumps(before.to_json()))).to_json() == before.to_json()
    assert Retained.from_json(before.to_json()).share == pytest.approx(100 / 240)


def test_what_cannot_be_compared_is_refused() -> None:
    before = retained(range(100), "before")
    with pytest.raises(DataError, match=r"was measured on other questions .*Measure both again"):
        compare_retention(before, replace(retained(range(100), "after"), material="other"))
    tokens = [(nats, count + 1) for nats, count in ROWS]
    with pytest.raises(DataError, match=r"different tokenizers\. Compare a tuned model with its own base"):
        compare_retention(before, retained(range(100), "after", tokens))
    with pytest.raises(ConfigError, match="margin is above zero"):
        compare_retention(before, retained(range(100), "after"), margin=0.0)


def test_answers_that_ended_by_themselves_are_counted() -> None:
    finishes = ("stop", "length", "stop", "failed", "refused", "stop")
    assert ended(Answer(str(i), "", finish) for i, finish in enumerate(finishes)) == (3, 4)  # type: ignore[arg-type]
    assert ended([]) == (0, 0)
