"""Tuning on raw text: medical abstracts and Shakespeare, LoRA and full tuning, before and after on unseen documents.

    python benchmarks/raw_text/run.py --data DATA                     # resumable; about 10 minutes a run on 2 cores
    python benchmarks/raw_text/run.py --data DATA --only lm_medical   # one corpus
    python benchmarks/raw_text/run.py --data DATA --try 8             # a trial on 8 documents; nothing is kept
    python benchmarks/raw_text/run.py --report                        # only RESULTS.md, from the results that are there

The corpora are not part of the repository (their licences differ). Each is read from DATA/NAME/train.jsonl,
validation.jsonl and test.jsonl, which are its three parts; documents are drawn from each with a fixed seed. Corpora,
numbers of documents, epochs and the seed were fixed before any of them was run.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from shared.commands import finish
from shared.machine import card, sentence
from shared.rows import add_data_option, data_folder, draw, lines_of
from shared.tables import table

from luthier.core.files import read_json, write_json
from luthier.core.run import RunDirectory
from luthier.evaluation.comparison import Comparison, compare
from luthier.evaluation.metrics import title_of
from luthier.evaluation.reading import TEXT_METRICS
from luthier.evaluation.retention import Forgetting
from luthier.evaluation.statistics import Scores

CORPORA = ("lm_medical", "lm_shakespeare")
DOCUMENTS = {"train": 100, "validation": 30, "test": 43}
METHODS = {"lora": [], "full": ["adapter.method=full"]}
SETTINGS = ["--objective", "causal_lm", "training.epochs=2"]
SEED = 0


def main() -> None:
    """Run what has no result yet, then write RESULTS.md from all results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--work", type=Path, default=HERE / "work", help="folder for extracts and runs (not committed)")
    parser.add_argument("--only", choices=CORPORA, help="one corpus")
    parser.add_argument("--try", dest="trial", type=int, metavar="N", help="a trial on N documents; nothing is kept")
    parser.add_argument("--report", action="store_true", help="only write RESULTS.md from the results that are there")
    options = parser.parse_args()
    names = [options.only] if options.only else CORPORA
    if options.trial:
        print(render({name: measure(name, data_folder(options.data), options.work / "trial", options.trial)
                      for name in names}))  # fmt: skip
        shutil.rmtree(options.work / "trial")
        return
    if not options.report:
        (HERE / "results").mkdir(exist_ok=True)
        for name in names:
            path = HERE / "results" / f"{name}.json"
            if not path.exists():
                write_json(path, measure(name, data_folder(options.data), options.work))
    results = {n: read_json(p) for n in CORPORA if (p := HERE / "results" / f"{n}.json").exists()}
    (HERE / "RESULTS.md").write_text(render(results), encoding="utf-8")


def measure(name: str, data: Path, work: Path, trial: int | None = None) -> dict[str, Any]:
    """Draw the documents, tune with each method (or go on with it), keep what was found."""
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in DOCUMENTS.items():
        lines = draw(lines_of(data, name, part), trial or count, SEED)
        (folder / f"{part}.jsonl").write_text("".join(lines), encoding="utf-8")
    runs = {}
    for method, settings in METHODS.items():
        place = f"{name}-{method}"
        settings = [*settings, *(["retention=false"] if trial else [])]
        finish(place, ["tune", name, *SETTINGS, *settings], work)
        runs[method] = found_by(RunDirectory(work / place))
    scores = {method: _scores(work / f"{name}-{method}", "confirm") for method in METHODS}
    return {
        "command": f"luthier tune {name} {' '.join(SETTINGS)}",
        "seed": SEED,
        "runs": runs,
        "full_against_lora": compare(scores["lora"], scores["full"], TEXT_METRICS[0]).to_json(),
        "machine": card(),
    }


def found_by(run: RunDirectory) -> dict[str, Any]:
    """Return what a run found, and what it took."""
    manifest = run.manifest
    before, after = _scores(run.path, "before_confirm"), _scores(run.path, "confirm")
    forgetting = run.path / "steps" / "forgetting.json"
    return {
        "documents": manifest["data"]["parts"],
        "tokens": manifest["corpus"]["tokens"],
        "windows": manifest["corpus"]["windows"],
        "learning_rate": run.recipe["training"]["learning_rate"],
        "iterations": manifest["plan"]["iterations"],
        "scores": {
            m: {"before": before.interval(m).to_json(), "after": after.interval(m).to_json()} for m in TEXT_METRICS
        },
        "comparison": manifest["verdict"],
        "forgetting": read_json(forgetting) if forgetting.exists() else None,
        "plan": manifest["plan"],
        "measured": manifest["measured"],
        "precision": manifest["model"]["precision"],
    }


def _scores(run: Path, name: str) -> Scores:
    return Scores.from_json(read_json(run / "steps" / f"scores_{name}.json"))


def render(results: dict[str, dict[str, Any]]) -> str:
    """Return RESULTS.md."""
    missing = [name for name in CORPORA if name not in results]
    parts = [
        "# Tuning on raw text\n",
        "Generated by `benchmarks/raw_text/run.py`; do not edit. The built-in `smollm2-135m-instruct`, 2 epochs, "
        "everything else at its default. The three parts are the corpora's own; all figures are on `test`, which "
        "nothing was learned from or chosen on, with 95 % intervals over documents. Times are what the runs "
        "took, whatever stood beside them; `benchmarks/speed` measures speed.\n",
    ]
    if missing:
        parts.append(f"Not measured yet: {', '.join(missing)}.\n")
    for name, found in results.items():
        parts += [f"## {name}\n", *_of_corpus(found), ""]
    return "\n".join(parts).rstrip() + "\n"


def _of_corpus(found: dict[str, Any]) -> list[str]:
    first = next(iter(found["runs"].values()))
    documents, tokens = first["documents"], first["tokens"]
    lines = [
        f"`{found['command']}`: {documents['tune']} documents with {tokens['tune']:,} tokens to learn from, "
        f"{documents['confirm']} with {tokens['confirm']:,} to confirm.\n",
        table(["", "before", *found["runs"]], [_score_row(metric, found["runs"]) for metric in TEXT_METRICS]),
        "",
    ]
    for method, run in found["runs"].items():
        verdict = Comparison.from_json(run["comparison"]).sentence("the model before", f"the model tuned ({method})")
        lines += [f"- **{method}** (learning rate {run['learning_rate']:g}, {run['iterations']} steps). {verdict}"]
        lines += [f"  {_forgotten(run)} {_cost(run)}"]
    against = Comparison.from_json(found["full_against_lora"]).sentence("LoRA", "full tuning")
    return [*lines, f"- {against}", "", sentence(found["machine"])]


def _score_row(metric: str, runs: dict[str, Any]) -> list[str]:
    first = next(iter(runs.values()))["scores"][metric]
    return [
        title_of(metric),
        _figure(first["before"]),
        *(_figure(run["scores"][metric]["after"]) for run in runs.values()),
    ]


def _figure(found: dict[str, Any]) -> str:
    return f"{found['value']:.3g} [{found['low']:.3g}, {found['high']:.3g}]"


def _forgotten(run: dict[str, Any]) -> str:
    if run["forgetting"] is None:
        return "Forgetting was not looked at."
    return f"Forgetting: {Forgetting.from_json(run['forgetting']).sentence()}."


def _cost(run: dict[str, Any]) -> str:
    plan, measured = run["plan"], run["measured"]
    return (
        f"Training took {measured['seconds']:.0f} s (estimated {plan['seconds']:.0f} s) in {run['precision']}, the "
        f"whole process {measured['memory_bytes'] / 1e9:.1f} GB (estimated {plan['memory_bytes'] / 1e9:.1f} GB)."
    )


if __name__ == "__main__":
    main()
