"""What a model has, from its config alone: compatibility is decided before any weight is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PACKING_FAMILIES = frozenset(
    {
        "llama", "qwen2", "qwen3", "mistral", "ministral", "phi", "phi3", "gpt2", "gpt_neox", "olmo", "olmo2", "olmo3",
        "smollm3", "granite", "cohere", "cohere2", "gemma", "gemma2", "gemma3_text", "starcoder2", "glm", "mixtral",
        "qwen3_moe", "gpt_oss", "opt",
    }
)  # fmt: skip
"""Families whose attention arrives whole at the interface. Others (ALiBi, chunked or linear attention, recurrent
layers) would leak between packed sequences without an error, so an allow-list it is; a self-test at load checks the
members again."""


@dataclass(frozen=True)
class ModelFacts:
    """A model as its config describes it.

    Attributes:
        name: What the user wrote.
        folder: Where its files are; None for a model that is only known by its config.
        family: transformers' `model_type`.
        architecture: The class that holds it.
        kind: causal, encoder, or encoder_decoder.
        parameters: Number of parameters, estimated from the shapes of a decoder.
    """

    name: str
    folder: Path | None
    family: str
    architecture: str
    kind: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    feed_forward: int
    vocabulary: int
    tied: bool
    context: int
    has: frozenset[str] = field(default_factory=frozenset)

    @property
    def packs(self) -> bool:
        """Whether the family may take the packed layout."""
        return self.kind == "causal" and self.family in PACKING_FAMILIES

    @property
    def parameters(self) -> int:
        """Estimated number of parameters (gated feed-forward, no biases)."""
        attention = self.width * self.head_width * (2 * self.heads + 2 * self.kv_heads)
        per_layer = attention + 3 * self.width * self.feed_forward + 2 * self.width
        embeddings = self.vocabulary * self.width * (1 if self.tied else 2)
        return self.layers * per_layer + embeddings + self.width

    @classmethod
    def of(cls, name: str, folder: Path | None, config: Any) -> ModelFacts:
        """Read the facts off a transformers config."""
        text = config.get_text_config() if hasattr(config, "get_text_config") else config
        width = _first(text, "hidden_size", "n_embd", "d_model")
        heads = _first(text, "num_attention_heads", "n_head")
        kind = _kind(config)
        return cls(
            name=name,
            folder=folder,
            family=text.model_type,
            architecture=(config.architectures or ["unknown"])[0],
            kind=kind,
            layers=_first(text, "num_hidden_layers", "n_layer"),
            width=width,
            heads=heads,
            kv_heads=getattr(text, "num_key_value_heads", None) or heads,
            head_width=getattr(text, "head_dim", None) or width // heads,
            feed_forward=_first(text, "intermediate_size", "n_inner", "ffn_dim", default=4 * width),
            vocabulary=text.vocab_size,
            tied=bool(getattr(text, "tie_word_embeddings", True)),
            context=_first(text, "max_position_embeddings", "n_positions", default=2048),
            has=frozenset({kind}),
        )


def _kind(config: Any) -> str:
    if getattr(config, "is_encoder_decoder", False):
        return "encoder_decoder"
    names = config.architectures or []
    return "encoder" if names and not any("CausalLM" in n or "LMHead" in n for n in names) else "causal"


def _first(config: Any, *names: str, default: int | None = None) -> int:
    for name in names:
        value = getattr(config, name, None)
        if value:
            return int(value)
    if default is None:
        raise ValueError(f"the model's config names none of {', '.join(names)}")
    return default
