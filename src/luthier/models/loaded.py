"""A model in memory, with all that reading it needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from luthier.core.files import sha256_text
from luthier.models.arithmetic.precision import in_fp32
from luthier.models.facts import ModelFacts
from luthier.models.output_layer import OutputLayer

Precision = Literal["fp32", "bf16"]

_TOKENIZER_PROBES = (
    "Which day is it?",
    "Monday, the 3rd.",
    "  two  spaces\n\n\tand a tab\r\n",
    "3.14159 1,000 42",
    "1. one\n2. two\n\n3",
    "don't WON'T Isn't",
    "naïve café Straße",
    "日本語のテキスト",
    "مرحبا بالعالم",
    "🙂👩‍👧",
    '{"a": [1, null, true]}',
    "def f(x):\n    return x**2  # ok",
)
"""Texts that tokenizers differ on: white space, digits, contractions, scripts, code."""


@dataclass
class LoadedModel:
    """A model in memory.

    Attributes:
        facts: What its config says.
        tokenizer: A transformers tokenizer; its chat template is the one of training and inference.
        module: The transformers model, unmodified.
        output: Its output layer.
        digest: SHA-256 over the weights.
        precision: Compute precision. With bf16, weights that are frozen are bf16 and weights that are trained stay
            fp32 and are cast where they are used.
        packs: Whether it takes the packed layout: allowed by family, and checked at load.
        why_rows: If it does not pack, why.
        ordinary_attention: transformers' attention for the ordinary forward.
        own_functions: How many modules of each class compute with a function of ours.
        checked_decoders: Adapters (None: the model without any) through which generation's own forward was checked.
    """

    facts: ModelFacts
    tokenizer: Any
    module: Any
    output: OutputLayer
    digest: str
    precision: Precision = "fp32"
    packs: bool = True
    why_rows: str = ""
    ordinary_attention: str = "sdpa"
    own_functions: Mapping[str, int] = field(default_factory=dict)
    checked_decoders: set[str | None] = field(default_factory=set)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.module.parameters()).device

    @property
    def pad_id(self) -> int:
        """An id to fill padded rows with; masks, not ids, say what is padding."""
        pad = self.tokenizer.pad_token_id
        return int(pad if pad is not None else self.tokenizer.eos_token_id or 0)

    @property
    def template_digest(self) -> str:
        """SHA-256 of the chat template."""
        return sha256_text(self.tokenizer.chat_template or "")

    @property
    def tokens_digest(self) -> str:
        """SHA-256 of the ids of a dozen texts: another tokenizer, or a changed one, gives others."""
        ids = [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in _TOKENIZER_PROBES]
        return sha256_text(*(" ".join(map(str, one)) for one in ids))

    def identity(self, adapter: str = "") -> str:
        """Return what names this model in cache keys: weights, adapter, template, precision."""
        return sha256_text(self.digest, adapter, self.template_digest, self.precision)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which the model computes in its precision."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    @contextmanager
    def attention(self, implementation: str) -> Iterator[None]:
        """Call the model with an attention implementation; put the one before back."""
        config = self.module.config
        before = config._attn_implementation
        if before == implementation:
            yield
            return
        config._attn_implementation = implementation
        try:
            yield
        finally:
            config._attn_implementation = before

    def in_fp32(self) -> AbstractContextManager[None]:
        """Hold the weights in fp32 for a while."""
        return in_fp32(self.module)


def freeze(module: nn.Module) -> None:
    """Mark all parameters as not trained."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)
