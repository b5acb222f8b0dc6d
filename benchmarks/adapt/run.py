"""`luthier adapt` with no flag on five real data sets: what it prints, also where tuning loses or nothing is shown.

    python benchmarks/adapt/run.py --data DATA             # resumable; about 45 minutes on 2 idle cores
    python benchmarks/adapt/run.py --data DATA --only mr   # one data set
    python benchmarks/adapt/run.py --report                # only RESULTS.md, from the results that are there

The data sets are not part of the repository (their licences differ). Each is read from DATA/NAME/train.jsonl; N rows
are drawn with a fixed seed into a working folder, and `luthier adapt FILE` runs on them as a person would run it.
Sets, numbers of rows and the seed were fixed before any of them was run.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import report
from shared.commands import finish
from shared.machine import card
from shared.rows import add_data_option, data_folder, draw, lines_of

from luthier.core.files import read_json, write_json
from luthier.core.run import RunDirectory
from luthier.evaluation.statistics import Scores
from luthier.stages.adapt.plan import Plan

SETS = {"sst2": 200, "mr": 300, "ag_news": 200, "hate_offensive": 300, "dialogsum": 500}
SEED = 0


def main() -> None:
    """Run what has no result yet, then write RESULTS.md from all results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--work", type=Path, default=HERE / "work", help="folder for extracts and runs (not committed)")
    parser.add_argument("--only", choices=SETS, help="one data set")
    parser.add_argument("--report", action="store_true", help="only write RESULTS.md from the results that are there")
    options = parser.parse_args()
    if not options.report:
        data = data_folder(options.data)
        (HERE / "results").mkdir(exist_ok=True)
        for name in [options.only] if options.only else SETS:
            if stored(name) is None:
                write_json(HERE / "results" / f"{name}.json", measure(name, data, options.work))
    results = {name: found for name in SETS if (found := stored(name)) is not None}
    files = {name: HERE / "results" / f"{name}.json" for name in SETS if name not in results}
    earlier = {name: read_json(path) for name, path in files.items() if path.exists()}
    (HERE / "RESULTS.md").write_text(report.render(results, earlier, SETS, SEED), encoding="utf-8")


def stored(name: str) -> dict[str, Any] | None:
    """Return a data set's result; one that was made before results held the machine's card is made again."""
    path = HERE / "results" / f"{name}.json"
    found: dict[str, Any] | None = read_json(path) if path.exists() else None
    return found if found and "machine" in found else None


def measure(name: str, data: Path, work: Path) -> dict[str, Any]:
    """Draw the rows, run `luthier adapt` (or go on with it), keep what it printed and what it found."""
    lines = draw(lines_of(data, name), SETS[name], SEED)
    work.mkdir(parents=True, exist_ok=True)
    (work / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    printed = finish(name, ["adapt", f"{name}.jsonl"], work)
    run = RunDirectory(work / name)
    plan = Plan.from_json(read_json(run.path / "steps" / "plan.json"))
    tried = candidates(run, plan)
    return {
        "rows": len(lines),
        "seed": SEED,
        "command": f"luthier adapt {name}.jsonl --run {name}",
        "screen": printed,
        "metric": run.manifest["task"]["metrics"][0],
        "budget_seconds": run.recipe["budget_seconds"],
        "planned_seconds": round(plan.seconds, 1),
        "seconds": read_json(run.path / "spent.json")["seconds"],
        "memory_estimated_bytes": plan.calibration.memory_bytes,
        "memory_measured_bytes": max(candidate["memory_bytes"] for candidate in tried.values()),
        "chosen": Path(run.manifest["chosen"]).name,
        "candidates": tried,
        "left_out": plan.left_out,
        "confirm": confirmed(run, run.manifest["task"]["metrics"][0]),
        "comparisons": comparisons(run),
        "verdict": run.manifest["verdict"],
        "plan": plan.to_json(),
        "machine": card(),
    }


def candidates(run: RunDirectory, plan: Plan) -> dict[str, dict[str, Any]]:
    """Return what was tried, with its score on the rows to choose, by name."""
    found = {}
    metric = run.manifest["task"]["metrics"][0]
    for candidate in plan.candidates:
        path = run.path / "children" / candidate.name / "steps" / "scores_choose.json"
        if path.exists():
            child = RunDirectory(path.parents[1])
            found[candidate.name] = {
                "title": candidate.title,
                "kind": candidate.kind,
                "stage": candidate.stage,
                "choose": Scores.from_json(read_json(path)).interval(metric).to_json(),
                "memory_bytes": child.manifest["measured"]["memory_bytes"],
            }
    return found


def confirmed(run: RunDirectory, metric: str) -> dict[str, Any]:
    """Return the scores on the rows to confirm, by candidate."""
    return {
        path.stem.removeprefix("scores_confirm_"): Scores.from_json(read_json(path)).interval(metric).to_json()
        for path in sorted((run.path / "steps").glob("scores_confirm_*.json"))
    }


def comparisons(run: RunDirectory) -> list[dict[str, Any]]:
    """Return what the winner was held against, by candidate, and what is shown of it."""
    by_answerer = {
        Scores.from_json(read_json(path)).answerer: path.stem.removeprefix("scores_confirm_")
        for path in (run.path / "steps").glob("scores_confirm_*.json")
    }
    kept = ("verdict", "p_adjusted", "interval")
    return [
        {"rival": by_answerer[found["base"]], **{name: found[name] for name in kept}}
        for found in run.manifest["verdict"]["comparisons"]
    ]


if __name__ == "__main__":
    main()
