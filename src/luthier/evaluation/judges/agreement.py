"""How far a judge agrees with people: raw agreement, and Cohen's kappa, which takes out what chance would give.

Cohen 1960, "A Coefficient of Agreement for Nominal Scales": with the share of pairs p_o on which both say the same, and
the share p_e on which they would if each drew from its own frequencies,

    kappa = (p_o - p_e) / (1 - p_e)        1: always the same; 0: no better than chance

Better than chance is shown where the interval of kappa lies above 0 and a paired test agrees: on how many pairs the
judge prefers the answer that people prefer, against how many the other one, by question. Of a judge that nearly always
says tie, a handful of lucky pairs would be enough for the interval; it is not for the test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from luthier.core.types import Example
from luthier.evaluation.judges.pairwise import OUTCOMES, Outcome
from luthier.evaluation.judges.win_rate import WinRate
from luthier.evaluation.statistics.intervals import Interval, score_interval
from luthier.evaluation.statistics.resampling import Floats, Integers
from luthier.evaluation.statistics.significance import paired_p_value

_K = len(OUTCOMES)
_ALPHA = 0.05


class _OfTables:
    """A figure of a table of counts, people's labels in rows, the judge's in columns, a row `[9]` a pair."""

    higher_is_better = True
    reduction = "totals"
    bounds = (0.0, 1.0)
    name = ""

    def measure(self, example: Example, answer: Any) -> tuple[float, ...]:
        """Labels are no answers; see `confusion`."""
        raise NotImplementedError("agreement is counted from labels, see `confusion`")

    def value(self, rows: Any) -> Any:
        """Map rows `[..., n, 9]` to values `[...]`."""
        return self.of(rows.mean(axis=-2).reshape(*rows.shape[:-2], _K, _K))

    def of(self, table: Any) -> Any:
        raise NotImplementedError


class RawAgreement(_OfTables):
    """Share of pairs on which both say the same (0 to 1)."""

    name = "agreement"

    def of(self, table: Any) -> Any:
        """Map tables of shares `[..., 3, 3]` to values."""
        return np.trace(table, axis1=-2, axis2=-1)


class Kappa(_OfTables):
    """Cohen's kappa (-1 to 1); 0 where one of the two never varies, so that nothing can be known."""

    name = "kappa"
    bounds = (-1.0, 1.0)

    def of(self, table: Any) -> Any:
        """Map tables of shares `[..., 3, 3]` to values."""
        observed = np.trace(table, axis1=-2, axis2=-1)
        chance = (table.sum(axis=-1) * table.sum(axis=-2)).sum(axis=-1)
        rest = np.where(chance >= 1 - 1e-12, 1.0, 1 - chance)
        return np.where(chance >= 1 - 1e-12, 0.0, (observed - chance) / rest)


class Decided(_OfTables):
    """Share on which both prefer the same answer, among the pairs on which neither says tie (0 to 1)."""

    name = "decided"

    def of(self, table: Any) -> Any:
        """Map tables of shares `[..., 3, 3]` to values; a half where there are no such pairs."""
        both = table[..., :2, :2]
        total = both.sum(axis=(-2, -1))
        return np.where(total > 0, np.trace(both, axis1=-2, axis2=-1) / np.where(total > 0, total, 1.0), 0.5)


def confusion(people: Sequence[Outcome], judge: Sequence[Outcome]) -> Floats:
    """Return which cell of the table each pair is in `[n, 9]`."""
    rows = np.zeros((len(people), _K * _K))
    cells = [_K * OUTCOMES.index(p) + OUTCOMES.index(j) for p, j in zip(people, judge, strict=True)]
    rows[np.arange(len(cells)), cells] = 1.0
    return rows


@dataclass(frozen=True)
class Agreement:
    """How far a judge agrees with people.

    Attributes:
        raw, kappa: Over all pairs, ties included.
        decided: Of the pairs on which neither says tie.
        both_decide: How many these are.
        p_value: Of the paired test on these, same answer against the other one, by cluster.
        commonest: Share that always giving people's commonest label would agree on.
        table: Counts: people's label -> judge's label -> pairs.
    """

    raw: Interval
    kappa: Interval
    decided: Interval
    both_decide: int
    p_value: float
    commonest: float
    table: Mapping[str, Mapping[str, int]]

    @classmethod
    def of(cls, people: Sequence[Outcome], judge: Sequence[Outcome], codes: Integers) -> Agreement:
        """Compare labels of the same pairs, in clusters `codes` `[n]`."""
        rows = confusion(people, judge)
        raw, kappa, decided = (score_interval(m, rows, codes) for m in (RawAgreement(), Kappa(), Decided()))
        counts = rows.sum(axis=0).reshape(_K, _K).astype(int)
        table: dict[str, Mapping[str, int]] = {}
        for i, said_by_people in enumerate(OUTCOMES):
            table[said_by_people] = {str(said): int(counts[i, j]) for j, said in enumerate(OUTCOMES)}
        commonest = float(counts.sum(axis=1).max() / len(people))
        cells = rows.reshape(-1, _K, _K)
        same, other = (cells[:, 0, i] + cells[:, 1, 1 - i] for i in (0, 1))
        p_value, _ = paired_p_value(WinRate(), other[:, None], same[:, None], codes)
        return cls(raw, kappa, decided, int(counts[:2, :2].sum()), p_value, commonest, table)

    @property
    def shown(self) -> bool:
        """Whether it agrees better than chance: by the interval of kappa, and by the paired test."""
        return self.kappa.low > 0 and self.p_value <= _ALPHA

    def warning(self) -> str:
        """Say that the judge must not be used, if so; else nothing."""
        if self.shown:
            return ""
        return "This judge agrees with people no better than chance: do not decide by it"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        intervals = {name: getattr(self, name).to_json() for name in ("raw", "kappa", "decided")}
        figures = {name: getattr(self, name) for name in ("both_decide", "p_value", "commonest", "table", "shown")}
        return {**intervals, **figures}


@dataclass(frozen=True)
class AmongPeople:
    """How far people agree with each other: the mean over pairs of annotators, raw and as kappa."""

    raw: float
    kappa: float
    annotators: int

    @classmethod
    def of(cls, labels: Sequence[Sequence[Outcome]]) -> AmongPeople | None:
        """Compare annotators' labels, a list a pair; None unless all pairs have the same number, at least two."""
        count = len(labels[0]) if labels else 0
        if count < 2 or any(len(one) != count for one in labels):
            return None
        tables = [
            confusion([one[i] for one in labels], [one[j] for one in labels]) for i, j in combinations(range(count), 2)
        ]
        raw, kappa = (float(np.mean([m.value(table) for table in tables])) for m in (RawAgreement(), Kappa()))
        return cls(raw, kappa, count)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"raw": self.raw, "kappa": self.kappa, "annotators": self.annotators}
