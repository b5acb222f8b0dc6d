"""Well-known public models, and the built-in ones, as their configs describe them: what a plan can be made from before
anything is downloaded.

Shapes are those of the published `config.json`; `parameters` is the published total, which a test derives from the
shape, so that a wrong number shows. Nobody has tried the public ones with Luthier; the built-in ones are tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from luthier.models.facts import ModelFacts

Access = Literal["open", "gated", "see its page"]
"""gated: terms have to be accepted on the model's page first. "see its page": it has been gated at times."""


@dataclass(frozen=True)
class PublicModel:
    """A model of the public hub.

    Attributes:
        facts: Its shape.
        parameters: The published total.
        licence: SPDX name where there is one, else a short name; the model's page has the text.
        access: Who may download it.
    """

    facts: ModelFacts
    parameters: int
    licence: str
    access: Access = "open"

    @property
    def name(self) -> str:
        """The name that `--model` takes."""
        return self.facts.name


def _shape(
    name: str,
    family: str,
    *,
    layers: int,
    width: int,
    heads: tuple[int, int],
    feed_forward: int,
    vocabulary: int,
    context: int,
    tied: bool = True,
    head_width: int | None = None,
) -> ModelFacts:
    """Describe a decoder; `heads` are those of queries and those of keys and values."""
    return ModelFacts(
        name=name,
        folder=None,
        family=family,
        architecture="",
        kind="causal",
        layers=layers,
        width=width,
        heads=heads[0],
        kv_heads=heads[1],
        head_width=head_width or width // heads[0],
        feed_forward=feed_forward,
        vocabulary=vocabulary,
        tied=tied,
        context=context,
        has=frozenset({"causal"}),
    )


def _smollm2(name: str, layers: int, width: int, heads: tuple[int, int], feed_forward: int) -> ModelFacts:
    return _shape(
        name, "llama", layers=layers, width=width, heads=heads, feed_forward=feed_forward, vocabulary=49_152,
        context=8_192,
    )  # fmt: skip


def _qwen2_5(
    size: str, layers: int, width: int, heads: tuple[int, int], feed_forward: int, vocabulary: int = 151_936
) -> ModelFacts:
    return _shape(
        f"Qwen/Qwen2.5-{size}-Instruct", "qwen2", layers=layers, width=width, heads=heads, feed_forward=feed_forward,
        vocabulary=vocabulary, context=32_768, tied=vocabulary == 151_936,
    )  # fmt: skip


def _llama3_2(size: str, layers: int, width: int, heads: tuple[int, int]) -> ModelFacts:
    return _shape(
        f"meta-llama/Llama-3.2-{size}-Instruct", "llama", layers=layers, width=width, heads=heads, feed_forward=8_192,
        vocabulary=128_256, context=131_072,
    )  # fmt: skip


def _gemma3(name: str, layers: int, width: int, feed_forward: int) -> ModelFacts:
    return _shape(
        name, "gemma3_text", layers=layers, width=width, heads=(4, 1), head_width=256, feed_forward=feed_forward,
        vocabulary=262_144, context=32_768,
    )  # fmt: skip


_PHI_3_5 = _shape(
    "microsoft/Phi-3.5-mini-instruct", "phi3", layers=32, width=3_072, heads=(32, 32), feed_forward=8_192,
    vocabulary=32_064, context=131_072, tied=False,
)  # fmt: skip
_MISTRAL = _shape(
    "mistralai/Mistral-7B-Instruct-v0.3", "mistral", layers=32, width=4_096, heads=(32, 8), feed_forward=14_336,
    vocabulary=32_768, context=32_768, tied=False,
)  # fmt: skip

PUBLIC_MODELS = (
    PublicModel(_smollm2("HuggingFaceTB/SmolLM2-135M-Instruct", 30, 576, (9, 3), 1_536), 134_515_008, "Apache-2.0"),
    PublicModel(_smollm2("HuggingFaceTB/SmolLM2-360M-Instruct", 32, 960, (15, 5), 2_560), 361_821_120, "Apache-2.0"),
    PublicModel(_qwen2_5("0.5B", 24, 896, (14, 2), 4_864), 494_032_768, "Apache-2.0"),
    PublicModel(_gemma3("google/gemma-3-1b-it", 26, 1_152, 6_912), 999_885_952, "Gemma", "gated"),
    PublicModel(_llama3_2("1B", 16, 2_048, (32, 8)), 1_235_814_400, "Llama 3.2", "gated"),
    PublicModel(_qwen2_5("1.5B", 28, 1_536, (12, 2), 8_960), 1_543_714_304, "Apache-2.0"),
    PublicModel(_smollm2("HuggingFaceTB/SmolLM2-1.7B-Instruct", 24, 2_048, (32, 32), 8_192), 1_711_376_384,
                "Apache-2.0"),
    PublicModel(_qwen2_5("3B", 36, 2_048, (16, 2), 11_008), 3_085_938_688, "Qwen Research"),
    PublicModel(_llama3_2("3B", 28, 3_072, (24, 8)), 3_212_749_824, "Llama 3.2", "gated"),
    PublicModel(_PHI_3_5, 3_821_079_552, "MIT"),
    PublicModel(_MISTRAL, 7_248_023_552, "Apache-2.0", "see its page"),
    PublicModel(_qwen2_5("7B", 28, 3_584, (28, 4), 18_944, 152_064), 7_615_616_512, "Apache-2.0"),
)  # fmt: skip
"""Smallest first."""

BUILTIN_SHAPES = {
    facts.name: facts
    for facts in (
        _smollm2("smollm2-135m-instruct", 30, 576, (9, 3), 1_536),
        _gemma3("gemma-3-270m", 18, 640, 2_048),
    )
}
"""The shapes of the built-in models, known before they are fetched."""
