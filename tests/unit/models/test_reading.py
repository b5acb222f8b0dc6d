"""Readouts and the output layer by hand; the scopes of a read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from luthier.core.errors import ConfigError
from luthier.models import readouts as readouts_module
from luthier.models.attention import ATTENTION_NAME
from luthier.models.output_layer import OutputLayer, finish_logits
from luthier.models.readout_model import ReadoutModel, Work
from luthier.models.readouts import Chunk, NextTokenHits, TokenLogps, read_chunks
from luthier.objectives.supervised import SupervisedFineTuning
from luthier.segments import join

# Three words, width 2: the logits of the hidden states (1, 0), (0, 1), (1, 1) are the weight's columns and their sum.
WEIGHT = torch.tensor([[math.log(2.0), 0.0], [0.0, math.log(3.0)], [0.0, 0.0]])
HIDDEN = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


def output(**options: Any) -> OutputLayer:
    linear = nn.Linear(2, 3, bias=False)
    linear.weight = nn.Parameter(WEIGHT)
    return OutputLayer(linear, **options)


def test_log_probabilities_and_hits_by_hand() -> None:
    # Exponentiated logits: (2, 1, 1), (1, 3, 1), (2, 3, 1).
    read = read_chunks(HIDDEN, torch.tensor([0, 2, 1]), output(), (TokenLogps(), NextTokenHits()))
    wanted = [math.log(2 / 4), math.log(1 / 5), math.log(3 / 6)]
    assert read["logps"].tolist() == pytest.approx(wanted, rel=1e-6)
    assert read["hits"].tolist() == [1.0, 0.0, 1.0]
    assert read["logps"].requires_grad
    assert not read["hits"].requires_grad


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_chunks_are_put_back_in_order(size: int) -> None:
    token = torch.tensor([0, 2, 1])
    whole = read_chunks(HIDDEN, token, output(), (TokenLogps(),))["logps"]
    assert torch.equal(read_chunks(HIDDEN, token, output(), (TokenLogps(),), size=size)["logps"], whole)


class Entropies:
    """A second differentiable readout, by plain autograd."""

    name = "entropy"
    differentiable = True

    def chunk(self, chunk: Chunk) -> torch.Tensor:
        logps = torch.log_softmax(chunk.logits, -1)
        return -(logps.exp() * logps).sum(-1)


@pytest.mark.parametrize("readouts", [(TokenLogps(),), (NextTokenHits(), TokenLogps(), Entropies())])
def test_gradients_made_at_once_are_those_of_the_recomputation(readouts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen output layer's way against a trained one's, and both against plain autograd, in float64."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(7, 4, generator=generator, dtype=torch.float64)
    token = torch.randint(0, 9, (7,), generator=generator)
    pull = torch.randn(2, 7, generator=generator, dtype=torch.float64)

    def gradient(frozen: bool, size: int) -> torch.Tensor:
        linear = nn.Linear(4, 9, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.arange(36, dtype=torch.float64).view(9, 4).sin())
            linear.bias.copy_(torch.arange(9, dtype=torch.float64).cos())
        linear.requires_grad_(not frozen)
        at = hidden.clone().requires_grad_()
        read = read_chunks(at, token, OutputLayer(linear, 0.7, 3.0), readouts, size)
        found = torch.stack([read[r.name] for r in readouts if r.differentiable])
        (found * pull[: len(found)]).sum().backward()
        assert at.grad is not None
        assert (linear.weight.grad is None) == frozen
        return at.grad

    wanted = gradient(frozen=False, size=100)
    assert wanted.abs().min() > 0
    for size, kept in itertools.product((1, 3, 7, 100), (0, 30, 2**25)):
        monkeypatch.setattr(readouts_module, "KEPT_LOGITS", kept)
        torch.testing.assert_close(gradient(True, size), wanted, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(gradient(False, size), wanted, rtol=1e-12, atol=1e-14)


class Counting(nn.Linear):
    """A trained output layer that notes how many rows it was given."""

    def __init__(self, width: int = 4) -> None:
        super().__init__(width, 9)
        self.rows: list[int] = []

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        self.rows.append(len(input))
        return super().forward(input)


@pytest.mark.parametrize(("kept", "again"), [(0, [3, 4, 4, 4]), (1, [3, 4, 4]), (37, [3, 4]), (73, [3]), (109, [])])
def test_logits_are_kept_up_to_a_bound_and_made_again_beyond_it(
    monkeypatch: pytest.MonkeyPatch, kept: int, again: list[int]
) -> None:
    monkeypatch.setattr(readouts_module, "KEPT_LOGITS", kept)
    linear = Counting()
    read = read_chunks(torch.ones(15, 4), torch.zeros(15, dtype=torch.long), OutputLayer(linear), (TokenLogps(),), 4)
    assert linear.rows == [4, 4, 4, 3]
    read["logps"].sum().backward()
    assert sorted(linear.rows[4:]) == again


@pytest.mark.parametrize(
    ("width", "trained", "rows"), [(4, True, [256, 44]), (280, True, [280, 20]), (280, False, [256, 44])]
)
def test_a_trained_output_layer_is_read_in_chunks_as_long_as_the_model_is_wide(
    width: int, trained: bool, rows: list[int]
) -> None:
    linear = Counting(width)
    linear.requires_grad_(trained)
    hidden = torch.ones(300, width, requires_grad=True)
    read_chunks(hidden, torch.zeros(300, dtype=torch.long), OutputLayer(linear), (TokenLogps(),))
    assert linear.rows == rows


def test_the_gradient_of_a_log_probability_is_that_of_autograd() -> None:
    logits = torch.tensor([[3.0, -1.0, 0.5], [0.0, 90.0, -4.0]], dtype=torch.float64, requires_grad=True)
    token = torch.tensor([1, 0])
    chunk = Chunk(logits, token, OutputLayer(nn.Identity()))
    (own,) = torch.autograd.grad((TokenLogps().chunk(chunk) * torch.tensor([2.0, -0.5])).sum(), logits)
    plain = torch.log_softmax(logits, -1)[[0, 1], token]
    (wanted,) = torch.autograd.grad((plain * torch.tensor([2.0, -0.5])).sum(), logits)
    torch.testing.assert_close(own, wanted, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("options", [{}, {"scale": 0.5}, {"softcap": 3.0}])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_logits_read_a_few_at_a_time_are_those_read_at_once(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], precision: torch.dtype
) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(4, 37).to(precision).requires_grad_(True)
    hidden = torch.randn(7, 4).to(precision).requires_grad_(True)
    token = torch.tensor([0, 36, 5, 5, 1, 9, 30])
    weights = torch.linspace(-1, 2, 7)
    found = []
    for piece in (2**21, 80, 1):
        monkeypatch.setattr(readouts_module, "_PIECE", piece)
        logps = read_chunks(hidden, token, OutputLayer(linear, **options), (TokenLogps(),))["logps"]
        found.append((logps, *torch.autograd.grad((logps * weights).sum(), (hidden, linear.weight))))
    logits = finish_logits(linear(hidden), options.get("scale", 1.0), options.get("softcap"))
    plain = torch.log_softmax(logits, -1)[torch.arange(7), token]
    wanted = (plain, *torch.autograd.grad((plain * weights).sum(), (hidden, linear.weight)))
    for one in found:
        for mine, at_once, written in zip(one, found[0], wanted, strict=True):
            assert torch.equal(mine, at_once)
            apart = 1e-5 if precision == torch.float32 else 2**-7
            torch.testing.assert_close(mine, written, rtol=0, atol=apart * float(written.abs().max()))


def test_logits_are_kept_in_the_precision_of_the_product() -> None:
    linear = nn.Linear(4, 37).bfloat16()
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        read_chunks(
            torch.ones(7, 4, dtype=torch.bfloat16),
            torch.zeros(7, dtype=torch.long),
            OutputLayer(linear),
            (TokenLogps(), NextTokenHits()),
        )
    assert [x.dtype for x in kept if x.shape == (7, 37)] == [torch.bfloat16]


def test_a_scale_and_a_soft_cap_by_hand() -> None:
    logits = torch.tensor([[1.0, -2.0]])
    assert finish_logits(logits, 0.5, None).tolist() == [[0.5, -1.0]]
    assert finish_logits(logits, 2.0, 3.0).tolist()[0] == pytest.approx([3 * math.tanh(2 / 3), 3 * math.tanh(-4 / 3)])
    assert finish_logits(logits.bfloat16(), 1.0, None).dtype == torch.float32
    assert finish_logits(logits.double(), 1.0, None).dtype == torch.float64


def test_peaked_logits_keep_their_precision() -> None:
    # At a gap of 18 the alternatives weigh 3e-8 each: a log-softmax in fp32 that sums in order loses most of them.
    logits = torch.zeros(1, 50_000)
    logits[0, 0] = 18.0
    linear = nn.Linear(1, 50_000, bias=False)
    linear.weight = nn.Parameter(logits.T)
    read = read_chunks(torch.ones(1, 1), torch.tensor([0]), OutputLayer(linear), (TokenLogps(),))["logps"].detach()
    exact = torch.log_softmax(logits.double(), -1)[0, 0]
    assert abs(float(read) - float(exact)) < 2e-6


def test_an_output_layer_that_is_not_the_models_own_is_not_used(
    tiny: Callable[..., Any], sequences: Callable[..., Any]
) -> None:
    model, batch = tiny("cohere"), join(sequences(3))
    wanted = ReadoutModel(model).read(batch, [TokenLogps()], None)["logps"]
    model.output = replace(model.output, scale=7.0, verified=False)
    for layout in ("packed", "rows"):
        found = ReadoutModel(model, layout=layout).read(batch, [TokenLogps()], None)["logps"]
        assert torch.allclose(found, wanted, atol=1e-5)
    model.output = replace(model.output, verified=True)
    assert not torch.allclose(ReadoutModel(model).read(batch, [TokenLogps()], None)["logps"], wanted, atol=0.1)


def test_a_wrong_description_is_found_at_load(tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    described = OutputLayer.of
    assert tiny("granite").output.verified
    monkeypatch.setattr(OutputLayer, "of", classmethod(lambda cls, model: replace(described(model), scale=1.0)))
    assert not tiny("granite").output.verified
    assert tiny("llama").output.verified


def test_a_family_that_leaks_in_a_packed_row_is_found_at_load(
    tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from luthier.models import attention
    from luthier.segments import AttentionPlan, Span

    honest = attention.PackedAttention.__init__

    def leaking(self: Any, plan: AttentionPlan) -> None:
        honest(self, AttentionPlan((Span((0, len(plan.positions))),), torch.arange(len(plan.positions))))

    monkeypatch.setattr(attention.PackedAttention, "__init__", leaking)
    model = tiny("llama")
    assert not model.packs
    assert "packed and separate sequences differ by" in model.why_rows
    assert ReadoutModel(model).layout == "rows"


def test_a_family_that_forgets_what_stands_above_is_found_at_load(
    tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from luthier.models import attention
    from luthier.segments import AttentionPlan, Span

    honest = attention.PackedAttention.__init__

    def alone(self: Any, plan: AttentionPlan) -> None:
        honest(self, AttentionPlan(tuple(Span(span.query) for span in plan.spans), plan.positions))

    monkeypatch.setattr(attention.PackedAttention, "__init__", alone)
    model = tiny("llama")
    assert not model.packs
    assert "packed and separate sequences differ by" in model.why_rows


@pytest.mark.parametrize("scale", [1.0, -1.0])
def test_attention_is_tried_in_the_precision_that_it_computes_in(
    tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    """Its values come out with the wrong sign in bf16 only."""
    from luthier.models import attention

    def in_bf16(query: Tensor, key: Tensor, value: Tensor, *rest: Any) -> Tensor:
        return honest(query, key, value * scale if value.dtype == torch.bfloat16 else value, *rest)

    honest = attention.flash.attend_spans
    monkeypatch.setattr(attention.flash, "attend_spans", in_bf16)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert tiny("llama", precision="bf16").packs == (scale == 1.0)
    assert tiny("llama", precision="fp32").packs


def test_a_family_that_passes_the_attention_by_is_found_at_load(
    tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from luthier.models import facts

    monkeypatch.setattr(facts, "PACKING_FAMILIES", facts.PACKING_FAMILIES | {"bloom"})
    model = tiny("bloom")
    assert not model.packs
    assert model.why_rows == "its attention was called 0 times for 3 layers"
    assert ReadoutModel(model).layout == "rows"


def test_a_read_leaves_mode_precision_and_attention_as_they_were(
    tiny: Callable[..., Any], sequences: Callable[..., Any]
) -> None:
    model, batch = tiny(), join(sequences(2))
    for training in (True, False):
        readout = ReadoutModel(model, layout="rows")
        readout.train(training)
        readout.read(batch, [TokenLogps()], None)
        assert readout.module.training is training
        assert model.module.config._attn_implementation == ATTENTION_NAME


def test_a_read_has_no_gradient_and_a_forward_has(tiny: Callable[..., Any], sequences: Callable[..., Any]) -> None:
    model, batch = tiny(), join(sequences(2))
    model.module.requires_grad_(True)
    assert not ReadoutModel(model).read(batch, [TokenLogps()], None)["logps"].requires_grad
    assert ReadoutModel(model)(Work(SupervisedFineTuning(), batch, None)).totals["loss"].requires_grad


def test_an_unknown_adapter_is_named(tiny: Callable[..., Any], sequences: Callable[..., Any]) -> None:
    from luthier.adapters import ADAPTERS

    model = tiny()
    readout = ReadoutModel(model, [ADAPTERS.get("lora")().attach(model, "french")])
    with pytest.raises(ConfigError, match=r"Unknown adapter 'frensh'. Known: french. Did you mean 'french'\?"):
        readout.read(sequences(1)[0], [TokenLogps()], "frensh")
