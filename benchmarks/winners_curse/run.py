"""Does the claimed score hold on rows that nobody has seen? And how much too good is the score that chose the winner?

    python benchmarks/winners_curse/run.py --data DATA                 # resumable; about 50 minutes on 2 idle cores
    python benchmarks/winners_curse/run.py --data DATA --only mr-1     # one of the 12 runs
    python benchmarks/winners_curse/run.py --report                    # only RESULTS.md

Four sets, three draws of 180 training rows each. `luthier adapt --budget 3m` chooses a winner and claims a score on the
rows to confirm; then the winner answers 300 rows of the set's test file that were never drawn and are near-duplicates
of none that were. Sets, sizes and seeds were fixed before any run.
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
from luthier.data.overlap import remove_overlap
from luthier.data.sources import read_examples
from luthier.evaluation.statistics import Scores
from luthier.stages.adapt.plan import Plan

SETS, SEEDS = ("sst2", "ag_news", "mr", "subj"), (0, 1, 2)
ROWS, FRESH, BUDGET = 180, 300, "3m"
_POOL = 400
"""Test rows that a run's fresh rows are taken from, the first that repeat nothing; no two runs share any."""


def main() -> None:
    """Make the runs that have no result yet, then write RESULTS.md."""
    names = [f"{name}-{seed}" for name in SETS for seed in SEEDS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--work", type=Path, default=HERE / "work", help="folder for extracts and runs (not committed)")
    parser.add_argument("--only", choices=names, metavar="NAME-SEED", help=f"one run: {', '.join(names)}")
    parser.add_argument("--report", action="store_true", help="only write RESULTS.md from the results that are there")
    options = parser.parse_args()
    if not options.report:
        data = data_folder(options.data)
        options.work.mkdir(parents=True, exist_ok=True)
        (HERE / "results").mkdir(exist_ok=True)
        for name in [options.only] if options.only else names:
            path = HERE / "results" / f"{name}.json"
            if not path.exists():
                write_json(path, measure(name, data, options.work))
                write_report(names)
    write_report(names)


def write_report(names: list[str]) -> None:
    results = {name: read_json(p) for name in names if (p := HERE / "results" / f"{name}.json").exists()}
    settings = {"rows": ROWS, "fresh": FRESH, "budget": BUDGET}
    (HERE / "RESULTS.md").write_text(report.render(results, len(names), settings), encoding="utf-8")


def measure(name: str, data: Path, work: Path) -> dict[str, Any]:
    """Adapt on a draw, then let the winner answer fresh rows."""
    seed = int(name.rpartition("-")[2])
    write_rows(name, data, work)
    finish(name, ["adapt", f"{name}.jsonl", "--budget", BUDGET, "--seed", str(seed)], work)
    finish(f"{name}-fresh", ["evaluate", name, f"{name}.fresh.jsonl"], work)
    run = RunDirectory(work / name)
    metric = run.manifest["task"]["metrics"][0]
    chosen = Path(run.manifest["chosen"]).name
    plan = Plan.from_json(read_json(run.path / "steps" / "plan.json"))
    stored = {
        "choose": run.path / "children" / chosen / "steps" / "scores_choose.json",
        "confirm": run.path / "steps" / f"scores_confirm_{chosen}.json",
        "fresh": work / f"{name}-fresh" / "steps" / "scores.json",
    }
    return {
        "set": name.rpartition("-")[0],
        "seed": seed,
        "rows": ROWS,
        "budget": BUDGET,
        "metric": metric,
        "chosen": next(c.title for c in plan.candidates if c.name == chosen),
        "candidates": len(list((run.path / "children").glob("*/steps/scores_choose.json"))),
        "scores": {part: Scores.from_json(read_json(path)).interval(metric).to_json() for part, path in stored.items()},
        "verdicts": [found["verdict"] for found in run.manifest["verdict"]["comparisons"]],
        "seconds": read_json(run.path / "spent.json")["seconds"],
        "machine": card(),
    }


def write_rows(name: str, data: Path, work: Path) -> None:
    """Write a run's draw, and its fresh rows: test rows in an order of their own, without what repeats a drawn row."""
    which, _, seed = name.rpartition("-")
    drawn, fresh = work / f"{name}.jsonl", work / f"{name}.fresh.jsonl"
    drawn.write_text("".join(draw(lines_of(data, which), ROWS, int(seed))), encoding="utf-8")
    test = lines_of(data, which, "test")
    pool = draw(test, len(test), 0)[_POOL * int(seed) :][:_POOL]
    fresh.write_text("".join(pool), encoding="utf-8")
    kept = remove_overlap(read_examples(str(fresh)).examples, read_examples(str(drawn)).examples).kept
    if len(kept) < FRESH:
        sys.exit(f"{name}: only {len(kept)} of {len(pool)} test rows repeat no drawn row; {FRESH} are needed.")
    fresh.write_text("".join(pool[example.line - 1] for example in kept[:FRESH]), encoding="utf-8")


if __name__ == "__main__":
    main()
