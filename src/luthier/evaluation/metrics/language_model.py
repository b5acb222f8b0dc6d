"""How well a model predicts plain text: perplexities, bits per byte, next-token accuracy.

`perplexity per unit = exp(N / units)`, with N the negative log-likelihood of all tokens in nats (the sum over the whole
text, not a mean of documents' perplexities) and units the tokens, words or bytes of the text. Bits per byte is
`N / (bytes ln 2)`, the logarithm to base 2 of the perplexity per byte.

Perplexity per token is only comparable between models with one tokenizer; per word, per byte and bits per byte are
comparable between all. Words are what stands between white space, as in published word perplexities; text without
spaces has few of them. What a document begins and ends with is not among the tokens.

A row holds the sums of one document, or of one section of a long one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from luthier.core.errors import DataError
from luthier.core.types import Answer, Example
from luthier.evaluation.metrics.rows import identity_text

_LARGEST_EXPONENT = 700.0
"""Of a finite number in double precision; a perplexity beyond it is written as if it were this large."""


@dataclass(frozen=True)
class _OfText:
    name = ""
    higher_is_better = False
    reduction = "totals"
    bounds = (1.0, float("inf"))
    unit = "number"
    of_text = True
    _above = "nats"
    _below = "tokens"

    @property
    def identity(self) -> str:
        """Name with all settings."""
        return identity_text(self.name)

    def measure(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """Return the two sums of a text that was read, whose ratio the value is made from.

        Raises:
            DataError: if the answer is not that of a reader of text.
        """
        if self._above not in answer.scores or self._below not in answer.scores:
            raise DataError(
                f"{self.name} is measured on text that a model reads, and '{example.id}' was answered. Name a folder "
                "of documents and --kind corpus."
            )
        return (float(answer.scores[self._above]), float(answer.scores[self._below]))

    def value(self, rows: Any) -> Any:
        """Map rows `[..., n, 2]` to values `[...]`."""
        sums = rows.sum(axis=-2)
        return self._of_ratio(sums[..., 0] / np.maximum(sums[..., 1], 1e-12))

    def _of_ratio(self, ratio: Any) -> Any:
        return np.exp(np.minimum(ratio, _LARGEST_EXPONENT))


@dataclass(frozen=True)
class TokenPerplexity(_OfText):
    """Perplexity per token of text (1 or more, lower is better); comparable with the same tokenizer only."""

    name = "token_perplexity"


@dataclass(frozen=True)
class WordPerplexity(_OfText):
    """Perplexity per word of text (1 or more, lower is better); words stand between white space."""

    name = "word_perplexity"
    _below = "words"


@dataclass(frozen=True)
class BytePerplexity(_OfText):
    """Perplexity per byte of text in UTF-8 (1 or more, lower is better)."""

    name = "byte_perplexity"
    _below = "bytes"


@dataclass(frozen=True)
class BitsPerByte(_OfText):
    """Bits per byte of text in UTF-8 (0 or more, lower is better): how small the text could be packed."""

    name = "bits_per_byte"
    bounds = (0.0, float("inf"))
    _below = "bytes"

    def _of_ratio(self, ratio: Any) -> Any:
        return ratio / np.log(2.0)


@dataclass(frozen=True)
class NextTokenAccuracy(_OfText):
    """Share of tokens that the model held for the most probable ones (0 to 1)."""

    name = "next_token_accuracy"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "share"
    _above = "hits"

    def _of_ratio(self, ratio: Any) -> Any:
        return ratio
