"""Why answers are wrong: their form, their content, or no answer at all; and where the rows' own labels disagree.

What to do about it differs: a wrong form asks for a constraint or demonstrations, wrong values for tuning or better
rows, cut answers for a higher limit, and labels that contradict each other cannot be learned by anything.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations, product
from typing import Any, Literal, get_args

from luthier.core.types import Answer, Example
from luthier.data.overlap import comparable_text, groups
from luthier.data.tasks import Task
from luthier.data.values import as_text
from luthier.evaluation.metrics.classification import normalize_label
from luthier.evaluation.metrics.json_values import NOT_JSON, field_name, flatten, parse_json, same_json
from luthier.evaluation.metrics.rows import references_of, without_its_thoughts

Kind = Literal["failed", "empty", "cut", "format", "wrong value", "low score"]
"""failed: no answer. empty: no visible character. cut: at the output limit, in the right form as far as it goes.
format: no JSON object, a field missing or surplus, or none of the labels. wrong value: the right form with wrong
content. low score: see `sort_failures`."""

KINDS: tuple[Kind, ...] = get_args(Kind)
_MOST_FIELDS = 3
_MOST_ALIKE = 20
"""Rows of one value that are held against those of another: more of the same text say nothing new."""


@dataclass(frozen=True)
class Failure:
    """One wrong answer.

    Attributes:
        example_id: The row's name.
        line: Its line in the source file; 0 where there is none.
        kind: What is wrong with the answer.
        detail: The same more closely, such as "no JSON object" or "missing: urgency"; may be empty.
        fields: Fields with a wrong value ("wrong value" of JSON answers only).
    """

    example_id: str
    line: int
    kind: Kind
    detail: str = ""
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failures:
    """The wrong answers of one evaluation.

    Attributes:
        rows: How many answers there are, right ones included.
        failures: The wrong ones, in the rows' order.
        low_score: Free text only: scores below this count as low. None for answers that are right or wrong.
    """

    rows: int
    failures: tuple[Failure, ...]
    low_score: float | None = None

    @property
    def counts(self) -> dict[Kind, int]:
        """How many answers are wrong in which way, the most frequent first; ways that do not occur are left out."""
        found = Counter(failure.kind for failure in self.failures)
        return {kind: found[kind] for kind in sorted(found, key=lambda kind: (-found[kind], KINDS.index(kind)))}

    @property
    def fields(self) -> dict[str, int]:
        """In how many answers of the right form each field is wrong, the most frequent first."""
        found = Counter(name for failure in self.failures for name in failure.fields)
        return dict(found.most_common())

    def sentence(self) -> str:
        """Return the counts as "format 78 of 81; wrong value 3 (urgency 2, product 1)"; 81 are all answers."""
        if not self.failures:
            return f"none of {self.rows} wrong" if self.low_score is None else f"none of {self.rows} stands out"
        parts = [f"{kind} {count}{self._remark(kind)}" for kind, count in self.counts.items()]
        kind, count = next(iter(self.counts.items()))
        parts[0] = f"{kind} {count} of {self.rows}{self._remark(kind)}"
        return "; ".join(parts)

    def _remark(self, kind: Kind) -> str:
        if kind == "low score" and self.low_score:
            return f" (0, or below {self.low_score:.2f}: half of the median)"
        if kind != "wrong value" or not self.fields:
            return ""
        shown = [f"{name} {count}" for name, count in list(self.fields.items())[:_MOST_FIELDS]]
        return f" ({', '.join([*shown, '…'] if len(self.fields) > _MOST_FIELDS else shown)})"

    def to_json(self) -> dict[str, Any]:
        """Return the failures as JSON, with their counts."""
        return {
            "rows": self.rows,
            "counts": self.counts,
            "fields": self.fields,
            "low_score": self.low_score,
            "failures": [asdict(failure) | {"fields": list(failure.fields)} for failure in self.failures],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Failures:
        """Read failures back."""
        failures = [Failure(**{**failure, "fields": tuple(failure["fields"])}) for failure in value["failures"]]
        return cls(value["rows"], tuple(failures), value["low_score"])


def sort_failures(
    examples: Sequence[Example], answers: Sequence[Answer], scores_by_row: Sequence[float], task: Task
) -> Failures:
    """Say of every wrong answer what is wrong with it, the first of `KINDS` that holds.

    An answer to classification or extraction is wrong if its score is below 1. One that ran into the output limit
    counts as "cut" only if it was on the way to the right form; a model that chats instead has the wrong format.

    Free text has no right and wrong. There, answers that failed, are empty or cut are counted, and of the others those
    that score 0 or below half of their median as "low score": they stand out from the rest, and may still be good.

    Args:
        examples: The rows.
        answers: One answer a row, in the rows' order.
        scores_by_row: Each answer's score by the task's primary metric, 0 to 1, higher is better.
        task: What the rows are about, as known from the rows to learn from.
    """
    rows = list(zip(examples, map(without_its_thoughts, answers), scores_by_row, strict=True))
    if task.kind in ("classification", "extraction"):
        return Failures(len(rows), tuple(_sorted(e, a, task) for e, a, score in rows if score < 1))
    return _sorted_texts(rows)


def _sorted_texts(rows: Sequence[tuple[Example, Answer, float]]) -> Failures:
    """Sort the answers of a task without right and wrong."""
    ended: list[Kind | None] = [_without_text(a) or ("cut" if a.finish == "length" else None) for _, a, _ in rows]
    whole = [score for (_, _, score), kind in zip(rows, ended, strict=True) if kind is None]
    low = statistics.median(whole) / 2 if whole else 0.0
    failures = []
    for (example, answer, score), kind in zip(rows, ended, strict=True):
        if kind or score < low or score == 0:
            failures.append(Failure(example.id, example.line, kind or "low score", _reason(answer)))
    return Failures(len(rows), tuple(failures), low)


def _without_text(answer: Answer) -> Kind | None:
    if answer.finish == "failed":
        return "failed"
    return None if answer.text.strip() else "empty"


def _reason(answer: Answer) -> str:
    """Return why an answer failed: that is the text of a failed one."""
    return answer.text if answer.finish == "failed" else ""


def _sorted(example: Example, answer: Answer, task: Task) -> Failure:
    """Sort an answer that is known to be wrong."""
    if kind := _without_text(answer):
        return Failure(example.id, example.line, kind, _reason(answer))
    if task.kind == "classification":
        return _sorted_label(example, answer, task.labels)
    found = parse_json(answer.text)
    references = [parse_json(reference) for reference in references_of(example, "sort_failures")]
    if answer.finish == "length" and answer.text.lstrip().startswith("{") and found is NOT_JSON:
        return Failure(example.id, example.line, "cut")
    if form := _malformed(found, references[0], task.schema):
        return Failure(example.id, example.line, "format", form)
    fields = min((_differing(found, reference) for reference in references), key=len)
    return Failure(example.id, example.line, "wrong value", ", ".join(fields), fields)


def _sorted_label(example: Example, answer: Answer, labels: Sequence[str]) -> Failure:
    said, known = normalize_label(answer.text), {normalize_label(label) for label in (*labels, *example.references)}
    if said in known:
        return Failure(example.id, example.line, "wrong value")
    if answer.finish == "length" and any(label.startswith(said) for label in known):
        return Failure(example.id, example.line, "cut")
    return Failure(example.id, example.line, "format", "none of the labels")


def _malformed(found: Any, reference: Any, schema: Mapping[str, Any] | None) -> str:
    """Return what is wrong with the form of a JSON answer: no object, or other fields than the schema asks for."""
    if not isinstance(found, dict):
        return "no JSON" if found is NOT_JSON else "JSON, but no object"
    own = reference if isinstance(reference, dict) else {}
    known = (schema or {}).get("properties", {}).keys() | own.keys()
    missing = [name for name in (schema.get("required", ()) if schema else own) if name not in found]
    surplus = [name for name in found if name not in known]
    parts = [("missing", missing), ("surplus", surplus)]
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts if names)


def _differing(found: Any, reference: Any) -> tuple[str, ...]:
    """Return the fields whose values differ, entries of an array under one name."""
    ours, theirs = flatten(found), flatten(reference)
    paths = [
        path for path in (*theirs, *(p for p in ours if p not in theirs))
        if path not in ours or path not in theirs or not same_json(ours[path], theirs[path])
    ]  # fmt: skip
    return tuple(dict.fromkeys(map(field_name, paths)))


# ----------------------------------------------------------------------------------------------- labels that disagree


def label_conflicts(examples: Sequence[Example], task: Task) -> dict[str, list[tuple[int, ...]]]:
    """Find rows that ask nearly the same and have different answers.

    Near-duplicates are those of `luthier.data.overlap`. A difference that the texts explain is none: a value that
    stands in its own row's text and not in the other's (an order number, the product that one word names) is copied
    from there. Only classification and extraction are looked at: free text may differ.

    Args:
        examples: Rows with right answers, of all parts.
        task: What they are about.

    Returns:
        For each field (classification: "answer") the lines of the rows that disagree, group by group.
    """
    if task.kind not in ("classification", "extraction"):
        return {}
    labelled = [example for example in examples if example.references]
    together: dict[int, list[Example]] = {}
    for example, number in zip(labelled, groups([replace(e, cluster=None) for e in labelled]), strict=True):
        together.setdefault(number, []).append(example)
    found: dict[str, list[tuple[int, ...]]] = {}
    for rows in together.values():
        for name in dict.fromkeys(name for row in rows for name in _fields(row, task)):
            if lines := _disagreeing(rows, name, task):
                found.setdefault(name, []).append(lines)
    return found


def conflict_sentence(conflicts: Mapping[str, Sequence[Sequence[int]]]) -> str:
    """Return the conflicts in a sentence, such as "Your labels disagree on lines 33, 88 (urgency)."; "" for none."""
    parts = [
        f"{'; '.join(', '.join(map(str, lines)) for lines in groups_of_lines)} ({name})"
        for name, groups_of_lines in conflicts.items()
    ]
    return f"Your labels disagree on lines {', and '.join(parts)}." if parts else ""


def _fields(example: Example, task: Task) -> dict[str, Any]:
    """Return what is labelled in a row, by name."""
    if task.kind == "classification":
        return {"answer": normalize_label(example.reference)}
    value = parse_json(example.reference)
    return value if isinstance(value, dict) else {"answer": value}


def _disagreeing(rows: Sequence[Example], name: str, task: Task) -> tuple[int, ...]:
    """Return the lines of those rows that have one value of a field where a row nearly the same has another."""
    by_value: dict[str, list[Example]] = {}
    for row in rows:
        by_value.setdefault(json.dumps(_fields(row, task).get(name), sort_keys=True), []).append(row)
    lines: set[int] = set()
    for (one, ones), (other, others) in combinations(by_value.items(), 2):
        for left, right in product(ones[:_MOST_ALIKE], others[:_MOST_ALIKE]):
            if not _explained(json.loads(one), left, right) and not _explained(json.loads(other), right, left):
                lines |= {left.line, right.line}
    return tuple(sorted(lines))


def _explained(value: Any, own: Example, other: Example) -> bool:
    """Say whether a value stands in its own row's text and not in the other's."""
    text = _letters(as_text(value))
    return bool(text) and text in _letters(comparable_text(own)) and text not in _letters(comparable_text(other))


def _letters(text: str) -> str:
    """Return letters and digits alone: "LK 58877" in a text is the order "LK-58877"."""
    return "".join(filter(str.isalnum, text.casefold()))
