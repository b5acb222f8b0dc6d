"""Damaged files are refused by name, or made again; none is taken for whole."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from command_line import done, refused
from corruption import KINDS, Outcome, corruptions, damage, gather, outcome_of, targets

from luthier.core import record, replacing, sealed
from luthier.core.errors import ModelError, RunError
from luthier.core.files import write_json
from luthier.core.run import RunDirectory
from luthier.models import source, weights
from luthier.models.load import load_model
from luthier.models.source import find_model
from luthier.models.weights import weights_digest
from luthier.stages.material import DataConfig
from luthier.training import checkpoints


@pytest.fixture(scope="module")
def gathered(tuned: Path, files: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gathered")
    settings = ("adapter.method=full", "training.epochs=1", "compare_before=false", "batch.sequences=16")
    done("tune", files / "labels.csv", "-m", model, "--run", folder / "made", *settings)
    return gather(folder, tuned, folder / "made")


def test_what_is_damaged_is_refused_by_name_or_made_again(gathered: Path) -> None:
    """A seeded sample; benchmarks/crash_safety tries a thousand."""
    tried = corruptions(gathered, 84, seed=1)
    bad = [c for c in tried if c.outcome.outcome not in ("refused", "made again")]
    assert bad == []
    assert Counter(c.kind for c in tried).keys() == set(KINDS)
    assert len({c.target for c in tried}) >= 20
    again = [c for c in tried if c.outcome.outcome == "made again"]
    assert {c.kind for c in again} <= {"missing"}


def test_whole_files_are_read(gathered: Path) -> None:
    """Nothing is refused that was not damaged."""
    found = targets(gathered)
    assert len(found) >= 25
    for target in found:
        target.read(gathered)


def _flip(gathered: Path, name: str) -> Outcome:
    (target,) = [target for target in targets(gathered) if target.name == name]
    return outcome_of(target, gathered, "bit flip", b"", random.Random(3))


@pytest.mark.parametrize(
    ("name", "module", "protection", "instead"),
    [
        ("run/adapter/adapter_model.safetensors", source, "require_sealed", lambda *_, **__: None),
        ("full/model/model.safetensors", source, "require_sealed", lambda *_, **__: None),
        ("checkpoints/step-00000010/tensors.safetensors", checkpoints, "problem_of", lambda *_: ""),
        ("run/evaluation/confirm.jsonl", record.RunFiles, "_entries", lambda *_: None),
        ("run/metrics.jsonl", record.RunFiles, "_entries", lambda *_: None),
        ("run/steps/scores_confirm.json", record.RunFiles, "_entries", lambda *_: None),
        ("spent/spent.json", record.RunFiles, "_entries", lambda *_: None),
    ],
)
def test_without_its_protection_a_flipped_bit_is_loaded(
    gathered: Path, name: str, module: Any, protection: str, instead: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative controls: a flip in the middle of a value goes unseen, or ends in an error that names nothing."""
    assert _flip(gathered, name).outcome == "refused"
    monkeypatch.setattr(module, protection, instead)
    target = next(target for target in targets(gathered) if target.name == name)
    # Most flips in JSON break its syntax, or the name of a field, and are refused all the same: five of six in answers.
    flips = (outcome_of(target, gathered, "bit flip", b"", random.Random(seed)) for seed in range(100))
    assert any(flip.outcome != "refused" for flip in flips)


def test_a_flipped_note_of_the_best_checkpoint_does_not_delete_it(gathered: Path, tmp_path: Path) -> None:
    from scenarios import save

    from luthier.core.errors import GuardError

    shutil.copytree(gathered / "checkpoints", tmp_path / "checkpoints")
    note = tmp_path / "checkpoints" / "best.json"
    note.write_text(note.read_text().replace("00000005", "00000007"))
    with pytest.raises(GuardError, match=r"best\.json is broken, so nobody knows .* not as it was written"):
        save(tmp_path, 15)
    assert (tmp_path / "checkpoints" / "step-00000005").is_dir()
    note.write_bytes((tmp_path / "checkpoints" / "step-00000010" / "checkpoint.json").read_bytes())
    with pytest.raises(GuardError, match=r"best\.json holds something else"):
        save(tmp_path, 20)


# ----------------------------------------------------------------------------------------------- texts and causes


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("LFS pointer", "it is a Git-LFS pointer (git lfs pull fetches the file)"),
        ("HTML page", "it is an HTML page, as of a download that failed"),
        ("emptied", "it is empty, probably a copy that was interrupted"),
        ("truncation", "bytes instead of"),
        ("bit flip", "the checksum of adapter_model.safetensors differs (SHA-256"),
    ],
)
def test_the_refusal_says_what_it_looks_like(tuned: Path, place: Path, kind: Any, cause: str) -> None:
    shutil.copytree(tuned, place / "run")
    damage(place / "run" / "adapter" / "adapter_model.safetensors", kind, b"", random.Random(0))
    text = refused("chat", "run", stdin="hello\n")
    assert text.startswith("luthier: run/adapter is broken: ")
    assert "adapter_model.safetensors" in text
    assert cause in text
    assert text.endswith("nothing of it was used. Put it back from a copy, or make it again.")


def test_an_adapter_of_another_run_is_not_taken(tuned: Path, place: Path) -> None:
    """A folder that is whole, and another's: its seal is right, but it is not the run's own."""
    shutil.copytree(tuned, place / "run")
    other = place / "run" / "adapter"
    settings = json.loads((other / "adapter_config.json").read_text()) | {"lora_alpha": 99}
    (other / "adapter_config.json").write_text(json.dumps(settings))
    sealed.seal(other)
    text = refused("chat", "run", stdin="hello\n")
    assert "run/adapter/checksums.json is not what the run wrote" in text
    (other / "checksums.json").unlink()
    assert "run/adapter/checksums.json is missing" in refused("chat", "run", stdin="hello\n")


def test_an_adapter_made_elsewhere_needs_no_seal(tuned: Path, place: Path) -> None:
    shutil.copytree(tuned / "adapter", place / "mine")
    (place / "mine" / "checksums.json").unlink()
    assert find_model("mine").adapter == Path("mine")
    damage(place / "mine" / "adapter_model.safetensors", "LFS pointer", b"", random.Random(0))
    with pytest.raises(ModelError, match="is a Git-LFS pointer"):
        find_model("mine")


def test_a_merged_model_is_looked_at(tuned: Path, place: Path) -> None:
    shutil.copytree(tuned, place / "run")
    done("merge", "run", "--to", "merged")
    assert find_model("merged").folder == Path("merged")
    damage(place / "merged" / "model.safetensors", "bit flip", b"", random.Random(0))
    with pytest.raises(ModelError, match=r"^merged is broken: the checksum of model\.safetensors differs"):
        load_model(find_model("merged"), precision="fp32", check=False)


def test_a_built_in_model_is_what_its_manifest_says(model: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(model, place / "copy"))
    files = {p.name: {"bytes": p.stat().st_size, "sha256": weights.sha256_file(p)} for p in folder.iterdir()}
    write_json(folder / "manifest.json", {"conversion": 1, "files": files})
    load_model(find_model("copy"), precision="fp32", check=False)
    whole = weights_digest(folder)
    damage(folder / "model.safetensors", "bit flip", b"", random.Random(4))
    with pytest.raises(ModelError, match=r"copy/model\.safetensors is broken: SHA-256 .* the model is fetched again"):
        load_model(find_model("copy"), precision="fp32", check=False)
    monkeypatch.setattr("luthier.models.load.require_known", lambda folder: None)
    assert load_model(find_model("copy"), precision="fp32", check=False).digest != whole


# ------------------------------------------------------------------------------------------------------------- runs


def test_a_recipe_that_was_edited_is_refused(place: Path) -> None:
    run = RunDirectory.create(place / "run", "tune", DataConfig(path="rows.csv"))
    file = run.path / "recipe.yaml"
    file.write_text(file.read_text().replace("rows.csv", "other.csv"))
    text = refused("resume", "run")
    assert text.startswith("luthier: run/recipe.yaml is not what the run wrote: it has ")
    assert text.endswith("For other settings make a new run from it: luthier tune run/recipe.yaml.")


def test_a_step_that_is_damaged_is_made_again_once_it_is_deleted(place: Path) -> None:
    run = RunDirectory.create(place / "run", "tune", DataConfig(path="rows.csv"))
    file = run.path / "steps" / "plan.json"
    run.once("plan", lambda: [1, 2, 3])
    file.write_text("[1, 2, 4]\n")
    with pytest.raises(RunError, match=r"plan\.json is not .* or delete it, and luthier resume .* makes it again"):
        run.once("plan", lambda: [0])
    file.unlink()
    assert run.once("plan", lambda: [0]) == [0]
    assert run.once("plan", lambda: [5]) == [0]


def test_what_a_crash_left_behind_the_recorded_lines_is_made_again(place: Path) -> None:
    run = RunDirectory.create(place / "run", "tune", DataConfig(path="rows.csv"))
    run.files.append("evaluation/confirm.jsonl", [{"n": 1}])
    with open(run.path / "evaluation" / "confirm.jsonl", "a") as file:
        file.write('{"n": 2}\n{"n"')
    assert run.files.lines("evaluation/confirm.jsonl") == [{"n": 1}, {"n": 2}]  # for those who look on
    assert run.files.recorded_lines("evaluation/confirm.jsonl") == [{"n": 1}]
    run.files.append("evaluation/confirm.jsonl", [{"n": 3}])
    assert run.files.lines("evaluation/confirm.jsonl") == [{"n": 1}, {"n": 3}]


def test_logs_that_were_lost_are_not_gone_on_without(place: Path) -> None:
    run = RunDirectory.create(place / "run", "tune", DataConfig(path="rows.csv"))
    run.log({"step": 1}, {"step": 1})
    run.record_logs()
    (run.path / "metrics.jsonl").unlink()
    run.forget_after(0)
    with pytest.raises(RunError, match=r"metrics\.jsonl is missing\. Put the file back"):
        run.forget_after(1)


def test_a_run_of_an_earlier_version_has_no_record_and_is_read(place: Path) -> None:
    run = RunDirectory.create(place / "run", "tune", DataConfig(path="rows.csv"))
    (run.path / "checksums.jsonl").unlink()
    with pytest.raises(RunError, match=r"checksums\.jsonl is missing\. Put the file back"):
        assert run.status
    manifest = json.loads((run.path / "manifest.json").read_text())
    del manifest["record"]
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    assert run.status == "running"
    run.update(status="paused")
    assert run.once("plan", lambda: 1) == 1
    assert not (run.path / "checksums.jsonl").exists()


def test_a_run_that_was_killed_while_it_was_made_stands_in_nobodys_way(place: Path) -> None:
    (place / "run" / "steps").mkdir(parents=True)
    (place / "run" / "checksums.jsonl").write_text("")
    (place / "run" / ".recipe.yaml.7.part").write_text("half")
    assert RunDirectory.create(place / "run", "tune", DataConfig(path="x")).status == "running"
    (place / "other").mkdir()
    (place / "other" / "recipe.yaml").write_text("mine")
    with pytest.raises(RunError, match="is not a run directory"):
        RunDirectory.create(place / "other", "tune", DataConfig(path="x"))
    assert replacing.made_something(RunDirectory(place / "run")) is False
