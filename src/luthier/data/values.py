"""How a cell's value becomes text, in prompts and in answers."""

from __future__ import annotations

import json
import re
from typing import Any

from luthier.core.types import JSON

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


class RowError(Exception):
    """What is wrong with one row; becomes a `BadRow` where file and line are known."""

    def __init__(self, problem: str, expected: str, fix: str) -> None:
        super().__init__(problem)
        self.problem, self.expected, self.fix = problem, expected, fix


def is_empty(value: JSON) -> bool:
    """Say whether a value holds nothing: null, blank text, an empty list or object."""
    return value is None or value == [] or value == {} or (isinstance(value, str) and not value.strip())


def as_list(value: Any) -> Any:
    """Return the list or object that a cell of CSV or Parquet holds as JSON text; other values as they are."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def json_text(value: JSON) -> str:
    """Return the one way in which Luthier writes JSON answers."""
    return json.dumps(value, ensure_ascii=False)


def as_text(value: JSON) -> str:
    """Return a cell's value as people write it: texts verbatim, 3.0 as "3", lists and objects as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))  # a column of whole numbers with a gap is read as floats by most table libraries
    return "" if value is None else json_text(value)


def as_prompt_text(value: JSON) -> str:
    """Return a cell's value for a prompt: as `as_text`, but a list of texts (paragraphs, choices) goes line by line."""
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        return "\n".join(str(part) for part in value)
    return as_text(value)


def check_characters(*texts: str) -> None:
    """Make sure that texts can be written: JSON within a cell can escape half a character.

    Raises:
        RowError: if a text holds a lone surrogate.
    """
    for text in texts:
        if _HALF_CHARACTER.search(text):
            raise RowError("an escape stands for half a character", "whole characters", "correct the \\u escape")


def looks_like_json_object(text: str) -> bool:
    """Say whether a text is meant as a JSON object, valid or not."""
    text = text.strip()
    return text.startswith("{") and text.endswith("}")


def json_object(text: str) -> dict[str, Any]:
    """Parse a text that must be a JSON object.

    Raises:
        RowError: if it is not.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        fix = "write it with json.dumps, not str()" if text.lstrip().startswith("{'") else "correct it"
        raise RowError(
            f"the answer is no valid JSON ({error.msg} at character {error.pos + 1}): {shorten(text, 60)}",
            "a JSON object like the other rows'",
            fix,
        ) from None
    except (ValueError, RecursionError) as error:
        raise RowError(f"the answer is no usable JSON ({error})", "a JSON object", "simplify it") from None
    if not isinstance(value, dict):
        raise RowError(f"the answer is JSON but no object: {shorten(text, 60)}", "a JSON object", "write {…}")
    return value


def shorten(text: str, limit: int) -> str:
    """Cut a text for display, with an ellipsis where something was cut."""
    text = text.strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
