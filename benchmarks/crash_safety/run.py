"""Does a run survive what can happen to it: kills, full and failing disks, damaged files?

    python benchmarks/crash_safety/run.py            # resumable; an hour or two on 2 cores, tiny models
    python benchmarks/crash_safety/run.py --real     # also ten kills with the built-in model
    python benchmarks/crash_safety/run.py --report   # only RESULTS.md, from the results that are there

Three questions. Every operation on files of a save fails in turn: is the old state or the new one there? Runs are
killed at random moments and resumed: do they end with the bytes of the run that was not? Files are damaged: is any
loaded?
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent), *(str(ROOT / "tests" / name) for name in ("crash", "stages"))]
os.environ.setdefault("OMP_NUM_THREADS", "1")

from report import render
from same import differing
from shared.machine import card

from luthier.core.files import read_json, write_json

TRAINING = ("training.epochs=3", "batch.sequences=8", "batch.micro_tokens=150", "training.checkpoint_every=2",
            "training.validations=3")  # fmt: skip
KILLS: dict[str, dict[str, Any]] = {
    "tune-lora": {"kills": 25, "command": ["tune", "ROWS", "-m", "MODEL", *TRAINING]},
    "tune-full": {
        "kills": 20,
        "command": ["tune", "ROWS", "-m", "MODEL", *TRAINING, "adapter.method=full", "training.learning_rate=1e-3"],
    },
    "tune-text": {
        "kills": 25,
        "command": ["tune", "ROWS", "-m", "MODEL", "--objective", "causal_lm", *TRAINING, "corpus.window_tokens=128",
                    "corpus.overlap_tokens=32", "retention=false"],
    },
    "adapt": {
        "kills": 30,
        "command": ["adapt", "ROWS", "-m", "MODEL", "--budget", "5h", "--try", "as_is,told_format,lora"],
    },
    "real": {
        "kills": 10,
        "command": ["tune", "ROWS", "-m", "smollm2-135m-instruct", "training.epochs=1", "batch.sequences=8",
                    "training.checkpoint_every=1", "training.validations=1"],
    },
}  # fmt: skip
"""Name -> how many kills, and the command; ROWS and MODEL are filled in."""
CORRUPTIONS = 1000


def main() -> None:
    """Measure what has no result yet, then write RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE / "work", help="folder for runs (not committed)")
    parser.add_argument("--only", choices=["points", "corruptions", *KILLS], help="one part")
    parser.add_argument("--real", action="store_true", help="also the kills with the built-in model")
    parser.add_argument("--kills", type=int, help="no more kills than this for now; the next call goes on")
    parser.add_argument("--report", action="store_true", help="only write RESULTS.md from the results that are there")
    options = parser.parse_args()
    parts = [options.only] if options.only else ["points", "corruptions", *(n for n in KILLS if n != "real")]
    if options.real and "real" not in parts:
        parts.append("real")
    for part in [] if options.report else parts:
        options.work.mkdir(parents=True, exist_ok=True)
        path = HERE / "results" / f"{part}.json"
        if part in KILLS:
            kill(part, options.work, path, options.kills)
        elif not path.exists():
            write_json(path, (points if part == "points" else corrupt)(options.work))
    names = ("points", *KILLS, "corruptions")
    results = {n: read_json(p) for n in names if (p := HERE / "results" / f"{n}.json").exists()}
    page = render(results, {name: case["kills"] for name, case in KILLS.items()})
    (HERE / "RESULTS.md").write_text(page, encoding="utf-8")


# ------------------------------------------------------------------------------------------------ every operation


def points(work: Path) -> dict[str, Any]:
    """Let every operation of every save fail in every way."""
    from faulty_files import count
    from scenarios import OF_FILES, afresh, endure, saved_weights

    from luthier.adapters.full import Full
    from luthier.adapters.lora import Lora, LoraConfig
    from luthier.models.load import load_model
    from luthier.models.source import find_model

    machine = card()  # before: the commit that is measured is the one that was imported
    scenarios = list(OF_FILES)
    for name, method in (("adapter", Lora(LoraConfig(rank=2))), ("model", Full())):
        loaded = load_model(find_model(str(_tiny(work))), precision="fp32")
        scenarios.append(saved_weights(name, method.attach(loaded), _tiny(work)))
    found = []
    for scenario in scenarios:
        with tempfile.TemporaryDirectory(dir=work) as place:
            whole = afresh(scenario, Path(place) / "counted")
            operations = Counter(count(lambda scenario=scenario, whole=whole: scenario.act(whole)))
            try:
                passed, problem = endure(scenario, Path(place)), ""
            except AssertionError as error:
                passed, problem = {}, str(error)
        found.append({"save": scenario.name, "operations": operations, "passed": passed, "problem": problem})
        print(f"{scenario.name}: {problem or passed}", file=sys.stderr, flush=True)
    return {"saves": found, "machine": machine}


# ---------------------------------------------------------------------------------------------------- random kills


def kill(name: str, work: Path, path: Path, most: int | None) -> None:
    """Kill a command at random moments and resume it; each kill is stored as it is known."""
    from forks import Forks

    case = KILLS[name]
    found: dict[str, Any] = read_json(path) if path.exists() else {"kills": []}
    wanted = min(case["kills"], len(found["kills"]) + most) if most else case["kills"]
    if len(found["kills"]) >= wanted:
        return
    for earlier in found["kills"]:
        earlier.setdefault("source", found["machine"]["source"])
    machine = card()
    folder = work.resolve() / name
    command = [str(_rows(folder, name)) if part == "ROWS" else part for part in case["command"]]
    command = [str(_tiny(work)) if part == "MODEL" else part for part in command]
    plan = _plan(command, folder) if name == "adapt" else None
    if name == "tune-text":
        os.environ["LUTHIER_CACHE"] = str(folder / "cache")  # its token store is made anew for each kill
    forks = Forks(plan)
    try:
        found = _whole_runs(forks, command, folder) | {"kills": found["kills"], "machine": machine}
        draw = random.Random(f"{name} of {case['kills']}")
        moments = [draw.uniform(0, found["seconds"]) for _ in range(10 * case["kills"])]
        for number in range(len(found["kills"]), wanted):
            share = moments[number] / found["seconds"]
            found["kills"].append(
                _one_kill(forks, command, folder, number, moments[number])
                | {
                    "at": round(share, 4),
                    "source": machine["source"],
                }
            )
            write_json(path, found)
            print(f"{name} {number + 1}/{wanted}: {found['kills'][-1]}", file=sys.stderr, flush=True)
    finally:
        forks.close()


def _whole_runs(forks: Any, command: list[str], folder: Path) -> dict[str, Any]:
    """Run twice without interruption: the seconds of the first, and what differs between the two."""
    seconds = {}
    for name in ("whole", "again"):
        place = folder / name
        kept = place / "seconds.json"
        if not kept.exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            ended = forks.call([*command, "--run", "run"], place)
            if ended.code:
                sys.exit(f"{name}: exit status {ended.code}\n{ended.said}")
            write_json(kept, ended.seconds)
        seconds[name] = read_json(kept)
    differs = differing(folder / "again" / "run", folder / "whole" / "run")
    return {"seconds": seconds["whole"], "differs_without_a_kill": differs, "command": _spoken(command)}


def _one_kill(forks: Any, command: list[str], folder: Path, number: int, moment: float) -> dict[str, Any]:
    """Kill at a moment, look what is there, resume to the end, compare."""
    place = folder / f"kill-{number:03d}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    shutil.rmtree(folder / "cache", ignore_errors=True)
    first = forks.call([*command, "--run", "run"], place, kill_at=moment)
    run = place / "run"
    state = _state(run)
    is_run = (run / "manifest.json").exists() and (run / "recipe.yaml").exists()
    second = forks.call(["resume", "run"] if is_run else [*command, "--run", "run"], place)
    differs = differing(run, folder / "whole" / "run") if second.code == 0 else ["(not finished)"]
    if not differs:
        shutil.rmtree(place)
    return {"killed": first.code == -9, "state": state, "resumed": second.code, "differs": differs}


def _state(run: Path) -> str:
    """Say in a few words how far a run had come when it was killed."""
    if not (run / "manifest.json").exists():
        return "no run yet"
    children = sorted(path.parent.name for path in run.glob("children/*/manifest.json"))
    steps = sum(len(path.read_bytes().splitlines()) for path in run.rglob("metrics.jsonl"))
    answers = sum(len(p.read_bytes().splitlines()) for p in run.rglob("evaluation/*.jsonl") if p.stem != "timings")
    status = "finished" if '"status": "finished"' in (run / "manifest.json").read_text() else "running"
    return f"{status}, {len(children)} candidates, {steps} steps, {answers} answers"


def _plan(command: list[str], folder: Path) -> Path:
    """Make the plan that all runs share: one that is measured anew each time would be of another machine each time."""
    from forks import Forks

    path = folder / "plan.json"
    if not path.exists():
        place = folder / "planned"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        forks = Forks()
        ended = forks.call([*command, "--run", "run"], place)
        forks.close()
        if ended.code:
            sys.exit(f"plan: exit status {ended.code}\n{ended.said}")
        shutil.copy(place / "run" / "steps" / "plan.json", path)
    return path


def _rows(folder: Path, name: str) -> Path:
    from command_line import label_rows, ticket_rows, write_rows

    if name == "tune-text":
        return _texts(folder / "texts")
    path = folder / "rows.csv"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_rows(path, ticket_rows(24, 10, 10) if name == "real" else label_rows(24, 30, 30))
    return path


def _texts(folder: Path) -> Path:
    """Write eighty short documents."""
    words = ("the", "a", "river", "lamp", "ship", "runs", "sees", "green", "small", "over", "under", "bread", "sky")
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(3)
    for number in range(80):
        (folder / f"{number:02}.txt").write_text(" ".join(draw.choice(words) for _ in range(60)) + ".\n")
    return folder


def _tiny(work: Path) -> Path:
    from luthier.testing import tiny_model

    path = work.resolve() / "tiny"
    return path if path.exists() else tiny_model(path, "llama")


def _spoken(command: list[str]) -> str:
    """Return a command as it is shown: without the folders of this machine."""
    return "luthier " + " ".join(Path(part).name if os.sep in part else part for part in command)


# ----------------------------------------------------------------------------------------------------- corruptions


def corrupt(work: Path) -> dict[str, Any]:
    """Damage the files of finished runs and checkpoints, a thousand times."""
    from command_line import done
    from corruption import corruptions, gather

    machine = card()
    folder = work.resolve() / "corruptions"
    shutil.rmtree(folder, ignore_errors=True)
    rows = _rows(folder, "corruptions")
    short = ("training.epochs=1", "batch.sequences=8")
    for name, more in (("lora", ()), ("whole", ("adapter.method=full",))):
        done("tune", rows, "-m", _tiny(work), "--run", folder / name, *short, *more)
    tried = corruptions(gather(folder, folder / "lora", folder / "whole"), CORRUPTIONS, seed=0)
    table = Counter((c.kind, c.outcome.outcome) for c in tried)
    wrong = [f"{c.target}, {c.kind}: {c.outcome}" for c in tried if c.outcome.outcome not in ("refused", "made again")]
    return {
        "tried": len(tried),
        "files": sorted({c.target for c in tried}),
        "outcomes": [[kind, outcome, number] for (kind, outcome), number in sorted(table.items())],
        "wrong": wrong,
        "machine": machine,
    }


if __name__ == "__main__":
    main()
