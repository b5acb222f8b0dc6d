"""BLEU and chrF: n-grams of words, and of characters, shared by answer and reference, counted by sacrebleu.

Sources: Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation"; Popović 2015, "chrF:
character n-gram F-score for automatic MT evaluation"; Post 2018, "A Call for Clarity in Reporting BLEU Scores", through
the package sacrebleu. The figures are the package's own, divided by 100.

Neither is a mean of rows: matches and lengths are summed over all rows first. A row holds these counts, so that a
resample is a corpus like the one that was scored (Koehn 2004, "Statistical Significance Tests for Machine Translation
Evaluation"). A row alone scores what sacrebleu's `sentence_bleu` and `sentence_chrf` give.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from luthier.core.errors import unknown_name
from luthier.core.types import Answer, Example
from luthier.evaluation.metrics.rows import has_failed, identity_text, references_of
from luthier.evaluation.metrics.words import share_without_spaces

TOKENIZERS = ("13a", "intl", "zh", "char", "none")
"""Ways in which sacrebleu cuts a text into words, but for those that fetch a model or need another package."""
_ORDERS = 4
"""Longest n-gram of BLEU, in words."""
_CHARACTERS = 6
"""Longest n-gram of chrF, in characters."""
_BETA_SQUARED = 4.0
"""chrF2: recall counts twice as much as precision."""


def tokenizer_for(texts: Iterable[str]) -> str:
    """Return the tokenizer that fits references: "13a", or "zh" or "char" where words are not set apart by spaces.

    "13a" takes a sentence of Chinese or Japanese for one word, so that nearly every answer would score 0.
    """
    chinese, other = share_without_spaces("".join(texts))
    if chinese + other <= 0.5:
        return "13a"
    return "zh" if other < 0.05 else "char"


def _installed() -> str:
    return importlib.metadata.version("sacrebleu")


@lru_cache(maxsize=8)
def _bleu_counter(tokenize: str) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize=tokenize, effective_order=True)  # it warns of sentences otherwise; counts are the same


@lru_cache(maxsize=1)
def _chrf_counter() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


def _number_of_references(rows: Any) -> str:
    """Return the references a row as signatures write them, from the rows' last column."""
    least, most = rows[:, -1].min(), rows[:, -1].max()
    return f"{least:.0f}" if least == most else "var"


@dataclass(frozen=True)
class Bleu:
    """BLEU over all examples as one corpus (0 to 1), with up to 4 words at a time, as sacrebleu counts it.

    Row: length of the answer, of the closest reference, matching n-grams of each order, n-grams of each order, number
    of references. An order without a match counts half a match, the next a quarter (sacrebleu's smoothing "exp").
    Texts of fewer than four words score 0, unless longer ones stand beside them.

    Raises:
        ConfigError: for an unknown tokenizer.
    """

    tokenize: str = "13a"
    """How texts are cut into words."""
    sacrebleu: str = field(default_factory=_installed)
    """Version of the package that counted."""

    name = "bleu"
    higher_is_better = True
    reduction = "sums"
    bounds = (0.0, 1.0)

    def __post_init__(self) -> None:
        if self.tokenize not in TOKENIZERS:
            raise unknown_name("tokenizer of bleu", self.tokenize, TOKENIZERS)

    @property
    def identity(self) -> str:
        """Name with all settings."""
        return identity_text(self.name, tokenize=self.tokenize, sacrebleu=self.sacrebleu)

    def signature(self, rows: Any) -> str:
        """Return sacrebleu's signature of a score from rows `[n, 11]`: all that its figure depends on."""
        settings = f"case:mixed|eff:no|tok:{self.tokenize}|smooth:exp|version:{self.sacrebleu}"
        return f"nrefs:{_number_of_references(rows)}|{settings}"

    def measure(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """Return one example's counts; a failed answer has no words."""
        references = references_of(example, self.name)
        text = "" if has_failed(answer) else answer.text
        found = _bleu_counter(self.tokenize).sentence_score(text, references)
        counts = (found.sys_len, found.ref_len, *found.counts, *found.totals, len(references))
        return tuple(float(count) for count in counts)

    def value(self, rows: Any) -> Any:
        """Map rows `[..., n, 11]` to corpus BLEU `[...]`."""
        logs, orders, brevity = _precisions(rows.sum(axis=-2))
        return np.where(orders == _ORDERS, brevity * np.exp(logs / _ORDERS), 0.0)

    def of_each(self, rows: Any) -> Any:
        """Map rows `[n, 11]` to sentence BLEU `[n]`: only orders that a short text has count."""
        logs, orders, brevity = _precisions(rows)
        return np.where(orders > 0, brevity * np.exp(logs / np.maximum(orders, 1)), 0.0)

    def details(self, rows: Any) -> dict[str, float]:
        """Return the length of all answers over that of the references: much below 1, brevity lowers the score."""
        lengths = rows.sum(axis=-2)
        return {"length ratio": float(lengths[0] / max(lengths[1], 1.0))}


def _precisions(counts: Any) -> tuple[Any, Any, Any]:
    """Return, for counts `[..., 11]`, the sum of log precisions, the orders in it (0 without a match), the penalty."""
    answer, reference = counts[..., 0], counts[..., 1]
    right, total = counts[..., 2 : 2 + _ORDERS], counts[..., 2 + _ORDERS : 2 + 2 * _ORDERS]
    brevity = np.where(answer < reference, np.exp(1 - reference / np.maximum(answer, 1e-12)), 1.0)
    logs, orders, halves = np.zeros(answer.shape), np.zeros(answer.shape), np.ones(answer.shape)
    going_on = right.any(axis=-1)
    for n in range(_ORDERS):
        going_on = going_on & (total[..., n] > 0)
        halves = np.where(right[..., n] > 0, halves, halves / 2)
        precision = np.where(right[..., n] > 0, right[..., n], halves) / np.where(going_on, total[..., n], 1.0)
        logs = logs + np.where(going_on, np.log(np.where(going_on, precision, 1.0)), 0.0)
        orders = orders + going_on
    return logs, orders, brevity


@dataclass(frozen=True)
class Chrf:
    """F between sequences of up to 6 characters (chrF2: recall counts twice), all examples as one corpus (0 to 1).

    It needs no words, so it fits every script, and gives credit for a right stem with a wrong ending. Spaces do not
    count. Row: for each order n-grams of the answer, of the reference, matching ones; number of references. With
    several references the one of the best F counts.
    """

    sacrebleu: str = field(default_factory=_installed)
    """Version of the package that counted."""

    name = "chrf"
    higher_is_better = True
    reduction = "totals"
    bounds = (0.0, 1.0)

    @property
    def identity(self) -> str:
        """Name with all settings."""
        return identity_text(self.name, sacrebleu=self.sacrebleu)

    def signature(self, rows: Any) -> str:
        """Return sacrebleu's signature of a score from rows `[n, 19]`: all that its figure depends on."""
        settings = f"case:mixed|eff:yes|nc:{_CHARACTERS}|nw:0|space:no|version:{self.sacrebleu}"
        return f"nrefs:{_number_of_references(rows)}|{settings}"

    def measure(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """Return one example's counts; a failed answer has no characters."""
        references = references_of(example, self.name)
        text = "" if has_failed(answer) else answer.text
        # The public functions give the score alone; this is what they sum.
        (counts,) = _chrf_counter()._extract_corpus_statistics([text], [[reference] for reference in references])
        return (*map(float, counts), float(len(references)))

    def value(self, rows: Any) -> Any:
        """Map rows `[..., n, 19]` to corpus chrF2 `[...]`."""
        precision, recall = self._means(rows.sum(axis=-2))
        below = _BETA_SQUARED * precision + recall
        return (1 + _BETA_SQUARED) * precision * recall / np.where(below > 0, below, 1.0)

    def details(self, rows: Any) -> dict[str, float]:
        """Return precision and recall, each the mean over the orders."""
        precision, recall = self._means(rows.sum(axis=-2))
        return {"precision": float(precision), "recall": float(recall)}

    def _means(self, counts: Any) -> tuple[Any, Any]:
        """Return mean precision and recall over the orders that both sides have, from counts `[..., 19]`."""
        by_order = counts[..., :-1].reshape(*counts.shape[:-1], _CHARACTERS, 3)
        answer, reference, shared = by_order[..., 0], by_order[..., 1], by_order[..., 2]
        both = (answer > 0) & (reference > 0)
        orders = np.maximum(both.sum(axis=-1), 1)
        precision = np.where(both, shared / np.where(both, answer, 1.0), 0.0).sum(axis=-1) / orders
        recall = np.where(both, shared / np.where(both, reference, 1.0), 0.0).sum(axis=-1) / orders
        return precision, recall
