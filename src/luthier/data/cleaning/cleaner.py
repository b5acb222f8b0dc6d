"""Apply rules, one after the other, and keep account of what each did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from luthier.core.types import EMPTY, Example
from luthier.data.cleaning.rules import Finding, Row, Rule
from luthier.data.mapping import PartName
from luthier.data.values import as_text, shorten

SAMPLES = 3
"""Rows shown of each rule."""
_SHOWN_CHARACTERS = 100
_KEPT_FIRST: tuple[PartName, ...] = ("confirm", "choose", "tune")

Effect = Literal["removed", "changed"]


@dataclass(frozen=True)
class Sample:
    """A row that a rule removed or changed: the line it starts on, its name, why, and how it begins."""

    line: int
    id: str
    reason: str
    text: str


@dataclass(frozen=True)
class RuleReport:
    """What one rule did: how many rows it was given, removed and changed, and up to three of those."""

    rule: str
    rows: int
    removed: int
    changed: int
    samples: tuple[Sample, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return {**asdict(self), "samples": [asdict(sample) for sample in self.samples]}


@dataclass(frozen=True)
class Touched:
    """A row that was removed or changed; it holds nothing of the row itself."""

    line: int
    id: str
    rule: str
    effect: Effect
    reason: str


@dataclass(frozen=True)
class Cleaned:
    """What is left.

    Attributes:
        kept: The rows that stay, in their order; changed ones with their new `fields`, their messages as before.
        changed: The new columns of changed rows, by the row's name.
        touched: Every removed or changed row with the reason, in the order of the file.
        reports: What each rule did, in the order in which they were asked.
    """

    kept: tuple[Example, ...]
    changed: Mapping[str, Mapping[str, Any]]
    touched: tuple[Touched, ...]
    reports: tuple[RuleReport, ...]

    @property
    def removed(self) -> int:
        """How many rows were removed."""
        return sum(report.removed for report in self.reports)


def clean(rows: Sequence[Row], rules: Sequence[Rule], given: Mapping[str, PartName] = EMPTY) -> Cleaned:
    """Apply rules to rows.

    Args:
        rows: The rows, in the order of the file.
        rules: The rules, in the order in which they are asked.
        given: The part of each row by its name, where the file says so. Of rows that repeat each other the one stays
            that comes first; rows to confirm and to choose come before those to learn from.
    """
    order = {row.example.id: number for number, row in enumerate(rows)}
    left = sorted(rows, key=lambda row: _KEPT_FIRST.index(given[row.example.id]) if row.example.id in given else 0)
    changed: dict[str, dict[str, Any]] = {}
    touched: list[Touched] = []
    reports = []
    for rule in rules:
        found = {finding.row: finding for finding in rule.find(left)}
        touched += [_touched(rule.name, left[number].example, finding) for number, finding in found.items()]
        reports.append(_report(rule.name, left, found))
        for number, finding in found.items():
            if finding.changed is not None:
                example = left[number].example
                changed.setdefault(example.id, {}).update(finding.changed)
                new = replace(example, fields={**example.fields, **finding.changed})
                left[number] = replace(left[number], example=new)
        left = [row for number, row in enumerate(left) if number not in found or found[number].changed is not None]
    return Cleaned(
        kept=tuple(row.example for row in sorted(left, key=lambda row: order[row.example.id])),
        changed={name: changed[name] for name in sorted(changed, key=order.__getitem__)},
        touched=tuple(sorted(touched, key=lambda row: order[row.id])),
        reports=tuple(reports),
    )


def _touched(rule: str, example: Example, finding: Finding) -> Touched:
    return Touched(example.line, example.id, rule, _effect(finding), finding.reason)


def _effect(finding: Finding) -> Effect:
    return "removed" if finding.changed is None else "changed"


def _report(rule: str, rows: Sequence[Row], found: Mapping[int, Finding]) -> RuleReport:
    chosen = sorted(found, key=lambda number: rows[number].example.line)[:SAMPLES]
    effects = [_effect(finding) for finding in found.values()]
    samples = tuple(_sample(rows[number], found[number]) for number in chosen)
    return RuleReport(rule, len(rows), effects.count("removed"), effects.count("changed"), samples)


def _sample(row: Row, finding: Finding) -> Sample:
    """Return a sample; of a changed row only the changed columns are shown, as they are now."""
    text = row.asked if finding.changed is None else " ".join(map(as_text, finding.changed.values()))
    shown = shorten(" ".join(text.split()), _SHOWN_CHARACTERS)
    return Sample(row.example.line, row.example.id, finding.reason, shown)
