"""ROUGE: n-grams, or the longest common subsequence, shared by answer and reference.

Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", through the package rouge-score. Differences
from it: answers and references in Chinese, Japanese, Korean and other scripts are cut into tokens (the package drops
them); on texts of ASCII and accented Latin letters the figures are the package's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from luthier.core.types import Answer, Example
from luthier.evaluation.metrics.rows import has_failed, identity_text, mean_of_first_column, references_of
from luthier.evaluation.metrics.words import words_of_any_script


class ScriptTokenizer:
    """The tokenizer given to rouge-score: its own words for ASCII, `words_of_any_script` for all else."""

    def __init__(self, use_stemmer: bool) -> None:
        from nltk.stem.porter import PorterStemmer

        self._stemmer = PorterStemmer() if use_stemmer else None
        # A text is tokenised once for ROUGE-1, -2 and -L and for each answerer that is compared on it.
        self.tokenize = lru_cache(maxsize=8192)(self._tokenize)

    def _tokenize(self, text: str) -> list[str]:
        words = words_of_any_script(text)
        if self._stemmer is None:
            return words
        # Like the package: only words of more than three letters, and (Porter knows English) only those of a to z.
        return [self._stemmer.stem(word) if len(word) > 3 and word.isascii() else word for word in words]


@lru_cache(maxsize=8)
def _scorer(variant: str, use_stemmer: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([variant], tokenizer=_tokenizer(use_stemmer))


@lru_cache(maxsize=2)
def _tokenizer(use_stemmer: bool) -> ScriptTokenizer:
    return ScriptTokenizer(use_stemmer)


@dataclass(frozen=True)
class _Rouge:
    use_stemmer: bool = True
    """Compare English words by their stems (Porter)."""

    name = ""
    higher_is_better = True
    reduction = "mean"
    bounds = (0.0, 1.0)

    @property
    def identity(self) -> str:
        """Name with all settings."""
        return identity_text(self.name, use_stemmer=self.use_stemmer, tokenizer="rouge-score + other scripts")

    def measure(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """Return (F, precision, recall), each 0 to 1, with the reference of the best F."""
        references = references_of(example, self.name)
        if has_failed(answer):
            return 0.0, 0.0, 0.0
        best = _scorer(self.name, self.use_stemmer).score_multi(references, answer.text)[self.name]
        return float(best.fmeasure), float(best.precision), float(best.recall)

    def value(self, rows: Any) -> Any:
        """Map rows `[..., n, 3]` to mean F `[...]`."""
        return mean_of_first_column(rows)

    def details(self, rows: Any) -> dict[str, float]:
        """Return mean precision and recall."""
        means = rows.mean(axis=-2)
        return {"precision": float(means[1]), "recall": float(means[2])}


@dataclass(frozen=True)
class Rouge1(_Rouge):
    """Mean over examples of the F between single words of answer and reference (0 to 1).

    Row: F, precision, recall. Two texts without words score 0, as in rouge-score.
    """

    name = "rouge1"


@dataclass(frozen=True)
class Rouge2(_Rouge):
    """Mean over examples of the F between pairs of neighbouring words of answer and reference (0 to 1).

    Row: F, precision, recall. A text of one word has no pairs and scores 0, even against itself.
    """

    name = "rouge2"


@dataclass(frozen=True)
class RougeL(_Rouge):
    """Mean over examples of the F of the longest common subsequence of words of answer and reference (0 to 1).

    Row: F, precision, recall. The whole text is one sequence (not ROUGE-Lsum, which goes line by line).
    """

    name = "rougeL"
