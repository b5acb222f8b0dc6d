"""Are the scores about the answers, or about their form? Every answer is read a second way.

The metrics read strictly: "It is positive." is not the label "positive", and a code fence makes JSON invalid. Here each
answer is read once more as a patient person would: the one label that it names, the first JSON value in it, its last
line without what is put around it. If the two readings score far apart, the score measures form, not ability. Nor does
it where nearly all answers are one and the same, whatever was asked: then it measures how frequent that answer is.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from luthier.core.protocols import Metric
from luthier.core.types import Answer, Example
from luthier.data.labels import normalize_label
from luthier.evaluation.metrics.json_values import NOT_JSON, parse_json
from luthier.evaluation.metrics.rows import has_failed, without_its_thoughts
from luthier.evaluation.statistics import Scores

ALARM_POINTS = 5.0
"""Points (of 100) that the two readings may differ by."""
SAME_SHARE = 0.9
"""Share of the answers from which they are called one and the same."""
_FEW = 10
"""Fewer answers may be alike by chance."""
SAMPLES = 20

Reader = Callable[[str], str | None]
"""From an answer's text to what it says, or None if it says nothing that can be read."""

_LABELS = ("accuracy", "macro_f1", "mcc")
_JSON = ("json_validity", "json_field_f1")
_AROUND = re.compile(
    r"^(?:the )?(?:final )?(?:answer|label|result|output)(?: is)?\s*[:=]?\s+|[\s\"'`*.]+$|^[\s\"'`*]+", re.IGNORECASE
)


@dataclass(frozen=True)
class SecondReading:
    """A metric's value by the strict and by the patient reading, 0 to 1, and how many answers could not be read.

    Attributes:
        metric: Its name.
        strict: The score that is reported.
        patient: The score of what a patient reader finds.
        unparsed: Share of answers in which the strict reading finds nothing of the right form.
        samples: Some of those answers' texts, as they are.
        same: Share of the answers that are the most frequent one, to the patient reader.
        same_right: Share of the rows for which that one is right.
    """

    metric: str
    strict: float
    patient: float
    unparsed: float
    samples: tuple[str, ...]
    same: float = 0.0
    same_right: float = 0.0

    @property
    def alarming(self) -> bool:
        """Whether the two readings differ by more than `ALARM_POINTS`."""
        return abs(self.patient - self.strict) * 100 > ALARM_POINTS

    @property
    def one_for_all(self) -> bool:
        """Whether nearly all answers are one and the same although it is not right nearly as often."""
        return self.same >= SAME_SHARE and (self.same - self.same_right) * 100 > ALARM_POINTS

    def sentences(self) -> list[str]:
        """Say what there is to be said of the answers' form: nothing, if they have the form that was asked for."""
        lines = [self._of_form()] if self.unparsed or self.alarming else []
        if self.one_for_all:
            lines.append(
                f"{100 * self.same:.1f} % of the answers are one and the same, which is right for "
                f"{100 * self.same_right:.1f} % of the rows: **the score says how frequent that answer is, not what "
                "the model understands**. Look at the answers (luthier show RUN), and hold the score against that of "
                "the most frequent answer"
            )
        return lines

    def _of_form(self) -> str:
        """Say both readings and the share that could not be read."""
        text = (
            f"{100 * self.unparsed:.1f} % of the answers have another form than asked for; a patient reader would give "
            f"{100 * self.patient:.1f} instead of {100 * self.strict:.1f}"
        )
        if self.alarming:
            text += (
                ": **the score is about form more than about ability**. Look at the answers (luthier show RUN), tell "
                "the model the form, or hold it to it (luthier adapt tries both)"
            )
        return text

    def to_json(self) -> dict[str, Any]:
        """Return the figures; the answers themselves stay where answers are kept."""
        return {
            "metric": self.metric,
            "strict": self.strict,
            "patient": self.patient,
            "unparsed": self.unparsed,
            "same": self.same,
        }


def read_again(examples: Sequence[Example], answers: Sequence[Answer], metric: Metric) -> SecondReading | None:
    """Score answers by what a patient reader finds in them; None for metrics that read no form (ROUGE, BLEU, …)."""
    readers = _readers(metric, examples)
    if readers is None:
        return None
    strictly, patiently = readers
    answers = [without_its_thoughts(answer) for answer in answers]
    unread = [a for a in answers if has_failed(a) or strictly(a.text) is None]
    found = [a if has_failed(a) else replace(a, text=_or_as_it_is(patiently, a)) for a in answers]
    both = [Scores.measure("", examples, some, [metric]).value(metric.name) for some in (answers, found)]
    texts = tuple(answer.text for answer in unread[:SAMPLES])
    share, right = _most_frequent(examples, found)
    return SecondReading(metric.name, both[0], both[1], len(unread) / len(answers), texts, share, right)


def _most_frequent(examples: Sequence[Example], answers: Sequence[Answer]) -> tuple[float, float]:
    """Return the share of the most frequent answer, and for which share of the rows it is right; 0 for few answers."""
    said = Counter(normalize_label(answer.text) for answer in answers if not has_failed(answer))
    if len(answers) < _FEW or not said:
        return 0.0, 0.0
    text, count = said.most_common(1)[0]
    right = sum(any(normalize_label(reference) == text for reference in e.references) for e in examples)
    return count / len(answers), right / len(answers)


def _or_as_it_is(reader: Reader, answer: Answer) -> str:
    found = reader(answer.text)
    return answer.text if found is None else found


def _readers(metric: Metric, examples: Sequence[Example]) -> tuple[Reader, Reader] | None:
    """Return the strict and the patient reader that fit a metric."""
    if metric.name in _LABELS:
        given = getattr(metric, "labels", ()) or tuple({text for e in examples for text in e.references})
        labels = {normalize_label(label): label for label in given}
        return (lambda text: labels.get(normalize_label(text))), (lambda text: _only_label(text, labels))
    if metric.name in _JSON:
        return (lambda text: text if parse_json(text) is not NOT_JSON else None), first_json
    if metric.name == "exact_match":
        structured = all(isinstance(parse_json(e.reference), dict | list) for e in examples if e.references)
        if structured:
            return (lambda text: text if parse_json(text) is not NOT_JSON else None), first_json
        return (lambda text: text if text.strip() and "\n" not in text.strip() else None), last_line
    return None


def _only_label(text: str, labels: dict[str, str]) -> str | None:
    """Return the label that a text names; None where it names none, or several."""
    if (exact := labels.get(normalize_label(text))) is not None:
        return exact
    left, found = text.casefold(), set()
    for label in sorted(labels, key=len, reverse=True):  # "very good" before "good"
        pattern = re.compile(rf"(?<!\w){re.escape(label)}(?!\w)")
        if pattern.search(left):
            found.add(labels[label])
            left = pattern.sub(" ", left)
    return found.pop() if len(found) == 1 else None


def first_json(text: str) -> str | None:
    """Return the first JSON object or array in a text."""
    decoder = json.JSONDecoder()
    for match in re.finditer(r"[{\[]", text):
        try:
            value, length = decoder.raw_decode(text[match.start() :])
        except ValueError:
            continue
        if isinstance(value, dict | list):
            return text[match.start() : match.start() + length]
    return None


def last_line(text: str) -> str | None:
    """Return a text's last line that is not empty, without "The answer is", quotes and final punctuation."""
    lines = [line for line in text.splitlines() if line.strip(" `")]
    if not lines:
        return None
    return _AROUND.sub("", _AROUND.sub("", lines[-1].strip())).strip() or None
