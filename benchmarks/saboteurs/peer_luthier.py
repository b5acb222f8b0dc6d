"""Luthier, with its defaults, given the same planted faults through its command line.

python peer_luthier.py RESULTS.json WORK_FOLDER [--only N …]
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import harness
import torch
from material import flip_byte, planted_model, planted_rows, rename_tensors, rows, write_lines
from model_faults import plants_of_models

from luthier.cli.main import app
from luthier.data.render import Renderer
from luthier.models.load import load_model
from luthier.models.readout_model import ReadoutModel, Work
from luthier.models.source import find_model
from luthier.objectives.supervised import SupervisedFineTuning
from luthier.segments import join
from luthier.stages import tune as stage
from luthier.training import checkpoints, rehearsal
from luthier.training.engine.single import SingleDeviceEngine

END = 2
SETTINGS = (
    "`luthier tune rows.jsonl -m MODEL training.epochs=1 batch.sequences=8 compare_before=false`, else defaults; rows "
    "with prompt and completion"
)


class Refused(harness.ToolError):
    """The command ended with exit status 2; the text is what it said."""


def base(folder: Path) -> Path:
    return folder.parent.parent / "model"


def model_of(folder: Path, fault: int) -> Path:
    return planted_model(base(folder), folder / "model", fault, folder / "trace")


def call(*arguments: object) -> None:
    """Call the command line; what it refuses is an error with its text."""
    import contextlib
    import io
    import sys

    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            app([str(a) for a in arguments])
            code: Any = 0
        except SystemExit as end:
            code = end.code
    sys.stderr.write(said.getvalue())
    if code == 2:
        text = said.getvalue()
        raise Refused(" ".join(text[text.index("luthier: ") :].split()) if "luthier: " in text else text)


def tune(folder: Path, model: Path | None = None, found: Any = None, *settings: str, run: str = "run") -> Path:
    write_lines(folder / "rows.jsonl", rows() if found is None else found)
    call("tune", folder / "rows.jsonl", "-m", model or base(folder), "--run", folder / run, "training.epochs=1",
         "batch.sequences=8", "compare_before=false", *settings)  # fmt: skip
    return folder / run


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def renderer_of(model: Path) -> Renderer:
    loaded = load_model(find_model(str(model)), precision="fp32")
    return Renderer(loaded.tokenizer, loaded.facts.context)


def fault_1(folder: Path) -> dict[str, Any]:
    run = tune(folder, model_of(folder, 1))
    found = json.loads((run / "manifest.json").read_text())["sequences"]
    without = found["all"] - found["trained_to_their_end"]
    return {"harm": without > 0, "measured": f"{without} of {found['all']} rows do not train the end of the answer"}


def fault_3(folder: Path) -> dict[str, Any]:
    tune(folder, None, planted_rows(3))
    return {"harm": True, "measured": "trained"}


def fault_4(folder: Path) -> dict[str, Any]:
    run = tune(folder, None, planted_rows(4))
    kept = json.loads((run / "manifest.json").read_text())["lengths"]["prompt"]
    rows_read = len(lines(run / "parts.jsonl"))
    return {
        "harm": rows_read < 40,
        "measured": f"all {rows_read} rows are kept whole, up to {kept['maximum']} tokens",
    }


def fault_5(folder: Path) -> dict[str, Any]:
    found = [dict(row, split="train") for row in planted_rows(5)]
    found += [dict(row, split=("validation", "test")[n % 2]) for n, row in enumerate(rows(40, seed=3)[8:])]
    norms = []
    for name, tokens in (("whole", 99999), ("pieces", 1)):
        run = tune(folder, None, found, f"batch.micro_tokens={tokens}", "precision=fp32", run=name)
        norms.append(lines(run / "metrics.jsonl")[0]["gradient_norm"])
    apart = abs(norms[0] / norms[1] - 1)
    return {"harm": apart > 0.01, "measured": f"gradient norms differ by {100 * apart:.2g} %"}


def fault_8(folder: Path) -> dict[str, Any]:
    tune(folder, model_of(folder, 8))
    return {"harm": True, "measured": "trained"}


def fault_9(folder: Path) -> dict[str, Any]:
    tune(folder, None, None, "training.learning_rate=1e-30")
    return {"harm": True, "measured": "saved"}


def fault_10(folder: Path) -> dict[str, Any]:
    run = tune(folder, None, None, "training.learning_rate=1e-2")
    rename_tensors(run / "adapter" / "adapter_model.safetensors")
    call("evaluate", run, folder / "rows.jsonl", "--run", folder / "later")
    return {"harm": True, "measured": "loaded"}


def stop_after(steps: int) -> Any:
    """Ask to stop at a step, as Ctrl-C does; returns what was there before."""
    import signal

    original = SingleDeviceEngine.update

    def signalled(self: Any, clip: Any) -> Any:
        if self.updates == steps - 1:
            signal.raise_signal(signal.SIGTERM)
        return original(self, clip)

    SingleDeviceEngine.update = signalled  # type: ignore[method-assign]
    return original


def stopped(folder: Path) -> Path:
    before = stop_after(2)
    run = tune(folder, None, None, "training.checkpoint_every=1", "training.epochs=2")
    SingleDeviceEngine.update = before  # type: ignore[method-assign]
    assert json.loads((run / "manifest.json").read_text())["status"] == "paused"
    return run


def fault_12(folder: Path) -> dict[str, Any]:
    run = stopped(folder)
    write_lines(folder / "rows.jsonl", rows(seed=9))
    call("resume", run)
    return {"harm": True, "measured": "went on"}


def fault_13(folder: Path) -> dict[str, Any]:
    loaded = load_model(find_model(str(base(folder))), precision="fp32")
    from luthier.core.types import Example, user

    renderer = Renderer(loaded.tokenizer, loaded.facts.context)
    made = [renderer.render(Example(str(n), user(r["prompt"]), (r["completion"],))) for n, r in enumerate(rows(8))]
    readout, objective = ReadoutModel(loaded), SupervisedFineTuning()
    with torch.no_grad():
        packed = float(readout(Work(objective, join([r.batch() for r in made]), None)).totals["loss"])
        alone = sum(float(readout(Work(objective, r.batch(), None)).totals["loss"]) for r in made)
    count = sum(r.trained for r in made)
    measured = f"loss {packed / count:.4f} packed, {alone / count:.4f} alone ({readout.layout})"
    return {"harm": abs(packed / alone - 1) > 0.001, "measured": measured}


def fault_21(folder: Path) -> dict[str, Any]:
    tune(folder, model_of(folder, 21))
    return {"harm": True, "measured": "trained"}


def fault_24(folder: Path) -> dict[str, Any]:
    found = [dict(row, split="train") for row in rows(60)]
    found += [
        dict(row, split=part) for part, some in (("validation", found[:20]), ("test", found[:10])) for row in some
    ]
    run = tune(folder, None, found)
    parts: dict[str, set[str]] = {}
    for line in lines(run / "parts.jsonl"):
        parts.setdefault(line["part"], set()).add(line["messages"][-1]["content"])
    both = len(parts["confirm"] & parts["tune"])
    return {"harm": both > 0, "measured": f"{both} rows to prove on are among the {len(parts['tune'])} to learn from"}


def fault_30(folder: Path) -> dict[str, Any]:
    run = stopped(folder)
    flip_byte(run / "checkpoints" / "step-00000002" / "tensors.safetensors")
    call("resume", run)
    whole = tune(folder, None, None, "training.checkpoint_every=1", "training.epochs=2", run="whole")
    names = [r / "adapter" / "adapter_model.safetensors" for r in (run, whole)]
    same = names[0].read_bytes() == names[1].read_bytes()
    said = "its result is that of an uninterrupted run" if same else "its result differs"
    return {"harm": not same, "measured": f"skipped the damaged checkpoint, went on from step 1; {said}"}


def fault_34(folder: Path) -> dict[str, Any]:
    tune(folder, model_of(folder, 34))
    return {"harm": True, "measured": "trained"}


def fault_37(folder: Path) -> dict[str, Any]:
    tune(folder, None, None, "training.learning_rte=1e-2")
    return {"harm": True, "measured": "trained"}


def fault_38(folder: Path) -> dict[str, Any]:
    tune(folder, None, planted_rows(38))
    return {"harm": True, "measured": "trained"}


def fault_41(folder: Path) -> dict[str, Any]:
    run = tune(folder, None, None, "training.learning_rate=0.3", "training.epochs=3", "training.validations=99",
               "precision=fp32")  # fmt: skip
    losses = [line["eval_total_loss"] for line in lines(run / "metrics.jsonl") if "eval_total_loss" in line]
    best = json.loads((run / "manifest.json").read_text())["best"]["value"]
    return {
        "harm": best > min(losses) * 1.001,
        "measured": f"saved: {best:.3f}; best of {len(losses)} validations: {min(losses):.3f} (last {losses[-1]:.3f})",
    }


PLANTS = {int(name[6:]): plant for name, plant in list(globals().items()) if name.startswith("fault_")}
PLANTS |= plants_of_models(base, tune)

if __name__ == "__main__":
    assert all((stage, checkpoints, rehearsal, renderer_of))  # read before the plants are forked
    names = ("luthier", "transformers", "peft", "torch")
    harness.main("Luthier", {n: importlib.metadata.version(n) for n in names}, SETTINGS, PLANTS)
