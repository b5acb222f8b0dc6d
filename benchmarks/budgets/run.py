"""Does `luthier adapt` keep its budget, and say what it left out? The shipped tickets, with and without bf16.

    python benchmarks/budgets/run.py            # resumable; about 15 minutes on 2 idle cores
    python benchmarks/budgets/run.py --report   # only RESULTS.md, from the results that are there

Nothing here fails because of a time: RESULTS.md states budget and time taken beside each other.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))

from shared.commands import call
from shared.machine import card, sentence
from shared.tables import screen, table

from luthier.core.budget import parse_duration
from luthier.core.files import read_json, write_json

NO_BF16 = {"LUTHIER_NO_BF16": "1"}
CASES: dict[str, dict[str, Any]] = {
    "no-bf16-9m": {"budget": "9m", "settings": NO_BF16, "title": "`luthier demo --budget 9m` without bf16"},
    "60s": {"budget": "60s", "settings": {}, "title": "`luthier demo --budget 60s`"},
}
"""Name -> what is run. A run that is stopped here begins again: its time is what is measured."""


def main() -> None:
    """Run what has no result yet, then write RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE / "work", help="folder for runs (not committed)")
    parser.add_argument("--only", choices=CASES, help="one case")
    parser.add_argument("--report", action="store_true", help="only write RESULTS.md from the results that are there")
    options = parser.parse_args()
    if not options.report:
        options.work.mkdir(parents=True, exist_ok=True)
        (HERE / "results").mkdir(exist_ok=True)
        for name in [options.only] if options.only else CASES:
            path = HERE / "results" / f"{name}.json"
            if not path.exists():
                write_json(path, measure(name, options.work))
    (HERE / "RESULTS.md").write_text(render(), encoding="utf-8")


def measure(name: str, work: Path) -> dict[str, Any]:
    """Run the demo under a budget, and for comparison only plan the same where the machine computes as it likes."""
    case = CASES[name]
    arguments = ["demo", "--budget", case["budget"], "--run", name, "--overwrite"]
    printed = call(arguments, work, case["settings"])
    if printed.code:
        sys.exit(f"{name}: exit status {printed.code}")
    run = work / name
    plan = read_json(run / "steps" / "plan.json")
    tried = [c for c in plan["candidates"] if (run / "children" / c["name"] / "steps" / "scores_choose.json").exists()]
    return {
        "command": " ".join([*map("=".join, case["settings"].items()), "luthier", *arguments[:-1]]),
        "budget_seconds": parse_duration(case["budget"]),
        "planned_seconds": _planned(plan),
        "seconds": read_json(run / "spent.json")["seconds"],
        "wall_seconds": round(printed.seconds, 1),
        "screen": printed.text.replace(f"{ROOT}{os.sep}", ""),  # where the repository is says nothing
        "precision": plan["calibration"]["precision"],
        "epochs": _epochs(plan),
        "epochs_otherwise": _epochs(_plan_otherwise(case, work)) if case["settings"] else None,
        "tried": [candidate["title"] for candidate in tried],
        "left_out": plan["left_out"] + [[c["title"], _why(c, run)] for c in plan["candidates"] if c not in tried],
        "machine": card(),
    }


def _why(candidate: dict[str, Any], run: Path) -> str:
    """Return why a planned candidate has no scores."""
    for kind in ("skipped", "problem"):
        path = run / "steps" / f"{kind}_{candidate['name']}.json"
        if path.exists() and (reason := read_json(path)):
            return str(reason)
    return "not needed: all answers have the right form already"


def _plan_otherwise(case: dict[str, Any], work: Path) -> dict[str, Any]:
    """Return the plan for the same rows and budget without the case's settings."""
    tickets = ROOT / "examples" / "data" / "support_tickets" / "tickets.csv"
    printed = call(["adapt", str(tickets), "--plan", "--budget", case["budget"], "--json"], work)
    found: dict[str, Any] = json.loads(printed.text)
    return found


def _planned(plan: dict[str, Any]) -> float:
    return round(sum(candidate["seconds"] for candidate in plan["candidates"]) + plan["confirm_seconds"], 1)


def _epochs(plan: dict[str, Any]) -> float:
    """Return the most passes over the rows that a candidate trains for; 0 if none is trained."""
    return max((c["recipe"]["training"]["epochs"] for c in plan["candidates"] if c["stage"] == "tune"), default=0.0)


def render() -> str:
    """Return RESULTS.md."""
    results = {n: read_json(p) for n in CASES if (p := HERE / "results" / f"{n}.json").exists()}
    missing = [name for name in CASES if name not in results]
    parts = [
        "# Budgets kept\n",
        "Generated by `benchmarks/budgets/run.py`; do not edit. The demo's support tickets with the built-in "
        '`smollm2-135m-instruct`, one run each; the screens are printed as they were. "Took" is by the tool\'s own '
        'clock, "wall" is the time of the whole process, with starting Python and reading libraries; "inside" holds '
        "that against the budget.\n",
    ]
    if missing:
        parts.append(f"Not measured yet: {', '.join(missing)}.\n")
    if results:
        parts += [_summary(results), ""]
    for name, found in results.items():
        parts += [f"## {CASES[name]['title']}\n", _said(found), "", screen(found["command"], found["screen"]), ""]
        parts += [f"{sentence(found['machine'])}\n"]
    return "\n".join(parts).rstrip() + "\n"


def _summary(results: dict[str, dict[str, Any]]) -> str:
    rows = []
    for name, found in results.items():
        inside = "yes" if found["wall_seconds"] <= found["budget_seconds"] else "**no**"
        times = [f"{found[key]:.0f} s" for key in ("budget_seconds", "planned_seconds", "seconds", "wall_seconds")]
        rows.append([name, *times, inside, len(found["tried"]), len(found["left_out"])])
    return table(["run", "budget", "planned", "took", "wall", "inside", "candidates run", "left out"], rows)


def _said(found: dict[str, Any]) -> str:
    """Say what was trained for how long, and what was left out and why."""
    passes = f"LoRA trains for up to {found['epochs']:g} epochs" if found["epochs"] else "Nothing is trained"
    otherwise = found["epochs_otherwise"]
    compared = f" (without the setting the plan for this budget has {otherwise:g})" if otherwise is not None else ""
    left = [f"- {title}: {reason}" for title, reason in found["left_out"]] or ["- nothing"]
    precision = f" in {found['precision']}" if found["precision"] else ""
    return "\n".join([f"{passes}{precision}{compared}. Run: {', '.join(found['tried'])}. Left out:", "", *left])


if __name__ == "__main__":
    main()
