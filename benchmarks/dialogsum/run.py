"""DialogSum with the built-in model: LoRA and full tuning on 1,000 dialogues, proved on 250 with three references each.

    python benchmarks/dialogsum/run.py --data DATA               # resumable; about 45 minutes on 2 idle cores with bf16
    python benchmarks/dialogsum/run.py --data DATA --only lora   # LoRA and the model before it; `full` needs its result
    python benchmarks/dialogsum/run.py --data DATA --smoke       # a few rows, into the working folder only
    python benchmarks/dialogsum/run.py --report                  # only RESULTS.md, from the results that are there

The data set is not part of the repository (CC BY-NC-SA 4.0); it is read from DATA/dialogsum, the files train.jsonl,
validation.jsonl and test.jsonl. All settings were fixed before any score on a test dialogue was seen: Luthier's
defaults, but for one epoch, one validation and micro-batches of 1,024 tokens. The draw has 290,813 tokens. At 330 to
500 tokens a second, as with bf16 on two cores, an epoch takes 10 to 15 minutes: one fits into 25 minutes, two might
not. Without bf16, at about 200 a second, one takes all of them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import report
from shared.commands import call, finish
from shared.machine import card
from shared.rows import add_data_option, data_folder, draw, lines_of

from luthier.core.files import read_json, read_lines, write_json
from luthier.core.run import RunDirectory

METHODS = ("lora", "full")
ROWS = {"train": 1000, "validation": 50, "test": 250}
SMOKE = {"train": 40, "validation": 8, "test": 6}
_SHORT = 1000
"""Characters of a row of the smoke test, which may run on a tiny model."""
SEED = 0
SETTINGS = ("training.epochs=1", "training.validations=1", "batch.micro_tokens=1024")
PROMPT = r"Summarize this dialogue.\n\n{dialogue}"
READING = ("--prompt", PROMPT, "--answer", "summaries", "--kind", "summarization")


def main() -> None:
    """Make the runs that have no result yet, then write RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--work", type=Path, default=HERE / "work", help="folder for extracts and runs (not committed)")
    parser.add_argument("--only", choices=METHODS, help="one method")
    parser.add_argument("--smoke", action="store_true", help="a few rows, to try the program")
    parser.add_argument("--report", action="store_true", help="only write RESULTS.md from the results that are there")
    options = parser.parse_args()
    work = options.work / "smoke" if options.smoke else options.work
    home = work if options.smoke else HERE
    rows = SMOKE if options.smoke else ROWS
    if not options.report:
        write_rows(data_folder(options.data), work / "data", rows)
        for name in [options.only] if options.only else METHODS:
            if stored(home, name) is None:
                (home / "results").mkdir(exist_ok=True)
                write_json(home / "results" / f"{name}.json", measure(name, work, home))
                write_report(home, rows)
    write_report(home, rows)


def write_report(home: Path, rows: dict[str, int]) -> None:
    results = {name: found for name in METHODS if (found := stored(home, name)) is not None}
    (home / "RESULTS.md").write_text(report.render(results, rows, PROMPT, SETTINGS), encoding="utf-8")


def stored(home: Path, name: str) -> dict[str, Any] | None:
    path = home / "results" / f"{name}.json"
    return read_json(path) if path.exists() else None


def write_rows(data: Path, folder: Path, rows: dict[str, int]) -> None:
    """Write the three parts: drawn from the training and validation files, the first of the test file."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in rows.items():
        lines = lines_of(data, "dialogsum", part)
        if rows is SMOKE:
            lines = [line for line in lines if len(line) < _SHORT]
        chosen = lines[:count] if part == "test" else draw(lines, count, SEED)
        (folder / f"{part}.jsonl").write_text("".join(chosen), encoding="utf-8")


def measure(name: str, work: Path, home: Path) -> dict[str, Any]:
    """Tune with a method, let it answer the test dialogues, and compare with what is there already.

    The model before tuning answers once, in the run of LoRA, with the prompt and the output limit of the tuned ones.
    """
    if name == "full" and stored(home, "lora") is None:
        sys.exit("The model before tuning answers in the run of LoRA: make that first, with --only lora.")
    first = name == "lora"
    settings = [*SETTINGS, f"adapter.method={name}", f"compare_before={str(first).lower()}"]
    screen = finish(name, ["tune", "data", *settings, *READING], work)
    found: dict[str, Any] = {}
    if first:
        answers = str(Path("lora", "evaluation", "before_confirm.jsonl"))
        finish("base", ["evaluate", answers, str(Path("data", "test.jsonl")), *READING], work)
        found["base"] = answered(work / "base", "scores", "answers")
    found[name] = answered(work / name, "scores_confirm", "confirm")
    rivals = [rival for rival in ("base", "lora") if rival != name and (work / rival).exists()]
    compared = ["compare", *rivals, name, "--metrics", "rouge1,rouge2,rougeL"]
    return {
        "seed": SEED,
        "answerers": found,
        **costs(RunDirectory(work / name)),
        "screens": {
            " ".join(["luthier tune data", *settings, "--run", name]): screen,
            f"luthier {' '.join(compared)}": call(compared, work).text,
        },
        "machine": card(),
    }


def answered(run: Path, scores: str, answers: str) -> dict[str, Any]:
    """Return an answerer's scores, row by row, and how many words its answers have."""
    texts = [answer["text"] for answer in read_lines(run / "evaluation" / f"{answers}.jsonl")]
    words = sum(len(text.split()) for text in texts) / len(texts)
    return {"scores": read_json(run / "steps" / f"{scores}.json"), "words": words}


def costs(run: RunDirectory) -> dict[str, Any]:
    """Return what a run cost, from its own records."""
    manifest, timings = run.manifest, run.timings()
    return {
        "parts": manifest["data"]["parts"],
        "recipe": {name: run.recipe[name] for name in ("adapter", "batch", "training", "precision")},
        "trained_parameters": manifest["trained_parameters"],
        "training_tokens": manifest["training_tokens"]["all"],
        "output_limit": manifest["lengths"]["output_limit"],
        "precision": manifest["model"]["precision"],
        "steps": manifest["plan"]["iterations"],
        "estimated": {name: manifest["plan"][name] for name in ("seconds", "memory_bytes")},
        "seconds": {
            "training": sum(line["seconds"] for line in timings),
            "validation": sum(line["validation_seconds"] for line in timings),
        },
        "memory_bytes": manifest["measured"]["memory_bytes"],
        "latency_seconds": manifest["measured"]["latency_seconds"],
    }


if __name__ == "__main__":
    main()
