"""The bootstrap's intervals are scipy's BCa at the level that the expansion asks for."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import bootstrap, t

from luthier.evaluation.metrics import build_metric
from luthier.evaluation.statistics.intervals import difference_interval, score_interval


class Spread:
    """The standard deviation: a biased statistic, so that BCa's correction shows."""

    name = "spread"
    higher_is_better = True

    def measure(self, example: object, answer: object) -> tuple[float, ...]:
        return (0.0,)

    def value(self, rows: np.ndarray) -> np.ndarray:
        return rows[..., 0].std(axis=-1)


def expanded_level(clusters: int) -> float:
    reach = float(t.ppf(0.975, clusters - 1)) * math.sqrt(clusters / (clusters - 1))
    return 2 * NormalDist().cdf(reach) - 1


@pytest.mark.parametrize(("metric", "statistic"), [(Spread(), np.std), (build_metric("token_f1"), np.mean)])
def test_a_score(metric: object, statistic: object) -> None:
    values = np.random.default_rng(3).beta(1, 3, 40)
    own = score_interval(metric, values[:, None], np.arange(40))  # type: ignore[arg-type]
    expected = bootstrap(
        (values,), statistic, confidence_level=expanded_level(40), n_resamples=30_000, method="BCa", rng=1
    ).confidence_interval
    width = expected.high - expected.low
    assert own.low == pytest.approx(expected.low, abs=0.03 * width)
    assert own.high == pytest.approx(expected.high, abs=0.03 * width)


def test_a_difference() -> None:
    random = np.random.default_rng(5)
    base = random.beta(2, 3, 25)
    candidate = np.clip(base + random.gamma(1, 0.1, 25), 0, 1)
    own = difference_interval(build_metric("token_f1"), base[:, None], candidate[:, None], np.arange(25))
    expected = bootstrap(
        (candidate - base,), np.mean, confidence_level=expanded_level(25), n_resamples=30_000, method="BCa", rng=1
    ).confidence_interval
    width = expected.high - expected.low
    assert own.low == pytest.approx(expected.low, abs=0.03 * width)
    assert own.high == pytest.approx(expected.high, abs=0.03 * width)
