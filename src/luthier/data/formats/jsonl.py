"""JSON Lines: one JSON object a line."""

from __future__ import annotations

import json
from typing import Any

from luthier.core.errors import BadRow
from luthier.data.formats.raw import Content, RawFile, RawRow, columns_of

SUFFIXES = (".jsonl", ".ndjson")
_LOOKED_AT_LINES = 50
_EXPECTED = "one JSON object on each line"


class JsonLines:
    """JSON Lines: one JSON object a line."""

    name = "jsonl"

    def recognises(self, content: Content) -> bool:
        """Say whether lines are objects of their own. One bad line among them does not hide the format."""
        if content.text is None:
            return False
        if content.suffix in SUFFIXES:
            return True
        text = content.text.lstrip()
        lines = text.split("\n", _LOOKED_AT_LINES)[:_LOOKED_AT_LINES]
        return text.startswith(("{", "[")) and any(map(_is_object, lines))

    def read(self, content: Content) -> RawFile:
        """Read every line; blank lines are skipped."""
        rows: list[RawRow] = []
        bad: list[BadRow] = []
        # Only "\n" ends a line: str.splitlines would also cut at U+2028, which may stand inside JSON strings.
        for number, line in enumerate(content.lines_of_text.split("\n"), start=1):
            if not line.strip():
                continue
            value, problem, fix = parse(line)
            if problem is None and not isinstance(value, dict):
                problem, fix = f"the line is {kind_of(value)}", 'write {"column": value, …}'
            elif problem is None and not value:
                problem, fix = "the object is empty", "add its keys, or remove the line"
            if problem is None:
                rows.append(RawRow(number, value))
            else:
                bad.append(BadRow(str(content.path), number, problem, _EXPECTED, fix))
        description = f"JSON Lines ({content.encoding})"
        return RawFile(content.path, self.name, description, columns_of(rows), tuple(rows), tuple(bad))


JSON_LINES = JsonLines()


def parse(text: str) -> tuple[Any, str | None, str]:
    """Return (value, None, "") or (None, what is wrong, how to mend it)."""
    try:
        return json.loads(text), None, ""
    except json.JSONDecodeError as error:
        return None, f"no valid JSON ({error.msg} at character {error.pos + 1})", "correct or remove the line"
    except RecursionError:
        return None, "JSON nested too deeply", "flatten the value"
    except ValueError as error:  # a number of more than 4,300 digits
        return None, f"no usable JSON ({error})", "shorten the number or write it as text"


def kind_of(value: Any) -> str:
    """Name a JSON value's type in words."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _is_object(line: str) -> bool:
    line = line.strip()
    return line.startswith("{") and line.endswith("}") and isinstance(parse(line)[0], dict)
