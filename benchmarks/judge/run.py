"""How far do the built-in models, as judges, agree with people? Measured on PandaLM's labelled pairs.

    python benchmarks/judge/run.py --data DATA               # resumable; about an hour and a half on 2 idle cores
    python benchmarks/judge/run.py --data DATA --pairs 40    # fewer pairs
    python benchmarks/judge/run.py --report                  # only RESULTS.md, from the results that are there

Each model judges in two ways: it compares both answers of a pair in both orders, or grades each answer alone. The pairs
are those of DATA/pandalm/test.jsonl (Wang et al. 2023, "PandaLM", arXiv:2306.05087), each labelled by three people.
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import report
from shared.machine import card
from shared.rows import add_data_option, data_folder, draw, lines_of

import luthier
from luthier.core.files import read_json, write_json
from luthier.core.run import RunDirectory
from luthier.evaluation.answering import seconds_of
from luthier.reporting.console import ConsoleListener

MODELS = ("smollm2-135m-instruct", "gemma-3-270m")
WAYS = ("pairs", "grades")
SEED = 0


def main() -> None:
    """Measure what has no result yet, then write RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--work", type=Path, default=HERE / "work", help="folder for runs (not committed)")
    parser.add_argument("--pairs", type=int, help="labelled pairs; all of the test set if left out")
    parser.add_argument("--model", choices=MODELS, help="one model")
    parser.add_argument("--by", choices=WAYS, help="one way of judging")
    parser.add_argument("--report", action="store_true", help="only write RESULTS.md from the results that are there")
    options = parser.parse_args()
    if not options.report:
        (HERE / "results").mkdir(exist_ok=True)
        pairs = _pairs(data_folder(options.data), options.work, options.pairs)
        for model in [options.model] if options.model else MODELS:
            for by in [options.by] if options.by else WAYS:
                _measure_once(model, by, pairs, options.work)
    names = [f"{model}.{by}" for model in MODELS for by in WAYS]
    results = {name: read_json(path) for name in names if (path := HERE / "results" / f"{name}.json").exists()}
    (HERE / "RESULTS.md").write_text(report.render(results, names), encoding="utf-8")


def _pairs(data: Path, work: Path, count: int | None) -> Path:
    lines = lines_of(data, "pandalm", "test")
    work.mkdir(parents=True, exist_ok=True)
    path = work / f"pandalm.{count or len(lines)}.jsonl"
    path.write_text("".join(draw(lines, count, SEED) if count else lines), encoding="utf-8")
    return path


def _measure_once(model: str, by: str, pairs: Path, work: Path) -> None:
    count = len(pairs.read_text(encoding="utf-8").splitlines())
    target = HERE / "results" / f"{model}.{by}.json"
    if target.exists() and read_json(target)["pairs"] == count:
        return
    place = work / f"{model}.{by}.{count}"
    begun, listener = time.monotonic(), ConsoleListener(to_stderr=True)
    if RunDirectory.is_run(place):
        run = luthier.resume(place, listener=listener)
    else:
        run = luthier.judge(model, pairs, by=by, run=place, listener=listener)
    print(f"{model}, {by}: {count} pairs, {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    write_json(target, _result(model, by, run.directory, count))


def _result(model: str, by: str, run: RunDirectory, count: int) -> dict[str, Any]:
    files = sorted((run.path / "evaluation").glob("judged_*.jsonl"))
    return {
        "model": model,
        "by": by,
        "pairs": count,
        "seconds": sum(seconds_of(run, file.stem) for file in files),
        **{key: run.manifest["verdict"][key] for key in ("agreement", "among_people", "place")},
        "machine": card(),
    }


if __name__ == "__main__":
    main()
