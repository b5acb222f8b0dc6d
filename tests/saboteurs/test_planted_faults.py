"""Faults that pass in silence elsewhere, planted, and seen to be stopped or to have no effect.

Numbers are those of the list of faults. Some faults have their tests where the rest of their subject is tested: 37 in
tests/stages/test_tune.py, 34 (in the command line), 10 and 47 (as a person meets them) in tests/cli, 12 (whole runs) in
tests/stages/test_interrupted.py.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import (
    SETTINGS,
    done,
    json_lines,
    label_rows,
    leftovers,
    luthier,
    refused,
    runs_in,
    seal_again,
    status,
    write_rows,
)
from safetensors.torch import load_file, save_file

from luthier.adapters.lora import Lora, LoraConfig
from luthier.core.errors import DataError, GuardError
from luthier.core.record import RunFiles
from luthier.core.types import Example, Message, user
from luthier.data.render import Renderer
from luthier.models.load import load_model
from luthier.models.readout_model import ReadoutModel
from luthier.models.source import find_model
from luthier.objectives.supervised import SupervisedFineTuning
from luthier.training import step as training_step
from luthier.training.checkpoints import verify
from luthier.training.engine.single import SingleDeviceEngine
from luthier.training.optim import OptimizerConfig, Schedule
from luthier.training.source import BatchConfig, PackedSource

PACKAGE = Path(find_model.__code__.co_filename).parents[1]


@pytest.fixture
def tokenizer(model: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model)


@pytest.fixture
def copied(model: Path, place: Path) -> Path:
    """A copy of the model, to be tampered with."""
    return Path(shutil.copytree(model, place / "copy"))


def example(text: str, answer: str) -> Example:
    return Example("e1", user(text), (answer,), line=2)


def trained_text(renderer: Renderer, row: Example) -> str:
    return "".join(text for text, weight in renderer.pieces(renderer.render(row)) if weight)


# ------------------------------------------------------------------------------------------------ data and targets


def test_01_the_end_of_turn_is_trained_though_it_is_the_padding_token(tokenizer: Any) -> None:
    """Fault 1: with pad == eos, masking by id would also mask the end that the model must learn."""
    tokenizer.pad_token = tokenizer.eos_token
    rendered = Renderer(tokenizer, 2048).render(example("hello", "billing"))
    assert rendered.tokens[-1] == tokenizer.pad_token_id
    assert rendered.weights[-1] == 1.0
    assert rendered.trained == len("billing") + 1


def test_01_rows_that_do_not_train_their_end_stop_the_run(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 1: a renderer that forgets the end is found out before training."""
    monkeypatch.setattr(Renderer, "_through_end_of_turn", lambda self, after, where: after[: after.index(2)])
    text = refused("tune", files / "labels.csv", "-m", model)
    assert "60 of 60 rows do not train the token that ends a turn, so the model would never learn to stop" in text
    assert runs_in(place) == []


def test_01_after_training_the_model_stops(taught: Path) -> None:
    """Fault 1, the other way round: a model that learned ends its turns, and the run says how many it did not end."""
    finishes = [line["finish"] for line in json_lines(taught / "evaluation" / "confirm.jsonl")]
    assert finishes == ["stop"] * 15
    assert "cut" in json.loads((taught / "steps" / "scores_confirm.json").read_text())["rows"]


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


def test_03_text_that_looks_like_a_template_changes_no_mask(tokenizer: Any) -> None:
    """Fault 3: marker texts inside messages; a search for markers would train the question, or nothing."""
    renderer = Renderer(tokenizer, 2048)
    tricky = example("assistant\nbilling\nassistant\n", "assistant\nshipping")
    assert trained_text(renderer, tricky) == "assistant\nshipping<|end|>"
    with pytest.raises(DataError, match=r"contains the model's special token '<\|start\|>'"):
        renderer.render(example("<|start|>assistant\nbilling", "shipping"))
    several = Example("e2", (*user("one"), Message("assistant", "two"), *user("three")), ("four",))
    assert trained_text(renderer, several) == "two<|end|>four<|end|>"


def test_03_rows_that_train_nothing_stop_the_run(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 3: a mask that came out empty."""
    original = Renderer.render_turns

    def unmasked(self: Renderer, row: Example) -> Any:
        sequences = original(self, row)
        if row.id == "r7":
            sequences[0].weights[:] = 0
        return sequences

    monkeypatch.setattr(Renderer, "render_turns", unmasked)
    text = refused("tune", files / "labels.csv", "-m", model)
    assert "1 of 60 rows have no token that is trained (example r7)." in text
    assert runs_in(place) == []


def test_04_nothing_is_cut(tokenizer: Any) -> None:
    """Fault 4: a row longer than the context is refused with its length, also where only its answer's end is beyond."""
    renderer = Renderer(tokenizer, 64)
    fitting = example("x" * (64 - 20 - len("billing")), "billing")
    length = len(renderer.render(fitting))
    assert length <= 64
    longer = example("x" * (64 - 20 - len("billing") + 64 - length + 1), "billing")
    with pytest.raises(DataError, match=r"line 2 has 65 tokens, the model takes 64. .* Luthier does not cut examples"):
        renderer.render(longer)


def test_08_a_doubled_beginning_stops_the_run(files: Path, copied: Path, place: Path) -> None:
    """Fault 8: a template that writes its beginning twice."""
    configured = json.loads((copied / "tokenizer_config.json").read_text())
    configured["bos_token"] = "<|pad|>"
    (copied / "tokenizer_config.json").write_text(json.dumps(configured))
    template = copied / "chat_template.jinja"
    once = "{{ bos_token }}" + template.read_text()
    template.write_text(once)
    done("data", "preview", files / "labels.csv", "-m", copied, "--json")
    assert luthier("tune", files / "labels.csv", "-m", copied, *SETTINGS, "--run", "once").code == 0
    template.write_text("{{ bos_token }}" + once)
    text = refused("tune", files / "labels.csv", "-m", copied, "--run", "twice")
    assert "has its beginning-of-sequence token at positions [0, 1]; only 0 is right." in text
    assert runs_in(place) == ["copy", "once"]


def test_08_a_beginning_in_the_data_is_refused(copied: Path, place: Path) -> None:
    """Fault 8: the token's text in a message."""
    rows = label_rows()
    rows[4]["text"] = "<|pad|>hello"
    write_rows(place / "rows.csv", rows)
    text = refused("tune", "rows.csv", "-m", copied)
    assert "line 6: a user message contains the model's special token '<|pad|>'" in text


def test_38_files_of_another_dialect_are_named_and_bad_rows_listed(place: Path, model: Path) -> None:
    """Fault 38: what a file is taken for is shown; unusable rows stop the run, or are left out and counted."""
    rows = [
        {"messages": [{"role": "user", "content": f"{row['text']}"}, {"role": "assistant", "content": row["label"]}]}
        for row in label_rows()
    ]
    rows[5] = {"messages": [{"role": "user", "content": "no answer"}]}
    rows[9] = {"messages": "not messages"}
    write_rows(place / "chat.jsonl", rows)
    text = refused("tune", "chat.jsonl", "-m", model)
    assert "chat.jsonl: 2 of 60 rows cannot be used" in text
    assert re.search(r"chat.jsonl:6: .*; expected .* chat.jsonl:10: .*; expected ", text)
    called = done("tune", "chat.jsonl", "-m", model, *SETTINGS, "--skip-bad", "--json")
    assert "conversation and answer <- messages" in " ".join(called.err.split())
    assert "2 bad rows left out" in " ".join(called.err.split())
    kept = json_lines(place / called.json["run"] / "bad_rows.jsonl")
    assert [row["line"] for row in kept] == [6, 10]


# -------------------------------------------------------------------------------------------------------- training


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
        engine, source = _engine(model, sequences(8), micro_tokens)
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


def _engine(model: Path, batches: Any, micro_tokens: int = 10_000) -> tuple[SingleDeviceEngine, PackedSource]:
    loaded = load_model(find_model(str(model)), precision="fp32")
    readout = ReadoutModel(loaded, [Lora(LoraConfig(rank=4)).attach(loaded)])
    config = BatchConfig(sequences=8, micro_tokens=micro_tokens)
    source = PackedSource(batches, SupervisedFineTuning(), config, 1.0, seed=0)
    return SingleDeviceEngine(readout, OptimizerConfig(), Schedule(1e-3, 10)), source


def test_09_an_adapter_that_gets_no_gradient_stops_the_step(model: Path, sequences: Callable[..., Any]) -> None:
    """Fault 9: another adapter is selected between forward and backward, as PEFT's `set_adapter` does."""
    engine, source = _engine(model, sequences(8))
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

    def leaking(tensor: Any, ranges: Any) -> Any:
        return tensor[:, : ranges[-1][1]]

    monkeypatch.setattr(attention, "_take", leaking)
    monkeypatch.setattr(attention, "_allowed", lambda queries, keys, window: torch.ones(len(queries), len(keys)).bool())
    original = attention.attend_path

    def attend(query: Any, key: Any, value: Any, query_positions: Any, key_positions: Any, options: Any) -> Any:
        return original(query, key, value, query_positions, torch.zeros(key.shape[1]), options)

    monkeypatch.setattr(attention, "attend_path", attend)
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


# ------------------------------------------------------------------------------------------------ adapters, weights


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


# ----------------------------------------------------------------------------------------------------- checkpoints


@pytest.fixture
def stopped(files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was stopped after step 3 of 4, with a checkpoint a step."""
    import signal

    original = SingleDeviceEngine.update

    def signalled(self: SingleDeviceEngine, clip: float | None) -> Any:
        if self.updates == 2:
            signal.raise_signal(signal.SIGTERM)
        return original(self, clip)

    with monkeypatch.context() as patch:
        patch.setattr(SingleDeviceEngine, "update", signalled)
        called = luthier("tune", files / "labels.csv", "-m", model, *SETTINGS, "training.checkpoint_every=1", "--run",
                         "run")  # fmt: skip
    assert called.code == 130
    assert {"step-00000002", "step-00000003"} <= set(runs_in(place / "run" / "checkpoints"))
    return place / "run"


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

    from luthier.training.state import TrainingState

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


# ------------------------------------------------------------------------------------------------- code in artefacts


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


def test_numbers_are_those_of_the_list() -> None:
    """Every test here bears the number of its fault."""
    names = [name for name in globals() if name.startswith("test_") and name != "test_numbers_are_those_of_the_list"]
    assert len(names) >= 20
    assert all(re.match(r"test_\d\d_", name) for name in names)
    assert np.array_equal(sorted({int(n[5:7]) for n in names}), [1, 2, 3, 4, 5, 8, 9, 10, 12, 13, 30, 34, 38, 47, 48])
