"""Token F1: words shared by answer and reference, as SQuAD counts them."""

from __future__ import annotations

import re
import string
from collections import Counter
from dataclasses import dataclass
from typing import Any

from luthier.core.types import Answer, Example
from luthier.evaluation.metrics.rows import has_failed, identity_text, mean_of_first_column, references_of
from luthier.evaluation.metrics.words import space_out_characters

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation + "、。〃《》「」『』【】〈〉〔〕〖〗〜・")


def squad_words(text: str) -> list[str]:
    """Return the words that SQuAD compares: lower case, without punctuation and the articles a, an, the.

    Punctuation is ASCII's, as in SQuAD's script, and that of Chinese, Japanese and Korean. Characters of these
    and of other scripts without spaces are words of their own, as in MLQA.
    """
    return _ARTICLES.sub(" ", space_out_characters(text.lower()).translate(_PUNCTUATION)).split()


@dataclass(frozen=True)
class TokenF1:
    """Mean over examples of the F1 between the words of answer and reference (0 to 1).

    Source: Rajpurkar et al. 2016, "SQuAD", its evaluation script (normalization included; two texts without words are
    equal). With several references the best counts. Counted: one F1 an example.
    """

    name = "token_f1"
    higher_is_better = True
    reduction = "mean"
    bounds = (0.0, 1.0)

    @property
    def identity(self) -> str:
        """Name with all settings."""
        return identity_text(self.name, normalization="squad")

    def measure(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """Return (F1,) with the best reference."""
        references = references_of(example, self.name)
        if has_failed(answer):
            return (0.0,)
        found = squad_words(answer.text)
        return (max(_f1(found, squad_words(reference)) for reference in references),)

    def value(self, rows: Any) -> Any:
        """Map rows `[..., n, 1]` to means `[...]`."""
        return mean_of_first_column(rows)


def _f1(found: list[str], expected: list[str]) -> float:
    if not found or not expected:
        return float(found == expected)
    shared = sum((Counter(found) & Counter(expected)).values())
    return 2 * shared / (len(found) + len(expected))
