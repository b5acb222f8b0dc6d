"""How each family's decoder is put together, from its config and the names of its weights: no transformers needed.

A family is a function from a `Source` to a `Decoder`. What a family may have and is not written here (another rotary
scaling, mixtures of experts) raises `NotDescribedError`: the ordinary forward is used then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from luthier.generation.lean.decoder import (
    Activation,
    Angles,
    Decoder,
    FeedForward,
    Layer,
    LayerNorm,
    Linear,
    Norm,
    Projections,
    RmsNorm,
)
from luthier.generation.lean.packing import Packing
from luthier.models.arithmetic.low_rank import LowRankUpdate
from luthier.models.attention import AttentionOptions

_TANH_GELU: Activation = partial(F.gelu, approximate="tanh")
_ACTIVATIONS: dict[str, Activation] = {
    "silu": F.silu,
    "swish": F.silu,
    "gelu": F.gelu,
    "gelu_new": _TANH_GELU,
    "gelu_pytorch_tanh": _TANH_GELU,
    "gelu_fast": _TANH_GELU,
    "relu": F.relu,
}


class NotDescribedError(Exception):
    """A model that is not described here; says what it has that is unknown."""


@dataclass(frozen=True)
class Source:
    """A model's config and weights.

    Attributes:
        config: As transformers holds it, or any object with the same names.
        tensors: Weights by name.
        updates: What an adapter adds, by the name of the module.
        dtype: Precision of the products.
        packing: Holds weights in the order of products of few rows; None for none.
    """

    config: Any
    tensors: Mapping[str, Tensor]
    dtype: torch.dtype
    updates: Mapping[str, LowRankUpdate] = field(default_factory=dict)
    packing: Packing | None = None

    def linear(self, name: str, transposed: bool = False) -> Linear:
        """Return a linear layer; `transposed` where its weight is stored `[in, out]`."""
        weight = self.tensor(f"{name}.weight")
        bias = self.tensors.get(f"{name}.bias")
        linear = Linear(weight.t() if transposed else weight, bias, self.updates.get(name)).to(self.dtype)
        return linear if self.packing is None else replace(linear, packed=self.packing.of(linear.weight, weight))

    def tensor(self, name: str) -> Tensor:
        """Return a weight."""
        if name not in self.tensors:
            raise NotDescribedError(f"it has no weight {name}")
        return self.tensors[name].detach()

    def rms_norm(self, name: str, shifted: bool = False) -> RmsNorm:
        """Return an RMS norm."""
        return RmsNorm(self.tensor(f"{name}.weight"), self.config.rms_norm_eps, shifted)

    def layer_norm(self, name: str, epsilon: float) -> LayerNorm:
        """Return a layer norm."""
        bias = self.tensors.get(f"{name}.bias")
        return LayerNorm(self.tensor(f"{name}.weight"), bias, epsilon)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value of the config."""
        found = getattr(self.config, name, default)
        return default if found is None else found

    @property
    def layers(self) -> int:
        """How many there are."""
        return int(self.config.num_hidden_layers)

    @property
    def heads(self) -> tuple[int, int, int]:
        """H, G, K."""
        heads = int(self.config.num_attention_heads)
        return (
            heads,
            int(self.get("num_key_value_heads", heads)),
            int(self.get("head_dim", self.config.hidden_size // heads)),
        )

    def activation(self, *names: str) -> Activation:
        """Return the activation that the config names."""
        name = next(str(found) for found in map(self.get, names) if found)
        if name not in _ACTIVATIONS:
            raise NotDescribedError(f"its activation is {name}")
        return _ACTIVATIONS[name]

    def angles(self, width: int, kind: str | None = None) -> Angles:
        """Return the frequencies of rotary embedding of `width` dimensions; `kind` where layers differ in them."""
        settings = self.config.rope_parameters
        settings = settings[kind] if kind is not None else settings
        width = int(width * settings.get("partial_rotary_factor", 1.0))
        frequencies = settings["rope_theta"] ** -(torch.arange(0, width, 2, dtype=torch.float) / width)
        scaling = settings.get("rope_type", "default")
        if scaling == "linear":
            frequencies = frequencies / settings["factor"]
        elif scaling == "llama3":
            frequencies = _llama3(frequencies, settings)
        elif scaling != "default":
            raise NotDescribedError(f"its rotary embedding is scaled by {scaling}")
        return Angles(frequencies.to(self.tensors[next(iter(self.tensors))].device))

    def options(self, layer: int, **more: Any) -> AttentionOptions:
        """Return what a layer asks of attention."""
        given = {"scale": self.heads[2] ** -0.5} | more
        return AttentionOptions(layer=layer, **given)


def _llama3(frequencies: Tensor, settings: Mapping[str, Any]) -> Tensor:
    """Stretch the slow frequencies by `factor`, keep the fast ones, and go over smoothly in between (Llama 3.1)."""
    slow, fast, context = (
        settings[name] for name in ("low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    )
    turns = context * frequencies / (2 * math.pi)  # within the original context
    smooth = ((turns - slow) / (fast - slow)).clamp(0, 1)
    return (1 - smooth) * frequencies / settings["factor"] + smooth * frequencies


def _windows(source: Source) -> list[int | None]:
    """Return each layer's sliding window."""
    window = source.get("sliding_window")
    kinds = source.get("layer_types")
    if not source.get("use_sliding_window", True):
        window = None
    if kinds is None:
        return [window] * source.layers
    if not set(kinds) <= {"full_attention", "sliding_attention"}:
        raise NotDescribedError(f"its layers are of kinds {', '.join(sorted(set(kinds)))}")
    return [window if kind == "sliding_attention" else None for kind in kinds]


def _like_llama(source: Source) -> Decoder:
    """Llama and what follows it: RMS norms before each half, gated feed-forward, rotary positions."""
    heads, windows = source.heads, _windows(source)
    turning = source.get("no_rope_layers", [True] * source.layers)
    residual = float(source.get("residual_multiplier", 1.0))
    scale = float(source.get("attention_multiplier", heads[2] ** -0.5))
    layers = []
    for index in range(source.layers):
        name = f"model.layers.{index}"
        layers.append(
            Layer(
                _projections(source, f"{name}.self_attn", source.rms_norm),
                source.linear(f"{name}.self_attn.o_proj"),
                _gated(source, f"{name}.mlp"),
                source.options(index, window=windows[index], scale=scale),
                source.rms_norm(f"{name}.input_layernorm"),
                source.rms_norm(f"{name}.post_attention_layernorm"),
                rotary="all" if turning[index] else None,
                residual_scale=residual,
            )
        )
    return Decoder(
        source.tensor("model.embed_tokens.weight"),
        tuple(layers),
        source.rms_norm("model.norm"),
        {"all": source.angles(heads[2])},
        scale=float(source.get("embedding_multiplier", 1.0)),
    )


def _gemma(source: Source) -> Decoder:
    """Gemma 1 to 3: shifted norms, scaled embeddings; from 2 on norms after each half, and windows."""
    heads, norm = source.heads, partial(source.rms_norm, shifted=True)
    sandwiched = "model.layers.0.pre_feedforward_layernorm.weight" in source.tensors
    windows = _windows(source) if sandwiched else [None] * source.layers
    kinds = source.get("layer_types") or ["all"] * source.layers
    own_angles = kinds[0] in source.config.rope_parameters
    scale = float(source.get("query_pre_attn_scalar", heads[2])) ** -0.5
    cap = source.get("attn_logit_softcapping") if sandwiched else None
    layers = []
    for index in range(source.layers):
        name = f"model.layers.{index}"
        middle = "pre_feedforward_layernorm" if sandwiched else "post_attention_layernorm"
        layers.append(
            Layer(
                _projections(source, f"{name}.self_attn", norm),
                source.linear(f"{name}.self_attn.o_proj"),
                _gated(source, f"{name}.mlp"),
                source.options(index, window=windows[index], scale=scale, softcap=cap),
                norm(f"{name}.input_layernorm"),
                norm(f"{name}.{middle}"),
                after_attention=norm(f"{name}.post_attention_layernorm") if sandwiched else None,
                after_feed_forward=norm(f"{name}.post_feedforward_layernorm") if sandwiched else None,
                rotary=kinds[index] if own_angles else "all",
            )
        )
    angles = (
        {kind: source.angles(heads[2], kind) for kind in set(kinds)} if own_angles else {"all": source.angles(heads[2])}
    )
    return Decoder(
        source.tensor("model.embed_tokens.weight"),
        tuple(layers),
        norm("model.norm"),
        angles,
        scale=source.config.hidden_size**0.5,
    )


def _gpt2(source: Source) -> Decoder:
    """GPT-2: layer norms, learned positions, weights stored `[in, out]`."""
    heads = int(source.config.num_attention_heads)
    width = int(source.config.hidden_size) // heads
    epsilon = source.config.layer_norm_epsilon
    layers = []
    for index in range(source.layers):
        name = f"transformer.h.{index}"
        scale = width**-0.5 if source.config.scale_attn_weights else 1.0
        if source.config.scale_attn_by_inverse_layer_idx:
            scale /= index + 1
        layers.append(
            Layer(
                Projections((source.linear(f"{name}.attn.c_attn", transposed=True),), heads, heads, width),
                source.linear(f"{name}.attn.c_proj", transposed=True),
                FeedForward(
                    source.linear(f"{name}.mlp.c_fc", transposed=True),
                    source.linear(f"{name}.mlp.c_proj", transposed=True),
                    source.activation("activation_function"),
                ),
                AttentionOptions(index, scale),
                source.layer_norm(f"{name}.ln_1", epsilon),
                source.layer_norm(f"{name}.ln_2", epsilon),
                rotary=None,
            )
        )
    return Decoder(
        source.tensor("transformer.wte.weight"),
        tuple(layers),
        source.layer_norm("transformer.ln_f", epsilon),
        {},
        source.tensor("transformer.wpe.weight"),
    )


def _gpt_neox(source: Source) -> Decoder:
    """GPT-NeoX and Pythia: both halves read the same stream, part of each head is rotated."""
    heads, width = source.heads[0], source.config.hidden_size // source.heads[0]
    epsilon = source.config.layer_norm_eps
    layers = []
    for index in range(source.layers):
        name = f"gpt_neox.layers.{index}"
        layers.append(
            Layer(
                Projections(
                    (source.linear(f"{name}.attention.query_key_value"),), heads, heads, width, interleaved=True
                ),
                source.linear(f"{name}.attention.dense"),
                FeedForward(
                    source.linear(f"{name}.mlp.dense_h_to_4h"),
                    source.linear(f"{name}.mlp.dense_4h_to_h"),
                    source.activation("hidden_act"),
                ),
                AttentionOptions(index, width**-0.5),
                source.layer_norm(f"{name}.input_layernorm", epsilon),
                source.layer_norm(f"{name}.post_attention_layernorm", epsilon),
                parallel=bool(source.config.use_parallel_residual),
            )
        )
    return Decoder(
        source.tensor("gpt_neox.embed_in.weight"),
        tuple(layers),
        source.layer_norm("gpt_neox.final_layer_norm", epsilon),
        {"all": source.angles(width)},
    )


def _phi(source: Source) -> Decoder:
    """Phi 1 to 2: one norm, both halves read what it gives, part of each head is rotated."""
    norm = partial(source.layer_norm, epsilon=source.config.layer_norm_eps)
    layers = []
    for index in range(source.layers):
        name = f"model.layers.{index}"
        layers.append(
            Layer(
                _projections(source, f"{name}.self_attn", norm),
                source.linear(f"{name}.self_attn.dense"),
                FeedForward(
                    source.linear(f"{name}.mlp.fc1"), source.linear(f"{name}.mlp.fc2"), source.activation("hidden_act")
                ),
                source.options(index),
                norm(f"{name}.input_layernorm"),
                None,
                parallel=True,
            )
        )
    return Decoder(
        source.tensor("model.embed_tokens.weight"),
        tuple(layers),
        norm("model.final_layernorm"),
        {"all": source.angles(source.heads[2])},
    )


def _projections(source: Source, name: str, norm: Callable[[str], Norm]) -> Projections:
    """Queries, keys and values: three layers, or Phi-3's one; with norms of each head where there are any."""
    if f"{name}.qkv_proj.weight" in source.tensors:
        linears: tuple[Linear, ...] = (source.linear(f"{name}.qkv_proj"),)
    else:
        linears = tuple(source.linear(f"{name}.{part}_proj") for part in "qkv")
    for normed in ("norm", "layernorm"):
        if f"{name}.q_{normed}.weight" in source.tensors:
            return Projections(linears, *source.heads, False, norm(f"{name}.q_{normed}"), norm(f"{name}.k_{normed}"))
    return Projections(linears, *source.heads)


def _gated(source: Source, name: str) -> FeedForward:
    """A gated feed-forward, with gate and up apart or, as in Phi-3, in one."""
    activation = source.activation("hidden_activation", "hidden_act")
    if f"{name}.gate_up_proj.weight" in source.tensors:
        return FeedForward(
            source.linear(f"{name}.gate_up_proj"), source.linear(f"{name}.down_proj"), activation, joined=True
        )
    gate, up, down = (source.linear(f"{name}.{part}_proj") for part in ("gate", "up", "down"))
    return FeedForward(up, down, activation, gate)


_FAMILIES: dict[str, Callable[[Source], Decoder]] = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "smollm3", "granite", "phi3"), _like_llama),
    **dict.fromkeys(("gemma", "gemma2", "gemma3_text"), _gemma),
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
    "phi": _phi,
}


def describe(source: Source) -> Decoder:
    """Return a model's decoder.

    Raises:
        NotDescribedError: if its family, or something that it has, is not described here.
    """
    family = source.config.model_type
    if family not in _FAMILIES:
        raise NotDescribedError(f"the family {family} is not described")
    return _FAMILIES[family](source)
