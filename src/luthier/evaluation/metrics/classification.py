"""Classification: accuracy, macro-F1 and Matthews correlation over answers read as labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from luthier.core.errors import ConfigError, DataError, nearest
from luthier.core.types import Answer, Example
from luthier.data.labels import normalize_label as normalize_label
from luthier.evaluation.metrics.rows import has_failed, identity_text, mean_of_first_column, references_of


@dataclass(frozen=True)
class Accuracy:
    """Share of answers that name the right label (0 to 1), whatever their case, outer space and final punctuation.

    The answer must be the label and nothing else: "positive" is right, "It is positive" is not. With several references
    any of them will do. `labels`, where given, are checked against the references. Counted: one 0 or 1 an example.
    """

    labels: tuple[str, ...] = ()

    name = "accuracy"
    higher_is_better = True
    reduction = "mean"
    bounds = (0.0, 1.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        _positions(self.labels)

    @property
    def identity(self) -> str:
        """Name with all settings."""
        return identity_text(self.name, labels=self.labels)

    def measure(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """Return (1.0,) for the right label and (0.0,) for any other answer.

        Raises:
            DataError: if a reference is not one of the labels.
        """
        references = references_of(example, self.name)
        if self.labels:
            _known(references, _positions(self.labels), example, self.labels)
        right = not has_failed(answer) and normalize_label(answer.text) in map(normalize_label, references)
        return (float(right),)

    def value(self, rows: Any) -> Any:
        """Map rows `[..., n, 1]` to shares `[...]`."""
        return mean_of_first_column(rows)


@dataclass(frozen=True)
class _OverLabels:
    """What metrics over all labels share: the labels, and reading references and answers as these."""

    labels: tuple[str, ...] = ()

    name = ""
    higher_is_better = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        if not self.labels:
            raise ConfigError(
                f"{self.name} needs the labels: build_metric('{self.name}', labels=('yes', 'no')). Rows of another "
                "kind of task than classification have none; --kind says it where it was guessed wrong."
            )
        _positions(self.labels)

    @property
    def identity(self) -> str:
        """Name with all settings."""
        return identity_text(self.name, labels=self.labels)

    def _right_and_given(self, example: Example, answer: Answer) -> tuple[list[int], int | None]:
        """Return the places of the right labels, and of the given one; None where it is no label, or failed.

        Raises:
            DataError: if a reference is not one of the labels.
        """
        positions = _positions(self.labels)
        right = _known(references_of(example, self.name), positions, example, self.labels)
        return right, None if has_failed(answer) else positions.get(normalize_label(answer.text))


@dataclass(frozen=True)
class MacroF1(_OverLabels):
    """Mean over the labels of each label's F1 (0 to 1): rare labels count as much as frequent ones.

    Answers are read as `Accuracy` reads them. An answer that is no label, or failed, is a miss of the right label and a
    false alarm of none. A label that occurs neither among references nor answers has no F1 and is left out of the mean
    (scikit-learn: `f1_score(average="macro", labels=labels, zero_division=nan)`). Row: for each label in turn, true
    positive, false positive, false negative, each 0 or 1.

    Raises:
        ConfigError: if there are no labels, or two that only differ in case, outer space or final punctuation.
    """

    name = "macro_f1"
    reduction = "totals"
    bounds = (0.0, 1.0)

    def measure(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """Return one (true positive, false positive, false negative) for each label, in one flat row.

        Raises:
            DataError: if a reference is not one of the labels.
        """
        right, found = self._right_and_given(example, answer)
        row = [0.0] * (3 * len(self.labels))
        if found in right:
            row[3 * right[right.index(found)]] = 1.0
        else:
            row[3 * right[0] + 2] = 1.0
            if found is not None:
                row[3 * found + 1] = 1.0
        return tuple(row)

    def value(self, rows: Any) -> Any:
        """Map rows `[..., n, 3 L]` to macro-F1 `[...]`."""
        f1, occurs = self._by_label(rows)
        return f1.sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1)

    def details(self, rows: Any) -> dict[str, float]:
        """Return the F1 of each label that occurs."""
        f1, occurs = self._by_label(rows)
        return {label: float(f1[i]) for i, label in enumerate(self.labels) if occurs[i]}

    def _by_label(self, rows: Any) -> tuple[Any, Any]:
        """Return F1 (0 where it has none) and whether the label occurs, both `[..., L]`."""
        counts = rows.sum(axis=-2)
        counts = counts.reshape(*counts.shape[:-1], len(self.labels), 3)
        total = 2 * counts[..., 0] + counts[..., 1] + counts[..., 2]
        occurs = total > 0
        return np.where(occurs, 2 * counts[..., 0] / np.where(occurs, total, 1.0), 0.0), occurs


@dataclass(frozen=True)
class Mcc(_OverLabels):
    """Matthews correlation of right and given labels (-1 to 1): 1 is all right, 0 no better than chance.

    Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient": with t and p how
    often each label is right and given, c right answers of s: (c s - t p) / sqrt((s^2 - t t)(s^2 - p p)); 0 where one
    label alone is right, or given. Frequent labels do not flatter it as they do accuracy. Answers are read as
    `Accuracy` reads them; all that are no label, or failed, count as given one more label, which is never right
    (scikit-learn: `matthews_corrcoef`). Row: right; for each label 1 if it is the right one; for each 1 if it is given.

    Raises:
        ConfigError: if there are no labels, or two that only differ in case, outer space or final punctuation.
    """

    name = "mcc"
    reduction = "sums"
    bounds = (-1.0, 1.0)
    unit = "number"

    def measure(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """Return right, the right label and the given one, in one flat row of 0 and 1.

        Raises:
            DataError: if a reference is not one of the labels.
        """
        right, found = self._right_and_given(example, answer)
        row = [0.0] * (1 + 2 * len(self.labels))
        row[0] = float(found in right)
        row[1 + (found if found is not None and found in right else right[0])] = 1.0
        if found is not None:
            row[1 + len(self.labels) + found] = 1.0
        return tuple(row)

    def value(self, rows: Any) -> Any:
        """Map rows `[..., n, 1 + 2 L]` to correlations `[...]`."""
        counts = rows.sum(axis=-2)
        correct, truth, given = (
            counts[..., 0],
            counts[..., 1 : 1 + len(self.labels)],
            counts[..., 1 + len(self.labels) :],
        )
        total = truth.sum(axis=-1)
        no_label = total - given.sum(axis=-1)
        of_truth = total**2 - (truth**2).sum(axis=-1)
        of_given = total**2 - (given**2).sum(axis=-1) - no_label**2
        both = of_truth * of_given
        defined = both > 1e-12 * total**4  # means over samples are no whole numbers: zero may be off in the last digit
        found = (correct * total - (truth * given).sum(axis=-1)) / np.sqrt(np.where(defined, both, 1.0))
        return np.clip(np.where(defined, found, 0.0), -1.0, 1.0)

    def of_each(self, rows: Any) -> Any:
        """Map rows `[n, 1 + 2 L]` to 1 for a right answer and 0 for a wrong one: one row has no correlation."""
        return rows[:, 0]


@lru_cache(maxsize=64)
def _positions(labels: tuple[str, ...]) -> dict[str, int]:
    """Return the place of each normalised label."""
    positions = {normalize_label(label): i for i, label in enumerate(labels)}
    if len(positions) < len(labels):
        raise ConfigError(
            f"Labels must differ in more than case, outer space and final punctuation; received {', '.join(labels)}."
        )
    return positions


def _known(references: Sequence[str], positions: dict[str, int], example: Example, labels: Sequence[str]) -> list[int]:
    """Return the positions of an example's references among the labels."""
    for reference in references:
        if normalize_label(reference) not in positions:
            raise DataError(
                f"Example '{example.id}' has the label '{reference}', which is none of: {', '.join(labels)}."
                f"{nearest(reference, labels)} Mend the row, or add the label."
            )
    return [positions[normalize_label(reference)] for reference in references]
