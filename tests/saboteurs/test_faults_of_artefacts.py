"""Faults of adapters, checkpoints, weight files and what comes with them, planted, and seen to be stopped."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import (
    SETTINGS,
    done,
    leftovers,
    luthier,
    refused,
    runs_in,
    seal_again,
)
from planting import PACKAGE
from safetensors.torch import load_file, save_file

from luthier.core.record import RunFiles
from luthier.training.checkpoints import verify
from luthier.training.engine.single import SingleDeviceEngine
from luthier.training.state import TrainingState


def test_02_another_chat_template_than_in_training_is_refused(tuned: Path, copied: Path, place: Path) -> None:
    """Fault 2: the base's template is changed after training."""
    run = Path(shutil.copytree(tuned, place / "run"))
    record = run / "adapter" / "luthier.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"base": str(copied)}))
    seal_again(run)
    assert luthier("chat", run, stdin="hello\n").code == 0
    template = copied / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|end|>", "<|end|>\n"))
    assert "was trained with another chat template" in refused("chat", run, stdin="hello\n")


def test_10_an_adapter_of_other_shapes_or_names_is_refused(tuned: Path, place: Path) -> None:
    """Fault 10: tensors renamed (PEFT would load what fits and leave the rest at its random start)."""
    run = Path(shutil.copytree(tuned, place / "run"))
    file = run / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    renamed = {name.replace("layers.0.", "layers.7."): tensor for name, tensor in tensors.items()}
    save_file(renamed, file)
    assert "is broken: adapter_model.safetensors has" in refused("chat", run, stdin="hello\n")
    seal_again(run)
    assert "does not fit" in refused("chat", run, stdin="hello\n")
    config = json.loads((run / "adapter" / "adapter_config.json").read_text())
    (run / "adapter" / "adapter_config.json").write_text(json.dumps(config | {"r": 3}))
    save_file(tensors, file)
    seal_again(run)
    assert "does not fit" in refused("chat", run, stdin="hello\n")


def test_10_a_saved_adapter_that_differs_from_the_trained_one_is_not_called_saved(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults 10 and 36: what is on disk is read back before the run goes on."""
    import peft

    original = peft.PeftModel.save_pretrained

    def rounding(self: Any, folder: Any, **options: Any) -> Any:
        original(self, folder, **options)
        file = Path(folder) / "adapter_model.safetensors"
        save_file({name: tensor.half().float() for name, tensor in load_file(file).items()}, file)

    monkeypatch.setattr(peft.PeftModel, "save_pretrained", rounding)
    text = refused("tune", files / "labels.csv", "-m", model, *SETTINGS)
    assert "is not what was trained" in text
    assert not (place / "runs" / "1" / "adapter").exists()
    assert leftovers(place / "runs" / "1") == []


@pytest.mark.parametrize("planted", ["off", "another scale"])
def test_10_an_adapter_that_is_loaded_and_not_applied_is_refused(
    tuned: Path, place: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    """Fault 10: all files are right, and a library leaves the adapter off, or reckons its scale in another way."""
    from luthier.adapters.lora import AttachedLora

    original = AttachedLora.set_active

    def unlike(self: AttachedLora, on: bool) -> None:
        original(self, on and planted != "off")
        for layer in self._layers:
            layer.scaling[self.name] *= 1.5

    monkeypatch.setattr(AttachedLora, "set_active", unlike)
    text = refused("chat", tuned, stdin="hello\n")
    assert re.search(
        r"a log-probability differs by [\d.e-]+ nats \(allowed 0.01\). Its files were changed, or tra", text
    )


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing", "no manifest"])
def test_30_a_broken_checkpoint_is_skipped_and_said(stopped: Path, tuned: Path, damage: str) -> None:
    """Fault 30: the newest checkpoint is damaged; the one before it is taken, and the end is the same."""
    newest = stopped / "checkpoints" / "step-00000003"
    file = newest / "tensors.safetensors"
    content = bytearray(file.read_bytes())
    if damage == "flipped":
        content[-1] ^= 1
        file.write_bytes(content)
        problem = "the checksum of tensors.safetensors differs"
    elif damage == "cut":
        file.write_bytes(content[:100])
        problem = f"tensors.safetensors has 100 bytes instead of {len(content)}"
    elif damage == "missing":
        file.unlink()
        problem = "tensors.safetensors is missing"
    else:
        (newest / "checkpoint.json").unlink()
        problem = "its manifest is missing or broken"
    called = done("resume", stopped)
    assert f"checkpoint step-00000003 skipped: {problem}" in called.said
    assert "Going on after step 2 of 4." in called.said
    for name in ("adapter/adapter_model.safetensors", "metrics.jsonl", "evaluation/confirm.jsonl"):
        assert (stopped / name).read_bytes() == (tuned / name).read_bytes()


def test_30_a_kill_while_saving_leaves_no_checkpoint_that_looks_whole(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 30: the disk is full at the last file of a checkpoint; its folder never gets its name."""
    from luthier.core import sealed

    original = sealed.write_json

    def full(path: Path, value: Any) -> None:
        if path.name == "checkpoint.json":
            raise OSError(28, "No space left on device", str(path))
        original(path, value)

    with monkeypatch.context() as patch:
        patch.setattr(sealed, "write_json", full)
        text = refused("resume", stopped)
    assert "No space left on device" in text
    assert [p for p in (stopped / "checkpoints").glob("step-*") if verify(p)] == []
    assert leftovers(stopped) == []
    done("resume", stopped)


def test_12_a_checkpoint_of_other_data_or_another_adapter_is_refused(stopped: Path, files: Path, place: Path) -> None:
    """Fault 12: a resume that would be another run is refused, not approximated."""
    before = (stopped / "recipe.yaml").read_text()
    for old, new, answer in (
        ("seed: 0\nprove_on", "seed: 1\nprove_on", "The data, batch size or seed differ from those of the checkpoint"),
        ("rank: 16", "rank: 8", "it is of another adapter"),
    ):
        assert old in before
        (stopped / "recipe.yaml").write_text(before.replace(old, new))
        assert "recipe.yaml is not what the run wrote" in refused("resume", stopped)
        RunFiles(stopped).write("recipe.yaml", before.replace(old, new))  # as if the run had written it
        assert answer in refused("resume", stopped)
    RunFiles(stopped).write("recipe.yaml", before)
    done("resume", stopped)


def test_12_random_numbers_go_on_where_they_were(files: Path, model: Path, place: Path) -> None:
    """Fault 12: with dropout, a state without its random stream would be another training."""
    import signal

    settings = (*SETTINGS, "adapter.dropout=0.3", "training.checkpoint_every=1", "compare_before=false")
    done("tune", files / "labels.csv", "-m", model, "--run", "whole", *settings)
    original = SingleDeviceEngine.update

    def signalled(self: SingleDeviceEngine, clip: float | None) -> Any:
        if self.updates == 1:
            signal.raise_signal(signal.SIGTERM)
        return original(self, clip)

    def forgetful(self: TrainingState, state: Any) -> None:
        torch.manual_seed(99)
        tensors = dict(state["tensors"]) | {"random/torch": torch.get_rng_state()}
        load(self, {"tensors": tensors, "values": state["values"]})

    load = TrainingState.load_state_dict
    adapters = {}
    for run in ("resumed", "forgetful"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SingleDeviceEngine, "update", signalled)
            assert luthier("tune", files / "labels.csv", "-m", model, "--run", run, *settings).code == 130
        with pytest.MonkeyPatch.context() as patch:
            if run == "forgetful":
                patch.setattr(TrainingState, "load_state_dict", forgetful)
            done("resume", run)
        adapters[run] = (place / run / "adapter" / "adapter_model.safetensors").read_bytes()
    assert adapters["resumed"] == (place / "whole" / "adapter" / "adapter_model.safetensors").read_bytes()
    assert adapters["forgetful"] != adapters["resumed"]


def test_47_nothing_that_luthier_writes_is_a_pickle(tuned: Path, stopped: Path) -> None:
    """Fault 47: own artefacts are safetensors and JSON, random state included."""
    written = [p for run in (tuned, stopped) for p in run.rglob("*") if p.is_file() and p.name != ".lock"]
    suffixes = {path.suffix for path in written if path.parent.name != "tensorboard"}
    assert suffixes == {".json", ".jsonl", ".yaml", ".md", ".html", ".safetensors"}
    pickled = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK")
    assert [path for path in written if path.read_bytes()[:2] in pickled] == []


def test_47_no_pickle_is_imported_in_the_package() -> None:
    """Fault 47."""
    sources = sorted(PACKAGE.rglob("*.py"))
    assert len(sources) > 100
    asked = re.compile(r"^\s*(import|from)\s+(pickle|cPickle|dill|joblib|shelve)\b|torch\.load\(", re.MULTILINE)
    assert [str(path) for path in sources if asked.search(path.read_text(encoding="utf-8"))] == []


def test_48_code_that_comes_with_a_model_is_not_run(files: Path, copied: Path, place: Path) -> None:
    """Fault 48: a model folder whose config names its own code; importing it would leave a trace."""
    trace = place / "trace"
    code = f"open({str(trace)!r}, 'w').write('ran')\nfrom transformers import LlamaConfig, LlamaForCausalLM\n"
    (copied / "modeling_own.py").write_text(
        f"{code}class OwnConfig(LlamaConfig):\n    model_type = 'own'\nclass OwnModel(LlamaForCausalLM):\n    pass\n"
    )
    config = json.loads((copied / "config.json").read_text())
    owned = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnModel"}
    (copied / "config.json").write_text(json.dumps(config | {"auto_map": owned, "model_type": "own"}))
    rows = files / "labels.csv"
    for verb in (("tune", rows, "-m", copied), ("chat", copied), ("evaluate", copied, rows)):
        assert refused(*verb).startswith(f"luthier: Cannot read the model in {copied}: ")
        assert not trace.exists()
    # A family that transformers knows is read by transformers' own code, whatever the folder brings.
    (copied / "config.json").write_text(json.dumps(config | {"auto_map": owned}))
    luthier("chat", copied, stdin="hello\n")
    assert not trace.exists()


def test_02_another_tokenizer_than_in_training_is_refused(tuned: Path, copied: Path, place: Path) -> None:
    """Fault 2: the template is the same, but texts become other tokens."""
    run = Path(shutil.copytree(tuned, place / "run"))
    record = run / "adapter" / "luthier.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"base": str(copied)}))
    seal_again(run)
    assert luthier("chat", run, stdin="hello\n").code == 0
    tokenizer = json.loads((copied / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (copied / "tokenizer.json").write_text(json.dumps(tokenizer))
    text = refused("chat", run, stdin="hello\n")
    assert "was trained with another tokenizer: the same texts now become other tokens" in text


def test_11_a_merge_that_changes_answers_writes_nothing(
    tuned: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 11: the base is rounded on the way (as a merge into quantised weights does)."""
    from luthier.adapters.lora import AttachedLora

    original = AttachedLora.merge

    def rounding(self: AttachedLora) -> Any:
        merged = original(self)
        for parameter in merged.parameters():
            parameter.data = (parameter.data * 16).round() / 16
        return merged

    with monkeypatch.context() as patch:
        patch.setattr(AttachedLora, "merge", rounding)
        text = refused("merge", tuned, "--to", place / "merged")
    assert "Merging changed what the model says: largest_logit_difference is" in text
    assert runs_in(place) == []
    done("merge", tuned, "--to", place / "merged")
    card = json.loads((place / "merged" / "merge.json").read_text())
    assert card["largest_logit_difference"] < 1e-3
    assert card["mean_kl_nats"] < 1e-6
    assert card["same_top_token"] == 1.0
    assert card["positions"] > 200


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "is a Git-LFS pointer of 63 bytes"),
        (b"<!DOCTYPE html><html>404</html>", "is an HTML page of 31 bytes, not weights"),
        (b"", "is broken (0 bytes): probably a partial download"),
        (b"\x80\x02}q\x00.", "is broken (6 bytes)"),
    ],
)
def test_45_a_broken_file_is_named_with_its_likely_cause(
    files: Path, copied: Path, place: Path, content: bytes, said: str
) -> None:
    """Fault 45: what lies in place of the weights."""
    (copied / "model.safetensors").write_bytes(content)
    text = refused("tune", files / "labels.csv", "-m", copied)
    assert said in text
    assert "model.safetensors" in text
    assert runs_in(place) == ["copy"]
