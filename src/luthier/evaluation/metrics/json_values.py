"""JSON read strictly and compared by value; nested values as flat fields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

Path: TypeAlias = tuple[str | int, ...]


class _NotJson:
    def __repr__(self) -> str:
        return "NOT_JSON"


NOT_JSON: Final = _NotJson()
"""What `parse_json` gives for a text that is not JSON (None is the JSON value null)."""


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def parse_json(text: str) -> Any:
    """Return the value of a JSON text, or `NOT_JSON`.

    Strict: NaN and Infinity, which Python's parser lets pass, are no JSON, and neither is JSON inside a code fence or
    between other words: the program that reads the answer would fail on it.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return NOT_JSON


def same_json(one: Any, other: Any) -> bool:
    """Say whether two JSON values are equal: numbers by value, true and false apart from 1 and 0, arrays in order."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)


def flatten(value: Any) -> dict[Path, Any]:
    """Return the leaves of a JSON value by path. An empty object or array is a leaf, so there is always one."""
    return dict(_leaves(value, ()))


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*path, index))
    else:
        yield path, value


def field_name(path: Path) -> str:
    """Write a path for people, array positions taken together: ("items", 0, "price") -> "items[].price"."""
    text = "".join("[]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "(the whole value)"
