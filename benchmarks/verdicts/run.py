"""Are the verdicts right? False ones among equal answerers, planted differences found, intervals that hold the truth.

    python benchmarks/verdicts/run.py            # a few minutes; writes results/*.json and RESULTS.md
    python benchmarks/verdicts/run.py --report   # only RESULTS.md, from the results that are there

Every trial has its own seed, so the results are the same whatever the number of processes.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small matrices: threads would only wait for each other

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import alternatives
import numpy as np
import scipy
from worlds import ROWS, World

from luthier.core.files import read_json, write_json
from luthier.core.seeding import stream
from luthier.evaluation.comparison import compare
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.statistics import power, smallest_difference
from luthier.evaluation.statistics.intervals import difference_interval, score_interval
from luthier.evaluation.statistics.power import power_of_mean
from luthier.evaluation.statistics.shares import wilson

HERE = Path(__file__).parent
RATES = (0.2, 0.5, 0.8)
KINDS: dict[str, dict[str, Any]] = {
    "exact match": {"metric": "exact_match"},
    "token F1": {"metric": "token_f1"},
    "exact match, 5 equal rows a cluster": {"metric": "exact_match", "copies": 5},
}
SAME_TRIALS, PLANTED_TRIALS, COVERAGE_TRIALS = 4_000, 2_000, 2_000
COVERAGE_RESAMPLES = 2_000
TOLERATED_FALSE_PERCENT, TOLERATED_POWER_POINTS = 7.0, 5.0


# ---------------------------------------------------------------- verdicts


def verdict_of(world: World, trial: int) -> str:
    """Draw one pair of answerers and return the verdict."""
    base, candidate = world.draw(stream(trial, "world", *map(str, asdict(world).values())))
    return compare(base, candidate, world.metric, seed=trial).verdict


def count_verdicts(world: World, trials: range) -> dict[str, int]:
    verdicts = [verdict_of(world, trial) for trial in trials]
    return {name: verdicts.count(name) for name in ("better", "worse", "not shown")}


def false_verdicts(pool: ProcessPoolExecutor) -> list[dict[str, Any]]:
    """Compare answerers of equal score: 4,000 pairs of each kind, over three base rates."""
    rows = []
    for kind, settings in KINDS.items():
        for index, rate in enumerate(RATES):
            trials = len(range(index, SAME_TRIALS, len(RATES)))
            counts = _in_parallel(pool, count_verdicts, World(rate=rate, **settings), trials)
            rows.append({"kind": kind, "rate": rate, "trials": trials, **counts})
    return rows


def planted_gain(settings: dict[str, Any], rate: float, wanted: float) -> tuple[float, float, float]:
    """Return the gain that is found with the wanted power, the true difference, and the predicted power."""
    if settings["metric"] == "exact_match":
        difference = smallest_difference(ROWS, power=wanted)
        assert difference is not None
        return difference, difference, power(ROWS, difference)
    low, high = 0.0, 1.0
    for _ in range(20):
        gain = (low + high) / 2
        found = power_of_mean(ROWS, *World(rate=rate, gain=gain, **settings).difference())
        low, high = (low, gain) if found >= wanted else (gain, high)
    return high, World(rate=rate, gain=high, **settings).difference()[0], found


def planted_differences(pool: ProcessPoolExecutor) -> list[dict[str, Any]]:
    """Plant differences that should be found every second time, and four times out of five."""
    rows = []
    for kind, settings in KINDS.items():
        for rate in RATES:
            for wanted in (0.5, 0.8):
                gain, difference, predicted = planted_gain(settings, rate, wanted)
                world = World(rate=rate, gain=gain, **settings)
                counts = _in_parallel(pool, count_verdicts, world, PLANTED_TRIALS)
                row = {"kind": kind, "rate": rate, "difference": difference, "predicted": predicted}
                rows.append({**row, "trials": PLANTED_TRIALS, **counts})
    return rows


# ---------------------------------------------------------------- intervals

Drawn = tuple[np.ndarray, np.ndarray]


def shares(rate: float, random: np.random.Generator, clusters: int) -> Drawn:
    return (random.random((clusters, 1)) < rate).astype(float), np.arange(clusters)


def skewed(random: np.random.Generator, clusters: int) -> Drawn:
    """Token F1 of a weak model: mostly low."""
    return random.beta(1, 5, (clusters, 1)), np.arange(clusters)


def spiked(random: np.random.Generator, clusters: int) -> Drawn:
    """Token F1 of short answers: 30 % at 0, 20 % at 1, the others between."""
    kind = random.random((clusters, 1))
    return np.where(kind < 0.3, 0.0, np.where(kind < 0.5, 1.0, random.beta(2, 3, (clusters, 1)))), np.arange(clusters)


def near_one(random: np.random.Generator, clusters: int) -> Drawn:
    """A good model: 92 % at 1, the others lower."""
    kind = random.random((clusters, 1))
    return np.where(kind < 0.92, 1.0, random.beta(1, 2, (clusters, 1))), np.arange(clusters)


def clustered_shares(rate: float, random: np.random.Generator, clusters: int) -> Drawn:
    """Clusters of five 0/1 rows with a correlation of 0.3 within."""
    spread = (1 - 0.3) / 0.3
    ability = random.beta(rate * spread, (1 - rate) * spread, clusters)
    hits = random.random((clusters, 5)) < ability[:, None]
    return hits.astype(float).reshape(-1, 1), np.repeat(np.arange(clusters), 5)


PRIOR = np.array([0.5, 0.4, 0.1])
CONFUSION = np.array([[0.8, 0.15, 0.05], [0.2, 0.75, 0.05], [0.3, 0.2, 0.5]])


def confusions(random: np.random.Generator, clusters: int) -> Drawn:
    """Three classes, one of them rare, as macro-F1 counts them."""
    label = random.choice(3, clusters, p=PRIOR)
    found = (CONFUSION[label].cumsum(axis=1) < random.random((clusters, 1))).sum(axis=1)
    rows, each, right = np.zeros((clusters, 3, 3)), np.arange(clusters), label == found
    rows[each[right], label[right], 0] = 1
    rows[each[~right], found[~right], 1] = 1
    rows[each[~right], label[~right], 2] = 1
    return rows.reshape(clusters, 9), each


def _true_macro_f1() -> float:
    joint = PRIOR[:, None] * CONFUSION
    return float(np.mean(2 * np.diag(joint) / (joint.sum(axis=0) + joint.sum(axis=1))))


SCORES: dict[str, tuple[str, Callable[..., Drawn], float, int]] = {
    "0/1, true score 0.2": ("exact_match", partial(shares, 0.2), 0.2, 80),
    "0/1, true score 0.5": ("exact_match", partial(shares, 0.5), 0.5, 80),
    "0/1, true score 0.8": ("exact_match", partial(shares, 0.8), 0.8, 80),
    "0/1, true score 0.95": ("exact_match", partial(shares, 0.95), 0.95, 80),
    "skewed": ("token_f1", skewed, 1 / 6, 80),
    "spikes at 0 and 1": ("token_f1", spiked, 0.4, 80),
    "mostly 1": ("token_f1", near_one, 0.92 + 0.08 / 3, 80),
    "macro-F1, a rare class": ("macro_f1", confusions, _true_macro_f1(), 80),
    "80 clusters of five, 0.5": ("exact_match", partial(clustered_shares, 0.5), 0.5, 80),
    "80 clusters of five, 0.9": ("exact_match", partial(clustered_shares, 0.9), 0.9, 80),
    "12 rows, skewed": ("token_f1", skewed, 1 / 6, 12),
    "12 rows, spikes at 0 and 1": ("token_f1", spiked, 0.4, 12),
    "12 clusters of five, 0.5": ("exact_match", partial(clustered_shares, 0.5), 0.5, 12),
    "12 clusters of five, 0.9": ("exact_match", partial(clustered_shares, 0.9), 0.9, 12),
    "4 rows, spikes at 0 and 1": ("token_f1", spiked, 0.4, 4),
    "4 clusters of five, 0.5": ("exact_match", partial(clustered_shares, 0.5), 0.5, 4),
}
"""Name -> metric, how rows are drawn, true score, clusters."""


def covered_scores(name: str, trials: range) -> dict[str, float]:
    """Count how often each method's interval holds the true score; "luthier_width" sums widths."""
    metric_name, draw, truth, clusters = SCORES[name]
    metric = build_metric(metric_name, labels=("a", "b", "c"))
    counts = {"luthier": 0.0, "percentile": 0.0, "BCa": 0.0, "luthier_width": 0.0}
    for trial in trials:
        rows, codes = draw(stream(trial, "coverage", name), clusters)
        own = score_interval(metric, rows, codes, resamples=COVERAGE_RESAMPLES, seed=trial)
        percentile, bca = alternatives.percentile_and_bca(metric, rows, codes, COVERAGE_RESAMPLES, trial)
        found = {"luthier": (own.low, own.high), "percentile": percentile, "BCa": bca}
        for method, (low, high) in found.items():
            counts[method] += low - 1e-12 <= truth <= high + 1e-12
        counts["luthier_width"] += own.high - own.low
    return counts


PAIRS = {
    "exact match, no difference, 80 rows": World("exact_match", 0.5),
    "exact match, +10 points, 80 rows": World("exact_match", 0.5, 0.1),
    "exact match, +18 points, 80 rows": World("exact_match", 0.5, 0.18),
    "exact match, +10 points, 20 rows": World("exact_match", 0.5, 0.1, rows=20),
    "token F1, no difference, 80 rows": World("token_f1", 0.5),
    "token F1, +0.1, 80 rows": World("token_f1", 0.5, 0.2),
    "token F1, +0.1, 12 rows": World("token_f1", 0.5, 0.2, rows=12),
    "exact match, +10 points, 80 clusters of five": World("exact_match", 0.5, 0.1, copies=5),
    "exact match, +10 points, 12 clusters of five": World("exact_match", 0.5, 0.1, copies=5, rows=12),
}


def covered_differences(name: str, trials: range) -> dict[str, float]:
    """Count how often the interval of a difference holds the true one."""
    world = PAIRS[name]
    truth = world.difference()[0]
    metric = build_metric(world.metric)
    counts = {"luthier": 0.0, "percentile": 0.0}
    for trial in trials:
        base, candidate = world.draw(stream(trial, "pairs", name))
        rows = base.rows[world.metric], candidate.rows[world.metric], base.codes
        own = difference_interval(metric, *rows, resamples=COVERAGE_RESAMPLES, seed=trial)
        low, high = alternatives.paired_percentile(metric, *rows, COVERAGE_RESAMPLES, trial)
        counts["luthier"] += own.low - 1e-12 <= truth <= own.high + 1e-12
        counts["percentile"] += low - 1e-12 <= truth <= high + 1e-12
    return counts


def coverage(pool: ProcessPoolExecutor) -> dict[str, list[dict[str, Any]]]:
    """Draw data of known truth and count the intervals that hold it."""
    found = {}
    for part, names, count in (("scores", SCORES, covered_scores), ("differences", PAIRS, covered_differences)):
        found[part] = [
            {"data": name, "trials": COVERAGE_TRIALS, **_in_parallel(pool, count, name, COVERAGE_TRIALS)}
            for name in names
        ]
    return found


# ---------------------------------------------------------------- time


def timings() -> list[dict[str, Any]]:
    """Time whole comparisons (test, interval, power) at n = 80 with 10,000 resamples, kinds interleaved."""
    drawn = {kind: World(rate=0.5, **settings).draw(stream(0, kind)) for kind, settings in KINDS.items()}
    seconds: dict[str, list[float]] = {kind: [] for kind in drawn}
    for trial in range(21):
        for kind, (base, candidate) in drawn.items():
            start = time.perf_counter()
            compare(base, candidate, KINDS[kind]["metric"], seed=trial)
            seconds[kind].append(time.perf_counter() - start)
    return [
        {"kind": kind, "median_milliseconds": round(1000 * statistics.median(s[1:]), 1)} for kind, s in seconds.items()
    ]


# ---------------------------------------------------------------- running and writing


def _in_parallel(pool: ProcessPoolExecutor, count: Callable[..., dict[str, Any]], subject: Any, trials: int) -> Any:
    """Sum counts over blocks of trials."""
    blocks = [range(start, min(start + 100, trials)) for start in range(0, trials, 100)]
    parts = list(pool.map(count, [subject] * len(blocks), blocks))
    return {name: sum(part[name] for part in parts) for name in parts[0]}


def environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _percent(count: float, trials: int) -> str:
    low, high = wilson(count, trials)
    return f"{100 * count / trials:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def false_table(rows: list[dict[str, Any]]) -> str:
    out = []
    for kind in KINDS:
        own = [row for row in rows if row["kind"] == kind]
        cells = [_percent(row["better"] + row["worse"], row["trials"]) for row in own]
        false, trials = (sum(r["better"] + r["worse"] for r in own), sum(r["trials"] for r in own))
        out.append([kind, f"{trials:,}", *cells, f"**{_percent(false, trials)}**"])
    return _table(["answers", "comparisons", *(f"at {rate}" for rate in RATES), "all"], out)


def power_table(rows: list[dict[str, Any]]) -> str:
    out = []
    for row in rows:
        gap = 100 * (row["better"] / row["trials"] - row["predicted"])
        size = f"{100 * row['difference']:.1f} points" if "exact" in row["kind"] else f"{row['difference']:.3f}"
        found = _percent(row["better"], row["trials"])
        out.append(
            [
                row["kind"],
                str(row["rate"]),
                size,
                f"{100 * row['predicted']:.1f} %",
                found,
                f"{gap:+.1f}",
                str(row["worse"]),
            ]
        )
    return _table(["answers", "base", "planted", "predicted", "found", "gap", "called worse"], out)


def coverage_table(rows: list[dict[str, Any]], methods: list[str]) -> str:
    out = [[r["data"], *(f"{100 * r[method] / r['trials']:.1f} %" for method in methods)] for r in rows]
    return _table(["data", *("**Luthier**" if method == "luthier" else method for method in methods)], out)


def report() -> str:
    """Return RESULTS.md from the stored results."""
    stored = {name: read_json(HERE / "results" / f"{name}.json") for name in ("false", "power", "coverage", "timing")}
    gaps = [100 * abs(r["better"] / r["trials"] - r["predicted"]) for r in stored["power"]["rows"]]
    by_kind = [[r for r in stored["false"]["rows"] if r["kind"] == kind] for kind in KINDS]
    worst = max(100 * sum(r["better"] + r["worse"] for r in own) / sum(r["trials"] for r in own) for own in by_kind)
    times = [[r["kind"], f"{r['median_milliseconds']} ms"] for r in stored["timing"]["rows"]]
    trials = stored["coverage"]["scores"][0]["trials"]
    env = ", ".join(f"{key} {value}" for key, value in stored["false"]["environment"].items())
    return f"""# Are the verdicts right?

Written by `python benchmarks/verdicts/run.py` from `results/*.json`; do not edit. Simulated answers of known quality,
measured and compared by Luthier's own code: {ROWS} rows (or {ROWS} clusters of five equal rows), alpha 0.05, 10,000
resamples. In brackets: 95 % intervals of the shares. {env}.

## False verdicts

Two answerers of equal score; a verdict of better or worse is false. Tolerated: {TOLERATED_FALSE_PERCENT:g} %.
Worst kind: **{worst:.1f} %**.

{false_table(stored["false"]["rows"])}

## Planted differences

Differences planted so that the power formulas predict 50 % and 80 %. Tolerated: a gap of {TOLERATED_POWER_POINTS:g}
points. Largest gap: **{max(gaps):.1f} points**.

{power_table(stored["power"]["rows"])}

## Intervals of one score

How often a 95 % interval holds the true score ({trials:,} draws each, {COVERAGE_RESAMPLES:,} resamples; give or take
one point). Luthier: Wilson for 0/1 without clusters, the expanded BCa bootstrap for the rest, Student's t below six
clusters. Beside it what it does not use: the percentile bootstrap, and BCa without the expansion.

{coverage_table(stored["coverage"]["scores"], ["luthier", "percentile", "BCa"])}

## Intervals of a difference

Luthier: Tango's for 0/1 without clusters, the expanded BCa bootstrap of pairs for the rest.

{coverage_table(stored["coverage"]["differences"], ["luthier", "percentile"])}

## Time

One comparison with its test and interval, median of 20, on {stored["timing"]["cores"]} shared CPU cores.
New resamples each time; the power of exact match is remembered from the first.

{_table(["answers", "time"], times)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", action="store_true", help="only write RESULTS.md from the results that are there")
    if not parser.parse_args().report:
        (HERE / "results").mkdir(exist_ok=True)
        write_json(HERE / "results" / "timing.json", {"cores": os.cpu_count(), "rows": timings()})
        with ProcessPoolExecutor() as pool:
            for name, make in (("false", false_verdicts), ("power", planted_differences)):
                print(f"{name} …", flush=True)
                write_json(HERE / "results" / f"{name}.json", {"environment": environment(), "rows": make(pool)})
            print("coverage …", flush=True)
            write_json(HERE / "results" / "coverage.json", {"environment": environment(), **coverage(pool)})
    (HERE / "RESULTS.md").write_text(report(), encoding="utf-8")
    print(report())


if __name__ == "__main__":
    main()
