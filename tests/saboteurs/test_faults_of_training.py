"""Faults of training and of what stands before it, planted, and seen to be stopped."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import (
    SETTINGS,
    done,
    json_lines,
    label_rows,
    luthier,
    manifest,
    refused,
    runs_in,
    status,
    write_rows,
)
from planting import engine_for
from safetensors.torch import load_file, save_file

from luthier.core.errors import GuardError
from luthier.models.load import load_model
from luthier.models.readout_model import ReadoutModel
from luthier.models.source import find_model
from luthier.training import step as training_step
from luthier.training.checkpoints import verify
from luthier.training.engine.single import SingleDeviceEngine


def test_05_the_same_work_in_other_pieces_is_the_same_training(files: Path, model: Path, place: Path) -> None:
    """Fault 5: whole runs with every sequence computed alone and with all of a step at once, on ragged answers."""
    write_rows(place / "rows.csv", [row | {"label": row["label"] * (1 + i % 4)} for i, row in enumerate(label_rows())])
    logged = {}
    for tokens in (1, 100_000):
        done("tune", "rows.csv", "-m", model, "--run", f"run{tokens}", "precision=fp32", "training.epochs=1",
             "compare_before=false", f"batch.micro_tokens={tokens}", "batch.sequences=8")  # fmt: skip
        logged[tokens] = json_lines(place / f"run{tokens}" / "metrics.jsonl")
    for alone, together in zip(*logged.values(), strict=True):
        assert alone["train_num_predictions"] == together["train_num_predictions"]
        for key in ("train_total_loss", "gradient_norm", "eval_total_loss"):
            assert alone[key] == pytest.approx(together[key], rel=1e-5)


def test_05_means_of_means_would_be_another_training(
    model: Path, sequences: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 5 itself, planted in the step: the loss of the same work then depends on how it is cut."""

    def loss_of(micro_tokens: int) -> float:
        engine, source = engine_for(model, sequences(8), micro_tokens)
        work = source.next()
        assert work is not None
        return training_step.train_step(engine, work).loss

    assert loss_of(1) == pytest.approx(loss_of(10_000), rel=1e-5)

    def mean_of_means(piece: Any, totals: Any, units: Any) -> Any:
        return totals["loss"] / piece.objective.units(piece.batch)["loss"] / pieces

    monkeypatch.setattr(training_step, "weighted_loss", mean_of_means)
    pieces = 8
    alone = loss_of(1)
    pieces = 1
    assert abs(alone - loss_of(10_000)) > 1e-2


def test_09_an_adapter_that_gets_no_gradient_stops_the_step(model: Path, sequences: Callable[..., Any]) -> None:
    """Fault 9: another adapter is selected between forward and backward, as PEFT's `set_adapter` does."""
    engine, source = engine_for(model, sequences(8))
    forward = engine.forward

    def switched(work: Any) -> Any:
        for parameter in engine.trained.values():
            parameter.requires_grad_(False)
        output = forward(work)
        for parameter in engine.trained.values():
            parameter.requires_grad_(True)
        totals = {name: total.detach().requires_grad_(True) for name, total in output.totals.items()}
        return output._replace(totals=totals)

    engine.forward = switched  # type: ignore[method-assign]
    work = source.next()
    assert work is not None
    with pytest.raises(GuardError, match="trained tensors got no gradient"):
        training_step.train_step(engine, work)


def test_09_training_that_changed_nothing_is_not_saved(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 9: an optimizer that does nothing; losses are logged, and the adapter would be empty."""
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: None)
    text = refused("tune", files / "labels.csv", "-m", model, *SETTINGS)
    assert "trained tensors are what they were" in text
    assert "they learned nothing. Nothing was saved." in text
    assert not (place / "runs" / "1" / "adapter").exists()
    assert status(place / "runs" / "1") == "failed"


def test_09_training_that_changed_the_base_is_not_saved(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 9: a frozen weight of the base is moved by accident."""
    original = SingleDeviceEngine.update

    def leaking(self: SingleDeviceEngine, clip: float | None) -> Any:
        with torch.no_grad():
            next(p for p in self.model.module.parameters() if not p.requires_grad).add_(0.5)
        return original(self, clip)

    monkeypatch.setattr(SingleDeviceEngine, "update", leaking)
    text = refused("tune", files / "labels.csv", "-m", model, *SETTINGS)
    assert "Training changed 1 tensors that are frozen (first: " in text
    assert not (place / "runs" / "1" / "adapter").exists()


def test_13_a_leak_between_packed_sequences_is_found_at_load(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 13: an attention that sees the row before it; the model takes the layout that cannot leak, and says why."""
    from luthier.models import attention

    honest = load_model(find_model(str(model)), precision="fp32")
    assert honest.packs

    def leaking(pieces: Any, path: Any, dim: int) -> Any:
        return torch.cat(pieces[: path[-1] + 1], dim)

    class SeesAll(attention.Sight):
        def is_causal(self, window: int | None) -> bool:
            return False

        def _allowed(self, window: int | None) -> torch.Tensor:
            return torch.ones(len(self._queries), len(self._keys)).bool()

    monkeypatch.setattr(attention.flash, "along", leaking)
    monkeypatch.setattr(attention, "Sight", SeesAll)
    found = load_model(find_model(str(model)), precision="fp32")
    assert not found.packs
    assert re.search("packed and separate sequences differ by .* nats", found.why_rows)
    assert ReadoutModel(found).layout == "rows"


def test_34_a_weight_that_is_no_number_stops_the_run(files: Path, copied: Path, place: Path) -> None:
    """Fault 34: one NaN in the base."""
    weights = load_file(copied / "model.safetensors")
    next(iter(weights.values())).view(-1)[7] = float("nan")
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    text = refused("tune", files / "labels.csv", "-m", copied, "compare_before=false")
    assert "is not finite" in text
    assert "adapter" not in runs_in(place / "runs" / "1")


def test_31_a_run_that_the_disk_cannot_hold_does_not_begin(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 31: one megabyte is free."""
    usage = type("Usage", (), {"free": 1_000_000})
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda folder: usage)
        text = refused("tune", files / "labels.csv", "-m", model, *SETTINGS)
    assert re.search(r"This run needs up to \d+ MB on disk, and 1 MB are free at runs/1. Free some space", text)
    assert runs_in(place) == []


def test_31_a_disk_that_is_full_at_a_save_leaves_the_last_checkpoint(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 31: no space left while step 4 is saved; the run is not called finished, and goes on later."""
    from luthier.training import checkpoints

    def full(path: Path, pieces: Any) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_synced", full)
        called = luthier("resume", stopped)
    assert called.code == 2
    assert "No space left on device" in called.said
    assert status(stopped) == "failed"
    assert verify(stopped / "checkpoints" / "step-00000003") == ""
    done("resume", stopped)


def test_32_memory_that_does_not_suffice_is_found_before_the_first_step(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 32: the longest row does not fit; every shorter one does, so the run would begin."""
    rows = label_rows()
    rows[3]["text"] += " red" * 90  # in the part to learn from
    write_rows(place / "rows.csv", rows)
    original = SingleDeviceEngine.forward

    def bounded(self: SingleDeviceEngine, work: Any) -> Any:
        if work.batch.tokens > 300:
            raise torch.OutOfMemoryError("out of memory")
        return original(self, work)

    monkeypatch.setattr(SingleDeviceEngine, "forward", bounded)
    text = refused("tune", "rows.csv", "-m", model, *SETTINGS, "compare_before=false")
    assert re.search(
        r"There is not enough memory for the longest micro-batch \(\d+ tokens\): found in the rehearsal", text
    )
    assert not (place / "runs" / "1" / "metrics.jsonl").exists()


def test_32_a_checkpoint_that_would_not_read_back_is_found_before_the_first_step(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 32: what is loaded is not what was saved."""
    original = SingleDeviceEngine.load_state_dict

    def rounding(self: SingleDeviceEngine, state: Any) -> None:
        tensors = {n: t.half().float() if t.is_floating_point() else t for n, t in state["tensors"].items()}
        original(self, dict(state) | {"tensors": tensors})

    monkeypatch.setattr(SingleDeviceEngine, "load_state_dict", rounding)
    text = refused("tune", files / "labels.csv", "-m", model, *SETTINGS, "compare_before=false")
    assert "A checkpoint read back in the rehearsal is not what was written (tensors.safetensors differs)" in text


def test_33_the_plan_comes_first_and_its_error_is_told(tuned: Path) -> None:
    """Fault 33: time, memory and disk are planned before the first step; the report says how wrong that was."""
    plan, measured = manifest(tuned)["plan"], manifest(tuned)["measured"]
    assert plan["iterations"] == 4
    assert plan["seconds"] > 0
    assert plan["memory_bytes"] > 100e6
    assert plan["disk_bytes"] > manifest(tuned)["trained_parameters"] * 48
    wrong = f"({measured['memory_bytes'] / plan['memory_bytes']:.2f} times the plan)"
    assert wrong in (tuned / "report.html").read_text(encoding="utf-8")


def test_34_the_rows_of_a_loss_that_is_no_number_are_named(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 34: the loss of the third step is NaN; the step is not made, and its rows are known."""
    original, calls = training_step.weighted_loss, []

    def poisoned(piece: Any, totals: Any, units: Any) -> Any:
        loss = original(piece, totals, units)
        if torch.is_grad_enabled():
            calls.append(1)
        return loss * float("nan") if len(calls) > 2 and torch.is_grad_enabled() else loss

    monkeypatch.setattr(training_step, "weighted_loss", poisoned)
    text = refused(
        "tune", files / "labels.csv", "-m", model, *SETTINGS, "compare_before=false", "batch.micro_tokens=9999"
    )
    assert "The loss is not finite (nan); stopped before it reached the weights." in text
    found = json.loads((place / "runs" / "1" / "not_finite.json").read_text())
    assert found["step"] == 3
    assert 1 <= len(found["examples"]) <= 8
    assert set(found["examples"]) <= {row["id"] for row in label_rows()[:30]}
    assert f"Step {found['step']}, with rows {found['examples'][0]}" in text
    assert not (place / "runs" / "1" / "adapter").exists()


def test_34_weights_that_are_no_numbers_are_not_saved(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 34: the last update breaks a weight, and no loss comes after it."""
    original = SingleDeviceEngine.update

    def breaking(self: SingleDeviceEngine, clip: float | None) -> Any:
        record = original(self, clip)
        if self.updates == 4:
            with torch.no_grad():
                next(iter(self.trained.values())).view(-1)[0] = float("inf")
        return record

    monkeypatch.setattr(SingleDeviceEngine, "update", breaking)
    settings = (*SETTINGS, "compare_before=false", "training.keep_best=false", "training.validations=0")
    text = refused("tune", files / "labels.csv", "-m", model, *settings)
    assert "trained tensors hold values that are no numbers" in text
    assert not (place / "runs" / "1" / "adapter").exists()


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ("training.learning_rte=1e-3", "Did you mean 'learning_rate'?"),
        ("learning_rate=1e-3", "learning_rate"),
        ("adapter.beta=0.1", "beta"),
    ],
)
def test_37_a_setting_that_nobody_reads_stops_the_run(
    files: Path, model: Path, place: Path, planted: str, said: str
) -> None:
    """Fault 37: misspelt, in the wrong section, of another method."""
    assert said in refused("tune", files / "labels.csv", "-m", model, planted)
    assert runs_in(place) == []


def test_37_what_was_resolved_is_saved(tuned: Path) -> None:
    """Fault 37: the defaults that depend on model and data stand in the recipe."""
    recipe = (tuned / "recipe.yaml").read_text()
    assert "learning_rate: 0.0003" in recipe
    assert "rank: 16" in recipe


def test_41_the_weights_that_are_saved_are_those_of_the_best_validation(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 41: validation gets worse after step 2; the saved adapter is that of step 2, and the run says so."""
    from luthier.stages.tune import shared_training
    from luthier.training.validation import Validation

    kept: dict[int, dict[str, torch.Tensor]] = {}
    losses = iter([3.0, 2.0, 2.5, 2.6])

    def validated(engine: Any, *_: Any) -> Validation:
        kept[engine.updates] = {name: p.detach().clone() for name, p in engine.trained.items()}
        return Validation(next(losses), 0.0, 1)

    monkeypatch.setattr(shared_training, "validate", validated)
    done("tune", files / "labels.csv", "-m", model, *SETTINGS, "--run", "run", "compare_before=false")
    best = manifest(place / "run")["best"]
    assert best == {"by": "eval_total_loss", "part": "choose", "better": "lower", "step": 2, "value": 2.0}
    saved = load_file(place / "run" / "adapter" / "adapter_model.safetensors")
    wanted = {name.replace(".default", "").partition("/")[2]: tensor for name, tensor in kept[2].items()}
    assert len(saved) == len(wanted) > 0
    for name, tensor in wanted.items():
        assert torch.equal(saved[next(key for key in saved if key.endswith(name))], tensor)


def test_41_a_best_checkpoint_that_is_broken_is_not_replaced_by_the_last(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 41: the best checkpoint is damaged before it is taken."""
    from luthier.stages.tune import shared_training
    from luthier.training.checkpoints import Checkpoints
    from luthier.training.validation import Validation

    losses = iter([3.0, 2.0, 2.5, 2.6])
    monkeypatch.setattr(shared_training, "validate", lambda *_: Validation(next(losses), 0.0, 1))
    original = Checkpoints.restore_best

    def damaged(self: Checkpoints, state: Any) -> Any:
        file = self.folder / "step-00000002" / "tensors.safetensors"
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
        return original(self, state)

    monkeypatch.setattr(Checkpoints, "restore_best", damaged)
    text = refused("tune", files / "labels.csv", "-m", model, *SETTINGS, "--run", "run", "compare_before=false")
    assert "step-00000002" in text
    assert not (place / "run" / "adapter").exists()
