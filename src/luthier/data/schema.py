"""A JSON schema inferred from answers, for telling a model the format and for structured decoding."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

MOST_CHOICES = 25
_UNSEEN_SHARE = 0.02
_LONGEST_CHOICE = 60
_ROWS_A_CHOICE = 3
_FEWEST_VALUES = 20
_ROOM, _LEAST_ROOM = 2, 16
"""Texts may be twice as long as the longest that was seen, and 16 characters at least."""
_NUMBER = re.compile(r"\d{3}")


def infer_schema(objects: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Infer the JSON schema of objects: properties in order, types, null, lengths, and enums of few repeated texts.

    Texts have a largest length, twice that of the longest seen: a small model that is held to the schema would else
    write one text without end.

    A text property becomes an enum if its values repeat so much that a new one is unlikely: by Good and Turing's
    estimate (values seen once / rows) at most 2 % of further rows would hold an unseen value. Answers may be held to
    the enum, which makes an unseen value impossible, so two things more are asked: at least 20 rows with a value, since
    fewer say little about further rows, and values that are mostly no numbers (an order id, a date, an amount: three
    digits in a row), because such are copied from the text even where the rows of one customer repeat them.
    """
    if not objects:
        raise ValueError("There are no objects to infer a schema from; give at least one.")
    values: dict[str, list[Any]] = {}
    for item in objects:
        for name, value in item.items():
            values.setdefault(name, []).append(value)
    return {
        "type": "object",
        "properties": {name: _of_values(found) for name, found in values.items()},
        "required": [name for name, found in values.items() if len(found) == len(objects)],
        "additionalProperties": False,
    }


def _of_values(values: Sequence[Any]) -> dict[str, Any]:
    """Return the schema of one property."""
    filled = [value for value in values if value is not None]
    nullable = len(filled) < len(values)
    if choices := _choices(filled):
        return {"enum": [*choices, None] if nullable else choices}
    types = _types(filled) + (["null"] if nullable else [])
    schema: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
    if "string" in types:
        longest = max(len(value) for value in filled if isinstance(value, str))
        schema["maxLength"] = max(_LEAST_ROOM, _ROOM * longest)
    if types and types[0] == "object" and set(types) <= {"object", "null"}:
        schema = infer_schema(filled) | {"type": schema["type"]}
    elif types and types[0] == "array" and set(types) <= {"array", "null"}:
        items = [part for value in filled for part in value]
        if items:
            schema["items"] = _of_values(items)
    return schema


def _types(values: Sequence[Any]) -> list[str]:
    """Return the JSON types in a fixed order; whole numbers beside others are numbers."""
    found = {_type(value) for value in values}
    if {"integer", "number"} <= found:
        found.remove("integer")
    return [name for name in ("object", "array", "string", "integer", "number", "boolean") if name in found]


def _type(value: Any) -> str:
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array")):
        if isinstance(value, kind):
            return name
    return "object"


def _choices(values: Sequence[Any]) -> list[str]:
    """Return the values of a text property with few of them, sorted; else nothing."""
    short = all(isinstance(value, str) and len(value) <= _LONGEST_CHOICE for value in values)
    if len(values) < _FEWEST_VALUES or not short:
        return []
    counts = Counter(values)
    seen_once = sum(count == 1 for count in counts.values())
    few = len(counts) <= MOST_CHOICES and len(values) >= _ROWS_A_CHOICE * len(counts)
    numbers = sum(_NUMBER.search(value) is not None for value in counts) > len(counts) / 2
    return sorted(counts) if few and not numbers and seen_once <= _UNSEEN_SHARE * len(values) else []


def parse_objects(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return those texts that are JSON objects, parsed."""
    found: list[dict[str, Any]] = []
    for text in texts:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
