"""PEFT's LoRA layer with Luthier's arithmetic: names, parameters, merging and files stay PEFT's."""

from __future__ import annotations

from typing import Any

from peft.tuners.lora.layer import Linear
from torch import Tensor, nn

from luthier.models.arithmetic.low_rank import LowRankUpdate, low_rank_linear
from luthier.models.arithmetic.precision import compute_dtype
from luthier.models.arithmetic.watching import is_watched


class LoraLinear(Linear):
    """PEFT's layer; its forward is one function wherever that computes the same."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Map `[..., in]` to `[..., out]`."""
        update = None if args or kwargs else self._update()
        if update is None:
            ordinary: Tensor = super().forward(x, *args, **kwargs)
            return ordinary
        base: Any = self.base_layer
        x = x.to(compute_dtype(x))
        return low_rank_linear(x, base.weight, base.bias, update)

    def _update(self) -> LowRankUpdate | None:
        """Return a single, plain update of a frozen layer that nobody watches; None where PEFT computes more."""
        names = [name for name in self.active_adapters if name in self.lora_A]
        if self.disable_adapters or self.merged or len(names) != 1:
            return None
        name = names[0]
        dropping = self.training and not isinstance(self.lora_dropout[name], nn.Identity)
        base = self.base_layer
        if dropping or type(base) is not nn.Linear or base.weight.requires_grad:
            return None
        return None if any(map(is_watched, (base, self.lora_A[name], self.lora_B[name]))) else plain_update(self, name)


def plain_update(layer: Any, name: str) -> LowRankUpdate | None:
    """Return what a layer of PEFT's adds under a name, dropout apart; None for its variants (DoRA) and other kinds."""
    if not isinstance(layer, Linear) or name in layer.lora_variant or layer.lora_B[name].bias is not None:
        return None
    a: Tensor = layer.lora_A[name].get_parameter("weight")
    b: Tensor = layer.lora_B[name].get_parameter("weight")
    return LowRankUpdate(a, b, layer.scaling[name])


def use_own_arithmetic(layers: list[Any]) -> None:
    """Let PEFT's layers compute in one function; layers of other classes stay as they are."""
    for layer in layers:
        if type(layer) is Linear:
            layer.__class__ = LoraLinear
