"""How fast is Luthier beside TRL, transformers' Trainer and generate, and lm-evaluation-harness, on this machine?

    python benchmarks/speed/run.py                    # resumable; some two hours on 2 idle cores, as estimated
    python benchmarks/speed/run.py --only sft-lora    # one workload
    python benchmarks/speed/run.py --turns 2          # a trial of each; nothing is kept
    python benchmarks/speed/run.py --report           # only RESULTS.md, from the results that are there

Everyone works on the same rows, given as ids, with the same model, precision, optimizer and start. All stay loaded in
programs of their own; one works at a time, and who begins changes from turn to turn.
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import curves
import material
import report
import scaling
import starts
import torch
from alternating import Contestant, play
from shared.machine import card
from workloads import WORKLOADS, Workload

from luthier.core.files import read_json, write_json
from luthier.models.device import pick_device, pick_precision
from luthier.models.fit import measure_gflops, training_operations
from luthier.models.source import find_model

MODEL = "smollm2-135m-instruct"
PARTS = (*WORKLOADS, "curves", "scaling", "start")
_SPARE_TURNS = 1
"""Turns before the first that counts: caches fill, pages are touched."""


def main() -> None:
    """Measure what has no result yet, then write RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE / "work", help="folder for rows and logs (not committed)")
    parser.add_argument("--only", choices=PARTS, action="append", help="one part; may be given again")
    parser.add_argument("--again", action="store_true", help="measure also what has a result")
    parser.add_argument("--turns", type=int, help="a trial with so many turns; nothing is kept")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of everyone")
    parser.add_argument("--without", action="append", default=[], metavar="PEER", help="leave a peer out")
    parser.add_argument("--report", action="store_true", help="only write RESULTS.md from the results that are there")
    options = parser.parse_args()
    if not options.report:
        precision = pick_precision(options.precision, pick_device("cpu"))
        folder = find_model(MODEL).folder
        material.write(folder, options.work / "material")
        (HERE / "results").mkdir(exist_ok=True)
        for name in options.only or PARTS:
            path = HERE / "results" / f"{name}.{precision}.json"
            if path.exists() and not options.again and not options.turns:
                continue
            if name == "scaling":
                found: dict[str, Any] = {"series": scaling.measure(options.work, precision, say)}
            elif name == "curves":
                found = {"curves": curves.measure(MODEL, folder, options.work, say)}
            elif name == "start":
                found = {"seconds": starts.measure(MODEL, folder)}
            else:
                found = measure(name, WORKLOADS[name], folder, options.work, precision, options.turns, options.without)
            found |= {"machine": card() | {"peers": report.versions()}}
            if options.turns:
                print(report.section(name, found))
            else:
                write_json(path, found)
    if not options.turns:
        results = {
            path.name.removesuffix(".json"): read_json(path) for path in sorted((HERE / "results").glob("*.json"))
        }
        (HERE / "RESULTS.md").write_text(report.render(results), encoding="utf-8")


def measure(
    name: str, load: Workload, model: Path, work: Path, precision: str, turns: int | None, without: list[str]
) -> dict[str, Any]:
    """Start everyone who takes part, play, and keep every turn."""
    rows = material.read(work / "material", load.rows)
    played = load.turn_rows(len(rows))[: turns or load.turns]
    played = [*played[:_SPARE_TURNS], *played]
    start = work / f"start-{load.settings.get('method', 'none')}"
    shutil.rmtree(start, ignore_errors=True)
    common = {
        "material": str(work / "material"), "rows": load.rows, "precision": precision, "start": str(start),
        **load.settings,
    }  # fmt: skip
    peers = {key: peer for key, peer in load.peers.items() if key not in without}
    with ExitStack() as stack:
        taking_part = {
            "luthier": stack.enter_context(
                Contestant("ours.py", {**common, "model": MODEL, "work": load.work}, work / f"{name}.luthier.log")
            )
        }
        for key, peer in peers.items():
            given = {
                **common, "model": str(model), "work": peer.work, "best": peer.best, "steps": len(played) + 1,
                "order": [i for turn in played for i in turn], **peer.settings,
            }  # fmt: skip
            taking_part[key] = stack.enter_context(Contestant(peer.program, given, work / f"{name}.{key}.log"))
        found = play(taking_part, [{"rows": list(turn)} for turn in played], say)
    return {
        "turns": {key: lines[_SPARE_TURNS:] for key, lines in found.items()},
        "rows": [list(turn) for turn in played[_SPARE_TURNS:]],
        "tokens": [report.tokens_in(load, [rows[i] for i in turn]) for turn in played[_SPARE_TURNS:]],
        "precision": precision,
        "limit_gflops": limit(precision),
        "operations_a_token": operations(load, [rows[i] for turn in played for i in turn]),
    }


def operations(load: Workload, rows: list[dict[str, Any]]) -> float:
    """Count the operations of a training step a token, where each row is computed by itself."""
    answers = sum(len(row.get("answer", ())) for row in rows) / max(1, report.tokens_in(load, rows))
    facts = find_model(MODEL).facts()
    return training_operations(facts, answers, all_weights=load.settings.get("method") == "full")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def limit(precision: str) -> float:
    """Return the GFLOP/s of matrix products here, the most that any of them could reach."""
    return measure_gflops(pick_device("cpu"), {"fp32": torch.float32, "bf16": torch.bfloat16}[precision], 2.0)


if __name__ == "__main__":
    main()
