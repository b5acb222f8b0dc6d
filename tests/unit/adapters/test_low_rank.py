"""PEFT's LoRA layer with Luthier's arithmetic: PEFT's own forward and backward, wherever that is all it computes."""

from __future__ import annotations

import copy
from typing import Any

import peft
import pytest
import torch
from peft.tuners.lora.layer import Linear
from torch import nn

from luthier.adapters.low_rank import LoraLinear, plain_update, use_own_arithmetic
from luthier.models.arithmetic.low_rank import LowRankLinear


class Two(nn.Module):
    """Two linear layers, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 7), nn.Linear(7, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.second(torch.tanh(self.first(x)))
        return out


def tuned(**options: Any) -> tuple[Any, Any]:
    """The same adapter twice: with PEFT's layers, and with Luthier's arithmetic in them; float64."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {"r": 3, "lora_alpha": 5, "target_modules": ["first", "second"]} | options
    network: Any = Two()
    wrapper = peft.get_peft_model(network, peft.LoraConfig(**settings)).double()
    for name, parameter in wrapper.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter)
    own = copy.deepcopy(wrapper)
    layers = [module for module in own.modules() if isinstance(module, Linear)]
    use_own_arithmetic(layers)
    assert len(layers) == 2
    assert all(type(layer) is LoraLinear for layer in layers)
    return wrapper, own


def watched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the calls of Luthier's function."""
    calls: list[int] = []
    apply = LowRankLinear.apply
    monkeypatch.setattr(LowRankLinear, "apply", lambda *a: (calls.append(1), apply(*a))[1])
    return calls


def gradients(model: Any, x: torch.Tensor) -> dict[str, torch.Tensor]:
    at = x.clone().requires_grad_()
    (model(at) * torch.arange(4, dtype=x.dtype)).sum().backward()
    assert at.grad is not None
    return {"x": at.grad} | {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


X = torch.randn(2, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"lora_dropout": 0.0}])
def test_outputs_and_gradients_are_pefts(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper, own = tuned(**options)
    calls = watched(monkeypatch)
    torch.testing.assert_close(own(X), wrapper(X), rtol=1e-12, atol=1e-14)
    found, wanted = gradients(own, X), gradients(wrapper, X)
    assert found.keys() == wanted.keys()
    assert len(found) == 5  # x, and A and B of two layers
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-11, atol=1e-13)
    assert len(calls) == 4


def test_frozen_inputs_get_no_gradient() -> None:
    _, own = tuned()
    layer = own.base_model.model.first
    layer(X).sum().backward()
    assert layer.lora_A["default"].weight.grad.abs().sum() > 0
    assert X.grad is None


@pytest.mark.parametrize(
    "case", ["dropout", "dora", "lora bias", "watched", "two adapters", "off", "merged", "base trained"]
)
def test_what_is_more_than_a_plain_update_is_left_to_peft(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"dropout": {"lora_dropout": 0.3}, "dora": {"use_dora": True}, "lora bias": {"lora_bias": True}}
    models = tuned(**options.get(case, {}))
    calls = watched(monkeypatch)
    for model in models:
        torch.manual_seed(3)
        layer = model.base_model.model.first
        if case == "watched":
            layer.lora_A["default"].register_forward_hook(lambda module, args, out: out * 2)
        elif case == "two adapters":
            model.add_adapter("other", model.peft_config["default"])
            model.double()
            model.base_model.set_adapter(["default", "other"])
        elif case == "off":
            model.base_model.disable_adapter_layers()
        elif case == "merged":
            model.merge_adapter()
        elif case == "base trained":
            model.requires_grad_(True)
    torch.manual_seed(4)
    wanted = models[0](X)
    torch.manual_seed(4)
    torch.testing.assert_close(models[1](X), wanted, rtol=1e-12, atol=1e-14)
    assert len(calls) == (1 if case == "watched" else 0)  # the other layer is not watched


def test_bf16_products_keep_gradients_in_the_parameters_precision() -> None:
    _, own = tuned()
    own.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = own(X.float())
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    parameters = dict(own.named_parameters())
    assert {p.grad.dtype for p in parameters.values() if p.grad is not None} == {torch.float32}
    exact = own(X.float())
    assert (out.float() - exact).abs().max() < 0.03 * exact.abs().max()


def test_a_plain_update_is_what_the_layer_adds() -> None:
    _, own = tuned()
    layer = own.base_model.model.first
    update = plain_update(layer, "default")
    assert update is not None
    added = layer(X) - layer.base_layer(X)
    torch.testing.assert_close(added, update.scale * (X @ update.a.t()) @ update.b.t(), rtol=1e-12, atol=1e-13)
    assert plain_update(tuned(use_dora=True)[1].base_model.model.first, "default") is None
    assert plain_update(tuned(lora_bias=True)[1].base_model.model.first, "default") is None
    assert plain_update(nn.Linear(2, 2), "default") is None
