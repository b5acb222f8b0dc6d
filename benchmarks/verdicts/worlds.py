"""Simulated answerers whose true scores are known, measured by Luthier's own metrics.

A world draws pairs of answerers on the same examples. Both meet the same easy and hard rows, as two real models do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from luthier.core.types import Answer, Example, user
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.statistics import Scores

ROWS = 80
WORDS = 12
DISCORDANCE = 0.2
_REFERENCE = tuple(f"right{i}" for i in range(WORDS))
_TEXTS = tuple(" ".join((*_REFERENCE[:k], *(f"wrong{i}" for i in range(WORDS - k)))) for k in range(WORDS + 1))
"""An answer with k right words and the others wrong: its token F1 is k / 12."""


@dataclass(frozen=True)
class World:
    """Pairs of answerers with a known base score and a known difference.

    Attributes:
        metric: "exact_match" or "token_f1".
        rate: The base's true score.
        gain: exact_match: the difference; token_f1: the share of the base's faults that the candidate mends.
        copies: Equal rows to a cluster; 1 for rows without clusters.
        rows: Rows (of their own; each has `copies`).
    """

    metric: str
    rate: float
    gain: float = 0.0
    copies: int = 1
    rows: int = ROWS

    def draw(self, random: np.random.Generator) -> tuple[Scores, Scores]:
        """Draw a base and a candidate and measure them."""
        first, second = self.outcomes(random, self.rows)
        return self._measure("base", first), self._measure("candidate", second)

    def outcomes(self, random: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw how much of each row both have right: 0 or 1, or of 12 words."""
        if self.metric == "exact_match":
            win, loss = (DISCORDANCE + self.gain) / 2, (DISCORDANCE - self.gain) / 2
            shares = (win, loss, self.rate - loss, 1 - self.rate - win)
            kind = random.choice(4, rows, p=shares)  # only the candidate right, only the base, both, neither
            return np.isin(kind, (1, 2)).astype(int), np.isin(kind, (0, 2)).astype(int)
        ability = random.beta(3 * self.rate, 3 * (1 - self.rate), rows)
        return random.binomial(WORDS, ability), random.binomial(WORDS, ability + self.gain * (1 - ability))

    def difference(self) -> tuple[float, float]:
        """Return the true difference and, for token_f1, the standard deviation of the rows' differences."""
        if self.metric == "exact_match":
            return self.gain, float("nan")
        # Over ability q: variance of binomial(12, q) / 12 and of the candidate's, and of the gain's own spread.
        q = np.random.default_rng(1).beta(3 * self.rate, 3 * (1 - self.rate), 400_000)
        better = q + self.gain * (1 - q)
        noise = (q * (1 - q) + better * (1 - better)).mean() / WORDS
        return self.gain * (1 - self.rate), float(np.sqrt(noise + (better - q).var()))

    def _measure(self, name: str, outcomes: np.ndarray) -> Scores:
        examples, answers = [], []
        reference = "yes" if self.metric == "exact_match" else " ".join(_REFERENCE)
        for row, outcome in enumerate(outcomes.tolist()):
            text = _TEXTS[outcome] if self.metric == "token_f1" else ("no", "yes")[outcome]
            for copy in range(self.copies):
                cluster = f"cluster {row}" if self.copies > 1 else None
                examples.append(Example(f"{row}.{copy}", user("?"), (reference,), cluster))
                answers.append(Answer(f"{row}.{copy}", text, "stop"))
        return Scores.measure(name, examples, answers, [build_metric(self.metric)])
