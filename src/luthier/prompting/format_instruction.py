"""Telling a model the format, or holding it to it: the labels or the schema that the known rows show.

The honest rival of tuning: a tuned model that only beats an uninformed prompt has shown nothing.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from luthier.core.types import Example
from luthier.data.tasks import Task, count_words


def format_instruction(task: Task, known: Sequence[Example]) -> str:
    """Write the instruction for a task from the rows to learn from, and nothing else."""
    if task.kind == "classification":
        labels = ", ".join(json.dumps(label, ensure_ascii=False) for label in task.labels)
        return f"Classify the following text. Answer with exactly one of these labels and nothing else: {labels}."
    if task.kind == "extraction":
        return (
            "Read the following text and answer with one JSON object on one line and nothing else, with these "
            "fields in "
            f"this order:\n{describe_schema(task.schema or {})}"
        )
    words = [count_words(example.reference) for example in known]
    low, high = (round(q) for q in (_quantile(words, 0.1), _quantile(words, 0.9)))
    length = f"{low} to {high} words" if high > low else f"{high} word{'s' if high != 1 else ''}"
    if task.kind == "summarization":
        return f"Summarize the following text in {length}. Answer with the summary only."
    if task.kind == "question_answering":
        return f"Answer the following question in {length}, with the answer only and no explanation."
    if task.kind == "translation":
        return "Translate the following text. Answer with the translation only."
    return f"Answer the following message in {length}."


def constraint_for(task: Task) -> dict[str, Any]:
    """Return what a strategy's `constraint` is for a task: the answers' schema, the labels, or nothing to hold on to.

    What is constrained can be nothing else: a label, a field or a null that no row to learn from has is impossible.
    Texts are held to a list of values only where a new one is unlikely (see `luthier.data.schema`).
    """
    if task.kind == "extraction" and task.schema:
        return {"schema": dict(task.schema)}
    if task.kind == "classification" and task.labels:
        return {"choices": list(task.labels)}
    return {}


def describe_schema(schema: Mapping[str, Any]) -> str:
    """Describe a JSON object's fields, a line each."""
    return "\n".join(f'- "{name}": {_values(field)}' for name, field in schema.get("properties", {}).items())


def _values(field: Mapping[str, Any]) -> str:
    if choices := field.get("enum"):
        return "one of " + ", ".join(json.dumps(choice, ensure_ascii=False) for choice in choices)
    types = field.get("type", "string")
    names = [types] if isinstance(types, str) else list(types)
    words = ["true or false" if name == "boolean" else f"a {name}" if name != "null" else "null" for name in names]
    return " or ".join(words)


def _quantile(values: Sequence[int], fraction: float) -> float:
    if len(values) < 2:
        return float(values[0])
    return statistics.quantiles(values, n=100, method="inclusive")[round(fraction * 100) - 1]
