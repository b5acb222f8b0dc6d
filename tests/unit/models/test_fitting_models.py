"""Shapes of well-known models, and what they need on a machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from luthier.adapters.lora import Lora, LoraConfig
from luthier.models import fit as fitting
from luthier.models.builtin_table import BUILTIN
from luthier.models.cost import estimate_answering_bytes, estimate_training_bytes
from luthier.models.facts import PACKING_FAMILIES, ModelFacts
from luthier.models.fit import Machine, Workload, fit, lora_parameters, measure_gflops, measure_machine, tuning_seconds
from luthier.models.loaded import LoadedModel
from luthier.models.public_table import BUILTIN_SHAPES, PUBLIC_MODELS


def surplus(facts: ModelFacts) -> int:
    """Parameters that `ModelFacts.parameters` leaves out: Qwen's biases, Gemma's further norms."""
    if facts.family == "qwen2":
        return facts.layers * facts.head_width * (facts.heads + 2 * facts.kv_heads)
    if facts.family == "gemma3_text":
        return facts.layers * (2 * facts.width + 2 * facts.head_width)
    return 0


def test_shapes_give_the_published_parameter_counts_to_the_last_one() -> None:
    found = {model.name: model.facts.parameters + surplus(model.facts) for model in PUBLIC_MODELS}
    assert found == {model.name: model.parameters for model in PUBLIC_MODELS}
    assert len(found) == 12
    built_in = {name: facts.parameters + surplus(facts) for name, facts in BUILTIN_SHAPES.items()}
    assert built_in == {name: model.parameters for name, model in BUILTIN.items()}


def test_public_models_can_be_used_and_stand_in_order() -> None:
    assert {model.facts.family for model in PUBLIC_MODELS} <= PACKING_FAMILIES
    counts = [model.parameters for model in PUBLIC_MODELS]
    assert counts == sorted(counts)
    assert {model.name for model in PUBLIC_MODELS if model.access == "gated"} == {
        "meta-llama/Llama-3.2-1B-Instruct", "meta-llama/Llama-3.2-3B-Instruct", "google/gemma-3-1b-it"
    }  # fmt: skip
    contexts = {name: facts.context for name, facts in BUILTIN_SHAPES.items()}
    assert contexts == {name: model.context_tokens for name, model in BUILTIN.items()}


@pytest.mark.parametrize("family", ["llama", "qwen3", "mistral"])
def test_lora_has_the_shapes_that_are_reckoned_with(tiny: Callable[..., LoadedModel], family: str) -> None:
    model = tiny(family, check=False)
    expected = lora_parameters(model.facts, 4)
    attached = Lora(LoraConfig(rank=4)).attach(model).parameters()
    assert sorted(p.shape for p in attached.values()) == sorted(p.shape for p in expected.values())
    assert len(expected) == 3 * 7 * 2


def shape(**values: Any) -> ModelFacts:
    """Two layers of width 8 without grouped heads; 2 (4 x 64 + 3 x 8 x 16 + 16) + 100 x 8 + 8 parameters."""
    numbers: dict[str, Any] = {"layers": 2, "width": 8, "heads": 2, "kv_heads": 2, "head_width": 4, "feed_forward": 16,
                               "vocabulary": 100, "tied": True, "context": 64}  # fmt: skip
    return ModelFacts("a", None, "llama", "", "causal", **(numbers | values))


def test_time_is_four_operations_a_weight_and_token_at_half_the_speed_of_a_product() -> None:
    """Body 1,320, output layer 800: a row of 10 tokens, 3 of them answer, costs 4 (13,200 + 2,400) operations."""
    work = Workload(rows=5, row_tokens=10, answer_tokens=3, epochs=2.0)
    assert shape().parameters == 2_120
    assert tuning_seconds(shape(), 1e-3, work) == pytest.approx(5 * 2 * 62_400 / (1e6 * 0.5))
    assert tuning_seconds(shape(tied=False), 1e-3, work) == tuning_seconds(shape(), 1e-3, work)
    assert str(work) == "5 rows of 10 tokens, 2 epochs"


def test_a_measured_speed_of_the_built_in_model_is_met() -> None:
    """One core: 88 GFLOP/s in fp32 and 200 in bf16; SmolLM2-135M learned 98 and 242 tokens a second."""
    tokens = 300 * 150 * 2
    for gflops, measured in ((88, 98), (200, 242)):
        seconds = tuning_seconds(BUILTIN_SHAPES["smollm2-135m-instruct"], gflops, Workload())
        assert seconds == pytest.approx(tokens / measured, rel=0.09)


def test_memory_decides_what_fits() -> None:
    facts, work = BUILTIN_SHAPES["smollm2-135m-instruct"], Workload(micro_batch_tokens=2048)
    answering = estimate_answering_bytes(facts, "fp32")
    tuning = estimate_training_bytes(facts, lora_parameters(facts, 16), work.micro_batch_tokens, "fp32")
    assert answering < tuning

    def fits(memory: float | None) -> tuple[bool, bool]:
        found = fit(facts, Machine("cpu", "fp32", None if memory is None else int(memory), 100.0), work, 16)
        assert (found.answering_bytes, found.tuning_bytes) == (answering, tuning)
        return found.answers, found.tunes

    assert fits(answering / 0.89) == (True, False)
    assert fits(answering / 0.91) == (False, False)
    assert fits(tuning / 0.89) == (True, True)
    assert fits(tuning / 0.91) == (True, False)
    assert fits(None) == (False, False)


def test_the_speed_is_that_of_the_best_product_in_the_time_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def product(matrix: torch.Tensor) -> float:
        sizes.append(len(matrix))
        gflops = {64: 90.0, 256: 20.0, 512: 50.0, 1024: 40.0}[len(matrix)]
        return 2 * len(matrix) ** 3 / gflops / 1e9

    monkeypatch.setattr(fitting, "_time_product", product)
    assert measure_gflops(torch.device("cpu"), torch.float32) == pytest.approx(50.0)
    # The first one does not count: a GPU sets itself up in it. Two of 2,048 would take 0.86 s.
    assert sizes == [64, 256, 256, 512, 512, 1024, 1024]


def test_this_machine_is_measured_quickly() -> None:
    began = time.perf_counter()
    machine = measure_machine()
    assert time.perf_counter() - began < 5.0  # 0.5 s on a machine that is not busy
    assert machine.gflops > 0.1
    assert machine.precision in ("fp32", "bf16")
    assert machine.memory_bytes is None or machine.memory_bytes > 2**30
