"""Norms and gated feed-forwards with our functions against transformers' own: every family, all gradients."""

from __future__ import annotations

import copy
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from luthier.models.arithmetic.gated import ACTIVATIONS, Activation, gated_product
from luthier.models.arithmetic.linear import OwnLinear, use_own_linears
from luthier.models.arithmetic.low_rank import LowRankUpdate, low_rank_linear
from luthier.models.arithmetic.modules import use_own_functions
from luthier.models.arithmetic.origins import Origin, made_from
from luthier.models.arithmetic.rms_norm import RmsNormalise, rms_normalise
from luthier.testing import FAMILIES, tiny_model

CHANGED = {
    "llama": {"LlamaRMSNorm": 7, "LlamaMLP": 3},
    "llama_untied": {"LlamaRMSNorm": 7, "LlamaMLP": 3},
    "qwen2": {"Qwen2RMSNorm": 7, "Qwen2MLP": 3},
    "qwen3": {"Qwen3RMSNorm": 13, "Qwen3MLP": 3},
    "mistral": {"MistralRMSNorm": 7, "MistralMLP": 3},
    "gemma2": {"Gemma2RMSNorm": 13, "Gemma2MLP": 3},
    "gemma3_text": {"Gemma3RMSNorm": 19, "Gemma3MLP": 3},
    "granite": {"GraniteRMSNorm": 7, "GraniteMLP": 3},
    "cohere": {"CohereMLP": 3},
    "phi": {},
    "gpt_neox": {},
    "gpt2": {},
    "bloom": {},
}
IDS = torch.tensor([[5, 9, 31, 77, 12, 40, 3, 250], [8, 8, 100, 7, 7, 200, 201, 4]])


def plain(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


def logits_and_gradients(model: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    logits = model(input_ids=IDS, use_cache=False).logits
    weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0))
    (logits * weights).sum().backward()
    return logits.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def together(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """The length of all tensors as one."""
    return torch.cat([tensor.flatten() for tensor in tensors.values()]).norm()


def test_every_family_is_listed() -> None:
    assert CHANGED.keys() == FAMILIES.keys()


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_all_gradients_are_those_of_the_ordinary_modules(family: str, tmp_path: Path) -> None:
    model = plain(tiny_model(tmp_path, family))
    for parameter in model.parameters():  # a norm's weights are all alike at the start
        nn.init.normal_(parameter, mean=parameter.mean().item(), std=0.2, generator=torch.Generator().manual_seed(2))
    own = copy.deepcopy(model)
    assert use_own_functions(own) == CHANGED[family]
    use_own_linears(own)
    wanted, wanted_gradients = logits_and_gradients(model)
    found, gradients = logits_and_gradients(own)
    assert (found - wanted).norm() / wanted.norm() <= 1e-6
    assert gradients.keys() == wanted_gradients.keys()
    apart = {name: gradients[name] - gradient for name, gradient in wanted_gradients.items()}
    for name, gradient in wanted_gradients.items():
        assert apart[name].norm() / gradient.norm() <= 5e-6, name
    assert together(apart) / together(wanted_gradients) <= 1e-6


def test_names_classes_and_weights_are_where_they_were(tmp_path: Path) -> None:
    model = plain(tiny_model(tmp_path))
    own = copy.deepcopy(model)
    use_own_functions(own)
    assert [n for n, _ in own.named_modules()] == [n for n, _ in model.named_modules()]
    assert own.state_dict().keys() == model.state_dict().keys()
    assert str(own) == str(model)
    assert isinstance(own.model.norm, LlamaRMSNorm)


def test_functions_have_the_derivatives_of_their_formulas() -> None:
    torch.manual_seed(0)
    x, gain = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((2, 3, 8), (8,)))
    assert torch.autograd.gradcheck(lambda x, g: RmsNormalise.apply(x, g, 0.1, x.dtype), (x, gain))
    written = gain * x / (x.square().mean(-1, keepdim=True) + 0.1).sqrt()
    torch.testing.assert_close(RmsNormalise.apply(x, gain, 0.1, x.dtype), written)
    gate, up = (torch.randn(2, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    for activation in ACTIVATIONS:
        assert torch.autograd.gradcheck(lambda g, u, a=activation: gated_product(g, u, a), (gate, up))
        torch.testing.assert_close(gated_product(gate, up, activation), activation.forward(gate) * up)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_a_norm_in_half_precision_is_rounded_once(precision: torch.dtype) -> None:
    """As near to float64 as one rounding allows, forwards and back; made again, it has the same bits."""
    torch.manual_seed(0)
    x, gain, gradient = (torch.randn(shape).to(precision) for shape in ((3, 7, 96), (96,), (3, 7, 96)))
    half = torch.finfo(precision).eps / 2
    narrow = [each.clone().requires_grad_() for each in (x, gain)]
    wide = [each.double().requires_grad_() for each in (x, gain)]
    y, exact = rms_normalise(*narrow, 1e-5), rms_normalise(*wide, 1e-5)
    found = torch.autograd.grad(y, narrow, gradient)
    wanted = torch.autograd.grad(exact, wide, gradient.double())
    for one, other in zip((y, *found), (exact, *wanted), strict=True):
        assert one.dtype == precision
        # Beside the rounding of the result, fp32 sums lose up to 1e-5 of the largest number.
        assert ((one.double() - other).abs() <= half * other.abs() + 1e-5 * other.abs().max()).all()
    made = made_from(y)
    assert made is not None
    assert torch.equal(made.origin.keep().again(made.parts), y.flatten(0, 1))


def test_norms_in_bf16_are_computed_by_ours(tmp_path: Path) -> None:
    """Transformers rounds before the gain and after it, and is farther from fp32 than a norm that is rounded once."""
    model = plain(tiny_model(tmp_path)).to(torch.bfloat16)
    norm = model.model.norm
    nn.init.normal_(norm.weight, mean=1.0, std=0.2, generator=torch.Generator().manual_seed(2))
    own = copy.deepcopy(model)
    use_own_functions(own)
    x = torch.randn(4, 50, norm.weight.numel(), generator=torch.Generator().manual_seed(3)).to(torch.bfloat16)
    found, before, exact = own.model.norm(x), norm(x), copy.deepcopy(norm).float()(x.float())
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, exact.to(torch.bfloat16))
    assert not torch.equal(before, exact.to(torch.bfloat16))


def test_trained_weights_are_cast_where_they_are_used(tmp_path: Path) -> None:
    """In bf16 on fp32 weights: gradients in fp32, as near to those of fp32 as with transformers' own modules."""
    model = plain(tiny_model(tmp_path))
    own = copy.deepcopy(model)
    use_own_functions(own)
    use_own_linears(own)
    assert all(isinstance(layer, OwnLinear) for layer in (own.model.layers[0].self_attn.q_proj, own.lm_head))
    _, exact = logits_and_gradients(copy.deepcopy(model))
    with torch.autocast("cpu", torch.bfloat16):
        _, ordinary = logits_and_gradients(model)
        _, found = logits_and_gradients(own)
        # In the precision of the products that read it: each of them would cast and keep a copy of its own.
        assert own.model.norm(torch.randn(2, own.config.hidden_size)).dtype == torch.bfloat16
    assert {gradient.dtype for gradient in found.values()} == {torch.float32}

    def error(gradients: dict[str, torch.Tensor]) -> torch.Tensor:
        return together({name: gradients[name] - gradient for name, gradient in exact.items()}) / together(exact)

    assert 0 < error(found) <= 1.25 * error(ordinary)
    assert error(ordinary) < 0.05


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_what_can_be_made_again_is_not_kept(precision: torch.dtype, tmp_path: Path) -> None:
    """Counts the bytes that a forward keeps for its backward: norms' and gated products' results are not among them."""

    def kept(model: Any) -> int:
        storages: dict[int, int] = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        narrowing = torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), narrowing:
            hidden = model.model(input_ids=IDS, use_cache=False).last_hidden_state
        assert hidden.requires_grad
        return sum(size for place, size in storages.items() if place not in weights)

    model = plain(tiny_model(tmp_path))
    before = kept(model)
    use_own_functions(model)
    use_own_linears(model)
    assert all(type(m) is OwnLinear for m in model.modules() if isinstance(m, nn.Linear))
    config, tokens = model.config, IDS.numel()
    a_layer = 2 * 2 * config.hidden_size + 2 * config.intermediate_size  # two norms twice each, activation and product
    assert before - kept(model) >= precision.itemsize * tokens * 3 * a_layer


@pytest.mark.parametrize("layer", ["trained", "low rank"])
def test_gradients_are_those_of_the_formulas_also_the_second_time(layer: str) -> None:
    torch.manual_seed(0)
    x, gain = torch.randn(3, 4, requires_grad=True), torch.rand(4, requires_grad=True)
    weight, a, b = (torch.randn(shape, requires_grad=True) for shape in ((5, 4), (2, 4), (5, 2)))
    y = rms_normalise(x, gain, 0.1)
    if layer == "trained":
        linears = [OwnLinear(4, 5), OwnLinear(4, 5)]
        outputs, trained = [each(y) for each in linears], [x, gain, *(each.weight for each in linears)]
    else:
        updates = [LowRankUpdate(a, b, 0.5), LowRankUpdate(a, b, 2.0)]
        outputs, trained = [low_rank_linear(y, weight.detach(), None, update) for update in updates], [x, gain, a, b]
    total = torch.stack([output.square().sum() for output in outputs]).sum()
    first = torch.autograd.grad(total, trained, retain_graph=True)
    plain_y = gain * x / (x.square().mean(-1, keepdim=True) + 0.1).sqrt()
    if layer == "trained":
        written = [F.linear(plain_y, each.weight, each.bias) for each in linears]
    else:
        written = [plain_y @ (weight.detach() + scale * b @ a).t() for scale in (0.5, 2.0)]
    plain_total = torch.stack([output.square().sum() for output in written]).sum()
    for once, wanted in zip(first, torch.autograd.grad(plain_total, trained), strict=True):
        torch.testing.assert_close(once, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))
    for once, again in zip(first, torch.autograd.grad(total, trained), strict=True):
        assert torch.equal(once, again)


def test_an_origin_makes_once_for_all_its_keepers_and_lets_go() -> None:
    made: list[torch.Tensor] = []
    origin = Origin(lambda part: made.append(part * 2.0) or made[-1])
    origin.keep().keep()
    part = torch.ones(1, 3, 2)
    for asked, expected in ((1, 1), (2, 1), (3, 2)):
        assert origin.again([part]).shape == (3, 2)
        assert (asked, len(made)) == (asked, expected)


def test_an_activation_is_made_once_in_a_backward_and_let_go() -> None:
    torch.manual_seed(0)
    gate, up = (torch.randn(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    made: list[weakref.ref[torch.Tensor]] = []

    def forward(x: torch.Tensor) -> torch.Tensor:
        activated = F.silu(x)
        made.append(weakref.ref(activated))
        return activated

    down = OwnLinear(4, 2, dtype=torch.float64)
    total = down(gated_product(gate, up, Activation(forward, ACTIVATIONS[0].backward))).square().sum()
    plain = down(F.silu(gate) * up).square().sum()
    wanted = torch.autograd.grad(plain, (gate, up, down.weight))
    for times in (2, 3):
        found = torch.autograd.grad(total, (gate, up, down.weight), retain_graph=True)
        assert len(made) == times
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-14)
        del found
        assert made[-1]() is None


def test_a_trained_weight_is_not_kept_a_second_time_in_the_precision_of_products() -> None:
    layer = OwnLinear(4, 2)
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        layer(torch.ones(3, 4, dtype=torch.bfloat16))
    assert [(x.dtype, x.shape) for x in kept] == [(torch.float32, (2, 4)), (torch.bfloat16, (3, 4))]


def test_the_second_gradient_of_a_tied_weight_is_added_in_place() -> None:
    """Else a step of full tuning takes a third tensor as large as the vocabulary."""
    layer = OwnLinear(4, 6, bias=False)
    ids = torch.tensor([1, 5])

    def step() -> None:
        layer(F.embedding(ids, layer.weight).tanh()).square().sum().backward()

    with torch.profiler.profile(record_shapes=True) as profile:
        step()
    added = [event.name for event in profile.events() if event.name.startswith("aten::add")]
    assert any(name == "aten::add_" for name in added)
    assert "aten::add" not in added


def test_what_a_layer_keeps_is_given_up_where_it_is_recomputed(tmp_path: Path) -> None:
    """Else recomputation would save nothing of it."""
    model = plain(tiny_model(tmp_path)).train()
    use_own_functions(model)
    use_own_linears(model)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    gates: list[weakref.ref[torch.Tensor]] = []
    for layer in model.model.layers:
        layer.mlp.gate_proj.register_forward_hook(lambda module, given, gate: gates.append(weakref.ref(gate)))
    hidden = model.model(input_ids=IDS, use_cache=False).last_hidden_state
    assert [gate() for gate in gates] == [None] * 3
    hidden.sum().backward()
    assert len(gates) == 6


def test_trained_weights_learn_under_autocast_as_torchs_layers_do(tmp_path: Path) -> None:
    """bf16 with fp32 weights: the norm gives fp32, the products compute in bf16."""
    model = plain(tiny_model(tmp_path))
    own = copy.deepcopy(model)
    use_own_functions(own)
    use_own_linears(own)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wanted, found = (m(input_ids=IDS, use_cache=False).logits for m in (model, own))
    torch.testing.assert_close(found, wanted, rtol=0, atol=0.02 * float(wanted.abs().max()))
    for one in (wanted, found):
        one.float().square().sum().backward()
    for (name, ordinary), (_, ours) in zip(model.named_parameters(), own.named_parameters(), strict=True):
        assert ordinary.grad is not None
        assert ours.grad is not None
        apart = float((ours.grad - ordinary.grad).norm() / ordinary.grad.norm())
        assert apart < 0.05, (name, apart)


def test_what_a_part_was_changed_to_is_noticed() -> None:
    x, gain = torch.randn(3, 4, requires_grad=True), torch.ones(4, requires_grad=True)
    layer = OwnLinear(4, 2)
    stream = x * 1.0
    y = layer(rms_normalise(stream, gain, 0.1))
    stream.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_what_computes_something_else_stays_as_it_is() -> None:
    class OddRMSNorm(LlamaRMSNorm):  # type: ignore[misc]
        __module__ = "transformers.models.odd"

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 1.001 * super().forward(x)

    module = nn.Sequential(OddRMSNorm(8))
    assert use_own_functions(module) == {}
    assert type(module[0]) is OddRMSNorm
    assert module[0].state_dict().keys() == {"weight"}


def test_a_norm_in_bf16_is_recognised_by_what_it_computes_in_fp32() -> None:
    module = nn.Sequential(GemmaRMSNorm(8)).to(torch.bfloat16)
    nn.init.normal_(module[0].weight)
    ordinary = copy.deepcopy(module)
    assert use_own_functions(module) == {"GemmaRMSNorm": 1}
    assert module[0].weight.dtype == torch.bfloat16
    x = torch.randn(4, 8)
    assert torch.equal(module(x.bfloat16()), ordinary(x.bfloat16()))
    torch.testing.assert_close(module.float()(x), ordinary.float()(x))


def test_a_watched_activation_is_called(tmp_path: Path) -> None:
    model = plain(tiny_model(tmp_path))
    use_own_functions(model)
    calls: list[int] = []
    model.model.layers[0].mlp.act_fn.register_forward_hook(lambda *_: calls.append(1))
    model(input_ids=IDS, use_cache=False)
    assert calls == [1]
