"""Modules of a transformers model that compute with a function of ours: same names, parameters, places and hooks.

A module is recognised by what it has, and tried: where ours does not give what its own forward gives, it stays as it
is. The class becomes a subclass of the same name, so that whoever looks for norms or feed-forwards still finds them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from luthier.models.arithmetic.gated import ACTIVATIONS, Activation, gated_product
from luthier.models.arithmetic.precision import compute_dtype, in_fp32
from luthier.models.arithmetic.rms_norm import rms_normalise
from luthier.models.arithmetic.watching import is_watched

_TOLERANCE = 2e-6
"""Relative to the largest number: rounding in another order."""
_OWN_PRECISIONS = (torch.float32, torch.bfloat16)
"""Of norms. In bf16 families round at different places; ours computes in fp32 and rounds what it gives, once: also the
fp32 residual stream of trained weights, to the precision in which the products that read the norm compute."""


class _OwnRmsNorm(nn.Module):
    """An RMS norm; `_shifted` where the gain is one more than the weight (Gemma)."""

    weight: nn.Parameter
    _epsilon: float
    _shifted: bool

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `[..., D]`."""
        if x.dtype != self.weight.dtype or x.dtype not in _OWN_PRECISIONS:
            ordinary: Tensor = super().forward(x)
            return ordinary
        gain = self.weight.float() + 1.0 if self._shifted else self.weight
        return rms_normalise(x, gain, self._epsilon, compute_dtype(x))


class _OwnGatedFeedForward(nn.Module):
    """A feed-forward of `gate_proj`, `up_proj` and `down_proj`."""

    gate_proj: nn.Module
    up_proj: nn.Module
    down_proj: nn.Module
    act_fn: nn.Module
    _activation: Activation

    def forward(self, x: Tensor) -> Tensor:
        """Map `[..., D]` to `[..., D]`."""
        if is_watched(self.act_fn):
            ordinary: Tensor = super().forward(x)
            return ordinary
        gated = gated_product(self.gate_proj(x), self.up_proj(x), self._activation)
        found: Tensor = self.down_proj(gated)
        return found


OWN_CLASSES = (_OwnRmsNorm, _OwnGatedFeedForward)
"""What stands between a changed module's class and the one that it had."""


def use_own_functions(model: nn.Module) -> dict[str, int]:
    """Let norms and gated feed-forwards compute with our functions; says how many of each class do."""
    changed: dict[str, int] = {}
    for module in model.modules():
        if type(module).__module__.startswith("transformers.") and (_as_norm(module) or _as_feed_forward(module)):
            changed[type(module).__name__] = changed.get(type(module).__name__, 0) + 1
    return changed


def _as_norm(module: Any) -> bool:
    epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if not type(module).__name__.endswith("RMSNorm") or not isinstance(epsilon, float):
        return False
    if [name for name, _ in module.named_parameters()] != ["weight"]:
        return False
    return any(
        _become(module, _OwnRmsNorm, {"_epsilon": epsilon, "_shifted": shifted}, len(module.weight))
        for shifted in (False, True)
    )


def _as_feed_forward(module: Any) -> bool:
    if [name for name, _ in module.named_children()] != ["gate_proj", "up_proj", "down_proj", "act_fn"]:
        return False
    if not isinstance(module.gate_proj, nn.Linear):
        return False
    activation = next((known for known in ACTIVATIONS if _is(module.act_fn, known)), None)
    if activation is None:
        return False
    return _become(module, _OwnGatedFeedForward, {"_activation": activation}, module.gate_proj.in_features)


def _is(function: nn.Module, known: Activation) -> bool:
    around = torch.linspace(-6, 6, 49)
    return torch.allclose(function(around), known.forward(around), rtol=0, atol=1e-6)


def _become(module: nn.Module, own: type[nn.Module], settings: dict[str, Any], width: int) -> bool:
    """Change a module's class, and back again where it then computes something else."""
    before = type(module)
    with torch.no_grad(), in_fp32(module):
        probe = torch.randn(3, width, generator=torch.Generator().manual_seed(0))
        probe = probe.to(next(module.parameters()).device)
        wanted = module(probe)
        module.__class__ = _with(before, own)
        for name, value in settings.items():
            setattr(module, name, value)
        found = module(probe)
    if torch.allclose(found, wanted, rtol=0, atol=_TOLERANCE * float(wanted.abs().max())):
        return True
    module.__class__ = before
    for name in settings:
        delattr(module, name)
    return False


_SUBCLASSES: dict[tuple[type, type], type] = {}


def _with(before: type, own: type) -> type:
    """Return the subclass of a module's class that computes with ours; one a class, for all its modules."""
    if (before, own) not in _SUBCLASSES:
        _SUBCLASSES[before, own] = type(before.__name__, (own, before), {"__module__": before.__module__})
    return _SUBCLASSES[before, own]
