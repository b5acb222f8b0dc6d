"""Rows in another language.

py3langid 0.4 tells languages apart, on this machine and without a download (140 languages, 4 MB; a fork of langid.py,
Lui and Baldwin 2012). It was taken over lingua, whose models are 20 times as large, because what matters here is not to
be sure of short texts but to say so: its probability is low where a text is short.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic import Field

from luthier.core.config import Config
from luthier.core.errors import MissingExtraError, unknown_name
from luthier.data.cleaning.rules import Finding, Row
from luthier.data.overlap import normalized

_NO_LANGUAGE = "zxx"


class LanguageConfig(Config):
    """Which languages stay."""

    keep: list[str] = Field(
        default=[], description="languages to keep, as ISO 639 codes such as en and de; empty: the most frequent one"
    )
    probability: float = Field(
        default=0.9, gt=0, le=1, description="how sure it must be that a row is in another language"
    )


class Language:
    """Removes rows whose question is, with a probability of 90 % or more, in another language (py3langid).

    Only the question is judged: answers are often labels, which are the same in every language. Rows of which no
    language is sure enough (short ones, numbers, code) stay.
    """

    name = "language"
    Config = LanguageConfig

    def __init__(self, config: LanguageConfig) -> None:
        self.config = config

    def find(self, rows: Sequence[Row]) -> list[Finding]:
        """Find rows in other languages than those to keep.

        Raises:
            MissingExtraError: if py3langid is not installed.
            ConfigError: if a language to keep is none that it knows.
        """
        identifier = _identifier()
        for code in self.config.keep:
            if code not in identifier.labels:
                raise unknown_name("language", code, identifier.labels)
        found = [identifier.classify(text) for text in normalized([row.asked for row in rows])]
        sure = [code if p >= self.config.probability and code != _NO_LANGUAGE else None for code, p in found]
        kept = self.config.keep or [code for code, _ in Counter(filter(None, sure)).most_common(1)]
        return [
            Finding(number, f"its language is {code} ({100 * found[number][1]:.0f} %), kept: {', '.join(kept)}")
            for number, code in enumerate(sure)
            if code is not None and code not in kept
        ]


@cache
def _identifier() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise MissingExtraError("py3langid", "cleaning", "The rule 'language'") from None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
