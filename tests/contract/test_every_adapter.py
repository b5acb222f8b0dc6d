"""Every adapter method on families of three kinds (packing, Conv1D, not packing): what all of them promise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from luthier.adapters import ADAPTERS
from luthier.core.errors import CompatibilityError, ConfigError, GuardError, RunError
from luthier.core.files import read_json
from luthier.generation.local import open_adapter
from luthier.generation.merging import merge_adapter
from luthier.models.load import load_model
from luthier.models.readout_model import ReadoutModel, Work
from luthier.models.readouts import TokenLogps
from luthier.models.source import find_model
from luthier.objectives.supervised import SupervisedFineTuning
from luthier.segments import Batch, join
from luthier.training.engine.single import SingleDeviceEngine
from luthier.training.optim import OptimizerConfig, Schedule
from luthier.training.step import train_step

FAMILIES = ("llama", "llama_untied", "gemma2", "gpt2", "bloom")
MERGE_TOLERANCE = 2e-6
"""Relative, in fp32: merging rounds each weight once."""

methods = pytest.mark.parametrize("method", ADAPTERS)
families = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture
def batch(sequences: Callable[..., Any]) -> Batch:
    return join(sequences(4, seed=11))


def attach(model: Any, method: str, **settings: Any) -> tuple[ReadoutModel, Any]:
    entry = ADAPTERS.get(method)
    attached = entry(entry.Config(**settings)).attach(model)
    return ReadoutModel(model, [attached]), attached


def train(readout: ReadoutModel, batch: Batch, steps: int = 2, rate: float = 1e-2) -> list[float]:
    engine = SingleDeviceEngine(readout, OptimizerConfig(), Schedule(rate, steps, shape="constant"))
    readout.train()
    losses = [train_step(engine, [Work(SupervisedFineTuning(), batch)]).loss for _ in range(steps)]
    readout.eval()
    return losses


def logps(readout: ReadoutModel, batch: Batch, adapter: str | None = "default") -> Tensor:
    return readout.read(batch, [TokenLogps()], adapter)["logps"]


def plain_logits(module: Any, model: Any, batch: Batch) -> Tensor:
    """Logits of the transformers model as anybody would call it."""
    with torch.no_grad(), model.attention(model.ordinary_attention):
        return torch.cat(
            [module(input_ids=torch.from_numpy(s.tokens)[None], use_cache=False).logits[0] for s in batch.segments]
        )


def reopened(folder: Path, base: Path, family_is_adapter: bool) -> ReadoutModel:
    """Open what was saved as the next command would: from its folder alone."""
    model = load_model(find_model(str(folder)), precision="fp32")
    if not family_is_adapter:
        return ReadoutModel(model)
    assert find_model(str(folder)).folder == base
    return ReadoutModel(model, [open_adapter(folder, model)])


@families
@methods
def test_attached_and_untrained_it_changes_nothing_and_off_it_never_does(
    tiny: Callable[..., Any], batch: Batch, family: str, method: str
) -> None:
    model = tiny(family)
    base = logps(ReadoutModel(model), batch, None)
    readout, _ = attach(model, method)
    assert torch.equal(logps(readout, batch, None), base)
    assert torch.allclose(logps(readout, batch), base, atol=1e-5)
    train(readout, batch)
    assert not torch.allclose(logps(readout, batch), base, atol=1e-3)
    if method == "full":
        with pytest.raises(GuardError, match="load it again"):
            logps(readout, batch, None)
        assert not torch.equal(logps(readout, batch), base)  # and goes on after the refusal
    else:
        assert torch.equal(logps(readout, batch, None), base)


@families
@methods
def test_it_trains_every_tensor_of_its_own_and_no_other(
    tiny: Callable[..., Any], batch: Batch, family: str, method: str
) -> None:
    readout, attached = attach(tiny(family), method)
    own = attached.parameters()
    before = {n: p.detach().clone() for n, p in readout.module.named_parameters()}
    losses = train(readout, batch, steps=3)
    changed = {n for n, p in readout.module.named_parameters() if not torch.equal(p, before[n])}
    assert changed == set(own)
    assert losses[-1] < losses[0]


@families
@methods
def test_saved_and_opened_again_it_reads_the_same(
    tiny: Callable[..., Any], tiny_folder: Callable[..., Path], batch: Batch, tmp_path: Path, family: str, method: str
) -> None:
    readout, attached = attach(tiny(family), method)
    train(readout, batch)
    trained = logps(readout, batch)
    attached.save(tmp_path / "saved")
    again = reopened(tmp_path / "saved", tiny_folder(family), family_is_adapter=method != "full")
    assert torch.equal(logps(again, batch, "default" if again.adapters else None), trained)
    if method != "full":
        assert torch.equal(logps(again, batch, None), logps(readout, batch, None))


@families
@methods
def test_merged_equals_unmerged(tiny: Callable[..., Any], batch: Batch, family: str, method: str) -> None:
    model = tiny(family)
    readout, attached = attach(model, method)
    train(readout, batch)
    unmerged = logps(readout, batch)
    attached.set_active(True)
    called = plain_logits(model.module, model, batch)
    merged = attached.merge()
    assert not any("lora" in name for name, _ in merged.named_parameters())
    again = logps(ReadoutModel(model), batch, None)
    assert (again - unmerged).norm() / unmerged.norm() <= MERGE_TOLERANCE
    plain = plain_logits(merged, model, batch)
    assert (plain - called).norm() / called.norm() <= MERGE_TOLERANCE


@methods
def test_a_saved_folder_names_base_and_template(tiny: Callable[..., Any], tmp_path: Path, method: str) -> None:
    model = tiny()
    _, attached = attach(model, method)
    attached.save(tmp_path / "saved")
    names = {path.name for path in (tmp_path / "saved").iterdir()}
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in names)
    if method == "full":
        assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= names
    else:
        assert names == {"adapter_config.json", "adapter_model.safetensors", "luthier.json"}
        record = read_json(tmp_path / "saved" / "luthier.json")
        assert record["base_digest"] == model.digest
        assert record["template_digest"] == model.template_digest
        targets = read_json(tmp_path / "saved" / "adapter_config.json")["target_modules"]
        assert targets == sorted(targets)  # the same bytes in every process


def test_lora_saves_under_any_name(tiny: Callable[..., Any], batch: Batch, tmp_path: Path) -> None:
    model = tiny()
    first, second = (ADAPTERS.get("lora")().attach(model, name, seed=seed) for seed, name in enumerate(("one", "two")))
    readout = ReadoutModel(model, [first, second])
    for adapter in (first, second):
        for parameter in adapter.parameters().values():
            torch.nn.init.normal_(parameter, std=0.1)
    read = {name: logps(readout, batch, name) for name in ("one", "two", None)}
    assert not torch.allclose(read["one"], read["two"], atol=1e-2)
    for adapter in (first, second):
        adapter.save(tmp_path / adapter.name)
        fresh = tiny()
        again = ReadoutModel(fresh, [open_adapter(tmp_path / adapter.name, fresh)])
        assert torch.equal(logps(again, batch), read[adapter.name])
        assert torch.equal(logps(again, batch, None), read[None])


@pytest.mark.parametrize("family", ["llama", "llama_untied", "bloom"])
def test_lora_on_the_output_layer_takes_part(
    tiny: Callable[..., Any], batch: Batch, tmp_path: Path, family: str
) -> None:
    model = tiny(family)
    base = logps(ReadoutModel(model), batch, None)
    readout, attached = attach(model, "lora", target_modules=["lm_head"], rank=4)
    assert len(attached.parameters()) == 2
    train(readout, batch)
    trained = logps(readout, batch)
    assert not torch.allclose(trained, base, atol=1e-3)
    assert torch.equal(logps(readout, batch, None), base)
    attached.save(tmp_path / "saved")
    fresh = tiny(family)
    again = ReadoutModel(fresh, [open_adapter(tmp_path / "saved", fresh)])
    assert torch.equal(logps(again, batch), trained)
    if model.facts.tied:  # the update would go into the embedding as well: another model
        with pytest.raises(GuardError, match="Nothing was written"):
            merge_adapter(tmp_path / "saved", tmp_path / "merged")
        assert not (tmp_path / "merged").exists()
        return
    merged = attached.merge()
    assert model.output.linear is merged.get_output_embeddings()
    again = ReadoutModel(model)
    assert (logps(again, batch, None) - trained).norm() / trained.norm() <= MERGE_TOLERANCE


def test_merging_writes_a_plain_model_and_measures_itself(
    tiny: Callable[..., Any], batch: Batch, tmp_path: Path
) -> None:
    readout, attached = attach(tiny(), "lora")
    train(readout, batch)
    attached.save(tmp_path / "saved")
    assert merge_adapter(tmp_path / "saved", tmp_path / "merged") == tmp_path / "merged"
    measured = read_json(tmp_path / "merged" / "merge.json")
    assert measured["same_top_token"] == 1.0
    assert measured["largest_logit_difference"] < 1e-4
    plain = ReadoutModel(load_model(find_model(str(tmp_path / "merged")), precision="fp32"))
    wanted = logps(readout, batch)
    assert (logps(plain, batch, None) - wanted).norm() / wanted.norm() <= MERGE_TOLERANCE
    with pytest.raises(RunError, match="already exists"):
        merge_adapter(tmp_path / "saved", tmp_path / "merged")


def test_lora_weights_are_fp32_on_a_bf16_base(tiny: Callable[..., Any]) -> None:
    model = tiny()
    model.module.to(torch.bfloat16)
    _, attached = attach(model, "lora")
    assert {p.dtype for p in attached.parameters().values()} == {torch.float32}


def test_lora_starts_from_its_seed_and_leaves_the_random_state_alone(tiny: Callable[..., Any]) -> None:
    state = torch.get_rng_state()
    weights = []
    for seed in (1, 1, 2):
        attached = ADAPTERS.get("lora")().attach(tiny(), seed=seed)
        weights.append(torch.cat([p.flatten() for p in attached.parameters().values()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_an_adapter_is_refused_on_another_base(tiny: Callable[..., Any], batch: Batch, tmp_path: Path) -> None:
    _, attached = attach(tiny("llama"), "lora")
    attached.save(tmp_path / "saved")
    with pytest.raises(GuardError, match="trained on a base with digest"):
        open_adapter(tmp_path / "saved", tiny("llama_untied"))
    other = tiny("llama")
    other.tokenizer.chat_template = "{{ messages }}"
    with pytest.raises(GuardError, match="another chat template"):
        open_adapter(tmp_path / "saved", other)


@pytest.mark.parametrize("damage", ["missing", "surplus", "shape", "family"])
def test_an_adapter_that_does_not_fit_is_refused(tiny: Callable[..., Any], tmp_path: Path, damage: str) -> None:
    _, attached = attach(tiny(), "lora", rank=4)
    attached.save(tmp_path)
    (tmp_path / "luthier.json").unlink()  # as PEFT alone saves it: nothing but the tensors to go by
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    name = next(iter(tensors))
    if damage == "missing":
        del tensors[name]
    elif damage == "surplus":
        tensors[name.replace("layers.0", "layers.9")] = tensors[name].clone()
    elif damage == "shape":
        tensors[name] = tensors[name][:2].clone()
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    with pytest.raises(CompatibilityError, match="made for another base"):
        open_adapter(tmp_path, tiny("gpt2" if damage == "family" else "llama"))


def test_settings_that_peft_or_the_model_does_not_know_are_named(tiny: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="PEFT's LoraConfig refuses"):
        attach(tiny(), "lora", peft={"use_dorra": True})
    with pytest.raises(CompatibilityError, match=r"fits no layer .* Linear layers: down_proj, gate_proj, k_proj"):
        attach(tiny(), "lora", target_modules=["query"])
    with pytest.raises(ConfigError, match=r"rang: unknown key.*Did you mean 'rank'\?"):
        ADAPTERS.get("lora").Config.parse({"rang": 8}, "adapter")
    readout, _ = attach(tiny(), "lora", peft={"use_rslora": True}, rank=4, alpha=8)
    layer = readout.module.model.layers[0].self_attn.q_proj
    assert layer.scaling["default"] == pytest.approx(8 / 4**0.5)
