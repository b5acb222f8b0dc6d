"""Generation's own forward against the models': every family, with an adapter and without; and what is unknown."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from luthier.adapters import ADAPTERS
from luthier.core.types import Decoding, Message, Request
from luthier.data.render import Renderer
from luthier.generation.engine import BatchEngine
from luthier.generation.lean import NotDescribedError, open_decoder
from luthier.generation.lean import opening as opening_module
from luthier.generation.local import LocalModel
from luthier.generation.readers import ModelReader
from luthier.generation.sequences import Turns
from luthier.models.attention import PackedAttention
from luthier.models.load import load_model, probe_batch
from luthier.models.readout_model import ReadoutModel
from luthier.models.source import find_model
from luthier.segments import PackedLayout
from luthier.testing import FAMILIES, tiny_model

DESCRIBED = sorted(set(FAMILIES) - {"cohere", "bloom"})
PROMPTS = [[5, 9, 31, 77, 12, 40, 3, 250], [8, 8, 100], [5, 9, 31, 77, 12, 200]]
TURNS = Turns(frozenset({2}), lambda ids: "")


def with_adapter(model: Any) -> ReadoutModel:
    """A model with a LoRA that changes every linear layer, and the one without it."""
    attached = ADAPTERS.get("lora")().attach(model)
    generator = torch.Generator().manual_seed(1)
    for parameter in attached.parameters().values():
        nn.init.normal_(parameter, std=0.2, generator=generator)
    return ReadoutModel(model, [attached])


def agree(model: ReadoutModel) -> None:
    """Compare hidden states of a model and of its decoder, with the adapter and without."""
    batch = probe_batch(model.loaded)
    layout = PackedLayout(batch)
    ids, positions = layout.input_ids[0], layout.position_ids[0]
    found = {}
    for adapter in (None, "default"):
        with model.reading(adapter), torch.no_grad():
            ordinary = model.hidden_states(batch)
        decoder = open_decoder(model, adapter)
        whole = decoder(ids, positions, PackedAttention(layout.plan))
        found[adapter] = layout.gather(whole[None])
        torch.testing.assert_close(found[adapter], ordinary, rtol=1e-5, atol=2e-5)
        some = decoder(ids, positions, PackedAttention(layout.plan), torch.tensor([11, 3]))
        torch.testing.assert_close(some, whole[[11, 3]], rtol=1e-5, atol=1e-5)
    assert (found[None] - found["default"]).abs().max() > 0.1


@pytest.mark.parametrize("family", DESCRIBED)
def test_a_described_family_computes_what_its_model_does(tiny: Callable[..., Any], family: str) -> None:
    agree(with_adapter(tiny(family)))


SMALL = {**FAMILIES["llama_untied"], "head_dim": 8}
FURTHER: dict[str, dict[str, Any]] = {
    "gemma": SMALL,
    "phi3": FAMILIES["llama_untied"],
    "smollm3": SMALL | {"no_rope_layer_interval": 2},
    "granite": SMALL | {"embedding_multiplier": 3.0, "residual_multiplier": 0.4, "attention_multiplier": 0.7},
    "gpt_neox": FAMILIES["gpt_neox"] | {"use_parallel_residual": False},
    "gpt2": FAMILIES["gpt2"] | {"scale_attn_by_inverse_layer_idx": True},
    "phi": FAMILIES["phi"] | {"qk_layernorm": True},
}


@pytest.mark.parametrize("family", FURTHER)
def test_what_the_tiny_families_leave_at_its_default(
    tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FAMILIES, family, FURTHER[family])  # type: ignore[arg-type]
    agree(with_adapter(load_model(find_model(str(tiny_model(tmp_path, family))), precision="fp32")))


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"bloom"}))  # it does not pack: another engine
def test_answers_are_those_of_the_ordinary_forward(
    tiny: Callable[..., Any], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = with_adapter(tiny(family))

    def answers() -> tuple[list[list[int]], str]:
        reader = ModelReader(model, "default")
        jobs = BatchEngine(reader, TURNS).generate(PROMPTS, [Decoding(max_tokens=6)] * len(PROMPTS))
        return [job.tokens for job in jobs], reader.why_ordinary

    own, why = answers()
    assert (why == "") == (family in DESCRIBED)

    def unknown(*_: Any) -> None:
        raise NotDescribedError("asked for")

    with monkeypatch.context() as patch:
        patch.setattr("luthier.generation.readers.open_decoder", unknown)
        assert answers() == (own, "asked for")


def test_a_decoder_that_computes_something_else_is_not_used(
    tiny_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ReadoutModel(load_model(find_model(str(tiny_folder("granite"))), precision="fp32"))
    model.module.config.attention_multiplier *= 1.1  # the modules read it when they were made
    with pytest.raises(NotDescribedError, match="differs from the model by"):
        open_decoder(model, None)
    monkeypatch.setattr(opening_module, "_TOLERANCE", 1e9)
    open_decoder(model, None)


def test_what_is_not_described_is_named(tiny_folder: Callable[..., Path]) -> None:
    def opened(**changes: Any) -> None:
        model = ReadoutModel(load_model(find_model(str(tiny_folder("llama"))), precision="fp32", check=False))
        for name, value in changes.items():
            setattr(model.module.config, name, value)
        open_decoder(model, None)

    opened()
    with pytest.raises(NotDescribedError, match="the family mamba is not described"):
        opened(model_type="mamba")
    with pytest.raises(NotDescribedError, match="activation is laplace"):
        opened(hidden_act="laplace")
    with pytest.raises(NotDescribedError, match="scaled by yarn"):
        opened(rope_parameters={"rope_type": "yarn", "rope_theta": 1e4})
    with pytest.raises(NotDescribedError, match="kinds chunked_attention"):
        opened(layer_types=["chunked_attention"] * 3)


@pytest.mark.parametrize("scaling", ["linear", "llama3"])
def test_scaled_rotary_embeddings(tiny_folder: Callable[..., Path], tmp_path: Path, scaling: str) -> None:
    import json
    import shutil

    folder = shutil.copytree(tiny_folder("llama"), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["rope_parameters"] = {
        "rope_type": scaling, "rope_theta": 50.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 3.0,
        "original_max_position_embeddings": 24,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    open_decoder(ReadoutModel(load_model(find_model(str(folder)), precision="fp32")), None)


def test_an_adapter_that_is_more_than_low_rank_takes_the_ordinary_forward(tiny_folder: Callable[..., Path]) -> None:
    loaded = load_model(find_model(str(tiny_folder("llama"))), precision="fp32")
    method = ADAPTERS.get("lora")
    model = ReadoutModel(loaded, [method(method.Config(peft={"use_dora": True})).attach(loaded)])
    with pytest.raises(NotDescribedError, match="more than low-rank"):
        open_decoder(model, "default")
    open_decoder(model, None)


def test_a_module_that_is_watched_is_called(tiny_folder: Callable[..., Path]) -> None:
    """Each batch looks anew: whoever begins to watch after the first one is heard, and forgotten when he has gone."""
    model = ReadoutModel(load_model(find_model(str(tiny_folder("llama"))), precision="fp32"))
    reader, calls = ModelReader(model, None), list[int]()
    engine = BatchEngine(reader, TURNS)

    def answer() -> str:
        engine.generate(PROMPTS[:1], [Decoding(max_tokens=1)])
        return reader.why_ordinary

    assert answer() == ""
    handle = model.module.model.layers[1].register_forward_hook(lambda *_: calls.append(1))
    assert answer() == "somebody watches the calls of its modules"
    assert calls == [1]
    handle.remove()
    assert answer() == ""
    assert calls == [1]


def test_weights_that_were_trained_on_are_read_anew(tiny_folder: Callable[..., Path]) -> None:
    model = ReadoutModel(load_model(find_model(str(tiny_folder("llama"))), precision="fp32"))
    engine = BatchEngine(ModelReader(model, None), TURNS)
    before = engine.generate(PROMPTS[:1], [Decoding(max_tokens=6)])[0].tokens
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.mul_(-1.0)
    after = engine.generate(PROMPTS[:1], [Decoding(max_tokens=6)])[0].tokens
    assert before != after


def test_the_decoder_needs_no_transformers() -> None:
    code = "import sys, luthier.generation.lean; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_local_model_says_which_forward_writes(tiny: Callable[..., Any]) -> None:
    said = {}
    for family in ("llama", "cohere"):
        loaded = tiny(family)
        model = LocalModel(ReadoutModel(loaded), Renderer(loaded.tokenizer, loaded.facts.context), None)
        model.complete([Request((Message("user", "hello"),), Decoding(max_tokens=2))])
        said[family] = model.layout
    assert said["llama"] == "packed"
    assert said["cohere"] == "packed, written by the ordinary forward: the family cohere is not described"
