"""What kind of task the examples are, and what follows: metrics, recommended size, labels, schema.

The guess is made from the rows given (hand over those to learn from: labels and schema must not come from rows that
confirm), explained in words, and can be overridden.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from luthier.core.errors import DataError, unknown_name
from luthier.core.types import Example, TaskKind
from luthier.data.labels import distinct_labels, normalize_label
from luthier.data.schema import infer_schema, parse_objects
from luthier.data.thinking import without_thoughts_in_references
from luthier.data.values import looks_like_json_object, shorten

KINDS: tuple[TaskKind, ...] = get_args(TaskKind)
CORPUS = "corpus"
"""The kind that raw text is: no task, since nothing is asked or answered."""

MOST_LABELS = 100
_LONGEST_LABEL_WORDS = 6
_REPEATED_SHARE = 0.9
_MOST_NUMBERS = 12
_SHORT_ANSWER_WORDS = 5
_SHORT_REPLY_WORDS = 12
_LONG_INPUT_WORDS = 50
_CLEARLY_SHORTER = 0.5

# Chinese, Japanese and Korean have no spaces: each of their characters counts as a word.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
_NUMBER = re.compile(r"[-+]?[\d.,]*\d%?")


@dataclass(frozen=True)
class _Advice:
    """What is known about a kind of task without seeing its rows."""

    metric: str
    secondary: tuple[str, ...]
    recommended_examples: int


_ADVICE: Mapping[TaskKind, _Advice] = {
    "classification": _Advice("accuracy", ("macro_f1",), 500),
    "extraction": _Advice("exact_match", ("json_field_f1", "json_validity"), 500),
    "summarization": _Advice("rougeL", ("rouge1", "rouge2"), 1000),
    "question_answering": _Advice("token_f1", ("exact_match",), 500),
    "chat": _Advice("rougeL", ("token_f1", "rouge1"), 1000),
    "translation": _Advice("rougeL", ("token_f1", "rouge1"), 1000),
}
RECOMMENDED_EPOCHS = (2, 4)


@dataclass(frozen=True)
class Task:
    """A kind of task and what follows from it.

    Attributes:
        kind: The kind.
        reason: Why it is taken for that, in words.
        metric: The primary metric, which carries the verdict.
        secondary: Metrics shown beside it.
        recommended_examples: How many rows to learn from are recommended.
        recommended_epochs: Least and most passes over them.
        labels: The answers there are, most frequent first, spelled as most rows spell them (classification).
        schema: The answers' JSON schema (extraction).
    """

    kind: TaskKind
    reason: str
    metric: str
    secondary: tuple[str, ...]
    recommended_examples: int
    recommended_epochs: tuple[int, int] = RECOMMENDED_EPOCHS
    labels: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """All metrics, the primary one first."""
        return (self.metric, *self.secondary)

    def advice(self, rows: int) -> str:
        """Compare the number of rows to learn from with what is recommended."""
        least, most = self.recommended_epochs
        kind, recommended = self.kind.replace("_", " "), f"{self.recommended_examples:,}"
        state = "as recommended" if rows >= self.recommended_examples else "fewer than recommended"
        return f"{rows:,} rows to learn from, {state} for {kind} ({recommended} or more, {least} to {most} epochs)."

    def to_json(self) -> dict[str, Any]:
        """Return the task as JSON."""
        return {
            "kind": self.kind,
            "reason": self.reason,
            "metrics": list(self.metrics),
            "labels": list(self.labels),
            "schema": dict(self.schema) if self.schema is not None else None,
        }


def guess_task(examples: Sequence[Example], kind: str | None = None) -> Task:
    """Find out what kind of task labelled examples are.

    Args:
        examples: The rows to learn from.
        kind: The kind, if the user says it.

    Raises:
        ConfigError: if `kind` is no kind of task.
        DataError: if no example has an answer.
    """
    labelled = [without_thoughts_in_references(example) for example in examples if example.references]
    if not labelled:
        raise DataError("None of the rows has a right answer, so there is no task to guess. Name it with --answer.")
    if kind is not None and kind not in KINDS:
        raise unknown_name("task", kind, KINDS)
    found, reason = next(((k, "as told") for k in KINDS if k == kind), None) or _guess(labelled)
    advice = _ADVICE[found]
    objects = parse_objects([e.reference for e in labelled]) if found == "extraction" else []
    return Task(
        kind=found,
        reason=reason,
        metric=advice.metric,
        secondary=advice.secondary,
        recommended_examples=advice.recommended_examples,
        labels=distinct_labels([e.reference for e in labelled]) if found == "classification" else (),
        schema=infer_schema(objects) if objects else None,
    )


def require_different_answers(examples: Sequence[Example]) -> None:
    """Make sure that there is something to learn.

    Raises:
        DataError: if all rows have the same answer, however it is spelled.
    """
    answers = {tuple(map(normalize_label, example.references)) for example in examples}
    if len(answers) == 1 and len(examples) > 1:
        spellings = dict.fromkeys(text for example in examples for text in example.references[:1])
        shown = ", ".join(f"'{shorten(text, 60)}'" for text in spellings) or "none"
        raise DataError(
            f"All {len(examples):,} rows have the same answer ({shown}), so there is nothing to learn. "
            "Check --answer, or add rows with other answers."
        )


def count_words(text: str) -> int:
    """Count words; characters of languages without spaces count one each."""
    return len(split_words(text))


def split_words(text: str) -> list[str]:
    """Return a text's words without punctuation; characters of languages without spaces are words of their own."""
    return _WORD.findall(text)


def _guess(examples: Sequence[Example]) -> tuple[TaskKind, str]:
    """Return the kind and the reason: the first of the tests below that says yes."""
    answers = [example.reference for example in examples]
    if sum(map(looks_like_json_object, answers)) >= 0.95 * len(answers) and parse_objects(answers):
        return "extraction", "the answers are JSON objects"
    if reason := _few_repeated_answers(examples):
        return "classification", reason
    answer_words = statistics.median(map(count_words, answers))
    input_words = statistics.median(count_words(example.prompt) for example in examples)
    several_turns = sum(len(example.messages) > 2 for example in examples) > len(examples) / 2
    if answer_words <= _SHORT_ANSWER_WORDS and not several_turns:
        return "question_answering", f"the answers are short (median: {answer_words:g} word{'s' * (answer_words != 1)})"
    asks = sum(example.prompt.rstrip().endswith(("?", "？")) for example in examples) > len(examples) / 2
    if answer_words <= _SHORT_REPLY_WORDS and asks and not several_turns:
        return "question_answering", "most inputs end in a question and the answers are short"
    clearly_shorter = input_words >= _LONG_INPUT_WORDS and answer_words <= _CLEARLY_SHORTER * input_words
    if clearly_shorter and not several_turns and not asks:
        return "summarization", f"long inputs (median: {input_words:g} words) have answers of {answer_words:g} words"
    return "chat", "the conversations have several turns" if several_turns else "the answers are free text"


def _few_repeated_answers(examples: Sequence[Example]) -> str | None:
    """Return the reason for classification, or None."""
    if any(len(example.references) > 1 for example in examples):
        return None
    answers = [example.reference for example in examples]
    counts = Counter(map(normalize_label, answers))
    most = min(MOST_LABELS, max(2, len(examples) // 5))
    repeated = sum(count for count in counts.values() if count > 1)
    short = all(count_words(a) <= _LONGEST_LABEL_WORDS and "\n" not in a for a in counts)
    numbers = len(counts) > _MOST_NUMBERS and all(_NUMBER.fullmatch(answer) for answer in counts)
    if len(counts) > most or not short or numbers or repeated < _REPEATED_SHARE * len(examples):
        return None
    shown = ", ".join(distinct_labels(answers)[:5]) + (", …" if len(counts) > 5 else "")
    return f"{len(counts)} short answers repeat over {len(examples):,} rows ({shown})"
