"""What a config says, what methods need of it, and how large a model is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from luthier.core.errors import CompatibilityError, ModelError
from luthier.models import cost as costs
from luthier.models.compatibility import check_compatible
from luthier.models.cost import copies_weights, estimate_answering_bytes, estimate_training_bytes
from luthier.models.source import find_model
from luthier.testing import FAMILIES


def test_facts_are_read_from_the_config_alone(tiny_folder: Callable[..., Path]) -> None:
    facts = find_model(str(tiny_folder("qwen3"))).facts()
    assert (facts.family, facts.kind, facts.architecture) == ("qwen3", "causal", "Qwen3ForCausalLM")
    assert (facts.layers, facts.width, facts.heads, facts.kv_heads, facts.head_width) == (3, 32, 4, 2, 8)
    assert (facts.feed_forward, facts.vocabulary, facts.context) == (64, 259, 2048)
    assert facts.packs
    assert not find_model(str(tiny_folder("bloom"))).facts().packs


def test_the_number_of_parameters_by_hand(tiny: Callable[..., Any]) -> None:
    # Attention: q and o 32 x 32, k and v 32 x 16; gate, up, down 32 x 64; two norms a layer and one at the end.
    layer = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64 + 2 * 32
    tied, untied = tiny("llama"), tiny("llama_untied")
    assert tied.facts.parameters == 3 * layer + 259 * 32 + 32
    assert untied.facts.parameters == tied.facts.parameters + 259 * 32
    for model in (tied, untied):
        assert model.facts.parameters == sum(p.numel() for p in model.module.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_estimate_is_near_for_every_family(tiny: Callable[..., Any], family: str) -> None:
    # Families without a gated feed-forward come out up to a third too high; memory estimates can live with it. Learned
    # positions (GPT-2's) are left out here: beside so small a model they are large, beside a real one nothing.
    model = tiny(family, check=False)
    counted = sum(p.numel() for n, p in model.module.named_parameters() if ".wpe." not in n)
    assert 0.9 < model.facts.parameters / counted < 1.4


def test_what_a_method_needs_is_compared_before_any_weight_is_read(tiny_folder: Callable[..., Path]) -> None:
    facts = find_model(str(tiny_folder("llama"))).facts()
    check_compatible(facts, [SimpleNamespace(name="lora", needs=frozenset({"causal"}))])
    needy = SimpleNamespace(name="mlm", needs=frozenset({"encoder"}))
    with pytest.raises(CompatibilityError, match=r"'mlm' needs encoder; .* is causal \(LlamaForCausalLM\)"):
        check_compatible(facts, [needy])


def test_memory_grows_by_sixteen_bytes_a_trained_parameter(tiny: Callable[..., Any]) -> None:
    facts = tiny("llama").facts
    parameters = {"w": next(tiny("llama").module.parameters())}  # 259 x 32
    frozen = estimate_training_bytes(facts, {}, 1_000_000, "fp32")
    assert estimate_training_bytes(facts, parameters, 1_000_000, "fp32") - frozen == 259 * 32 * (16 - 4)


@pytest.mark.parametrize(
    ("family", "precision", "kept"),
    [
        ("llama", "fp32", (6 * 32 + 2 * 64) * 4),
        ("llama", "bf16", (10 * 32 + 2 * 64) * 2),
        ("phi", "fp32", (10 * 32 + 4 * 64) * 4),
    ],
)
def test_memory_grows_by_what_a_layer_keeps_of_a_token(
    tiny: Callable[..., Any], family: str, precision: str, kept: int
) -> None:
    facts = tiny(family).facts
    one, more = (estimate_training_bytes(facts, {}, tokens, precision) for tokens in (1_000_000, 1_000_001))
    assert more - one == pytest.approx(1.6 * 3 * kept, abs=1)


def test_memory_holds_the_logits_of_a_trained_output_layer(tiny: Callable[..., Any]) -> None:
    model = tiny("llama")
    facts, tokens = model.facts, 1_000_000
    everything = dict(model.module.named_parameters())
    but_one = {name: parameter for name, parameter in everything.items() if name != next(iter(everything))}
    whole, part = (estimate_training_bytes(facts, trained, tokens, "fp32") for trained in (everything, but_one))
    kept = whole - part - 12 * next(iter(everything.values())).numel()
    chunk = 256 * facts.vocabulary * 4  # a frozen layer's own, which are among those kept of a trained one
    assert kept == 2**25 * 4 - chunk
    few = (estimate_training_bytes(facts, trained, 100_000, "fp32") for trained in (everything, but_one))
    assert next(few) - next(few) - (whole - part - kept) == 100_000 * facts.vocabulary * 4 - chunk


def test_memory_of_a_trained_output_layer_grows_with_the_width_of_the_model(tiny: Callable[..., Any]) -> None:
    facts = tiny("llama").facts
    everything = {"weights": torch.empty(10**9, device="meta")}
    narrow, wide = (
        estimate_training_bytes(replace(facts, width=width), everything, 1_000_000, "fp32") for width in (256, 356)
    )
    layers = int(1.6 * 1_000_000 * 3 * 6 * 100 * 4)
    assert wide - narrow == pytest.approx(2 * 100 * facts.vocabulary * 4 + layers, abs=2)


def test_memory_holds_the_cache_of_keys_and_values_where_that_is_the_most(
    tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = tiny("llama").facts
    cache = 24_576 * 3 * 2 * facts.kv_heads * facts.head_width * 4
    weights = facts.parameters * 4
    reading = 4096 * (6 * 32 + 3 * 64) * 4
    monkeypatch.setattr(costs, "copies_weights", lambda device, parameters: False)
    assert estimate_answering_bytes(facts, "fp32") == 600 * 2**20 + weights + cache + reading
    monkeypatch.setattr(costs, "copies_weights", lambda device, parameters: True)
    assert estimate_answering_bytes(facts, "fp32") == 600 * 2**20 + 2 * weights + cache + reading
    assert estimate_training_bytes(facts, {}, 1, "fp32") == estimate_answering_bytes(facts, "fp32")


def test_only_a_cpu_with_room_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(costs, "memory_bytes", lambda device: 32 * 10**9)
    assert copies_weights(cpu, 10**9)
    assert not copies_weights(cpu, 10**9 + 10**6)
    assert not copies_weights(torch.device("cuda"), 10)
    monkeypatch.setattr(costs, "memory_bytes", lambda device: None)
    assert not copies_weights(cpu, 10)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "is a Git-LFS pointer of .* git lfs pull",
        ),
        (b"<!DOCTYPE html><html>Sign in</html>", "is an HTML page of .* Fetch it again"),
        (b"\xff\xff\x00\x00\x00\x00\x00\x00{}", "probably a partial download"),
        (b"\x01", "probably a partial download"),
        (None, "holds no weights. Save the model as safetensors"),
    ],
)
def test_what_only_looks_like_weights_is_named(tmp_path: Path, content: bytes | None, problem: str) -> None:
    from luthier.models.weights import weight_files

    if content is not None:
        (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=problem):
        weight_files(tmp_path)


def test_pickles_are_refused_by_name(tmp_path: Path) -> None:
    from luthier.models.weights import weight_files

    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"only pickled weights \(pytorch_model.bin\), which are refused"):
        weight_files(tmp_path)


def test_the_digest_follows_the_weights(tiny_folder: Callable[..., Path], tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    from luthier.models.weights import weights_digest

    copy = shutil.copytree(tiny_folder("llama"), tmp_path / "copy")
    assert weights_digest(copy) == weights_digest(tiny_folder("llama"))
    tensors = load_file(copy / "model.safetensors")
    tensors["model.norm.weight"][0] += 1
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    assert weights_digest(copy) != weights_digest(tiny_folder("llama"))
