"""JSON Lines: one JSON object a line."""

from __future__ import annotations

import json
from typing import Any

from luthier.core.errors import BadRow
from luthier.data.formats.raw import Content, RawFile, RawRow, columns_of, printable

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
        return has_a_row_a_line(content.text)

    def read(self, content: Content) -> RawFile:
        """Read every line; blank lines are skipped."""
        rows: list[RawRow] = []
        bad: list[BadRow] = []
        # Only "\n" ends a line: str.splitlines would also cut at U+2028, which may stand inside JSON strings.
        lines = content.lines_of_text.split("\n")
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            value, problem, fix = parse_row(line, may_be_cut=number == len(lines))
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


class JsonReader:
    """Decodes JSON and notes which keys stand twice in one object: `json` would keep the last in silence."""

    def __init__(self) -> None:
        self.repeated: list[str] = []
        self.decoder = json.JSONDecoder(object_pairs_hook=self._object)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            names = [name for name, _ in pairs]
            self.repeated += [name for name in value if names.count(name) > 1]
        return value


def parse(text: str) -> tuple[Any, str | None, str]:
    """Return (value, None, "") or (None, what is wrong, how to mend it)."""
    try:
        return json.loads(text), None, ""
    except (ValueError, RecursionError) as error:
        return None, *fault_of(error)


def parse_row(text: str, *, may_be_cut: bool = False) -> tuple[Any, str | None, str]:
    """As `parse`, but a key that stands twice is wrong, too; a last line that just ends is told from a wrong one."""
    reader = JsonReader()
    try:
        value = reader.decoder.decode(text)
    except (ValueError, RecursionError) as error:
        if may_be_cut and is_cut_off(error, text):
            return None, "the last line is cut off", "copy or download the file again, or remove the line"
        return None, *fault_of(error)
    return (value, None, "") if not reader.repeated else (None, *twice(reader.repeated[0]))


def fault_of(error: Exception) -> tuple[str, str]:
    """Return what an error of `json` says is wrong, and how to mend it."""
    if isinstance(error, json.JSONDecodeError):
        return f"no valid JSON ({error.msg} at character {error.pos + 1})", "correct or remove the line"
    if isinstance(error, RecursionError):
        return "JSON nested too deeply", "flatten the value"
    return f"no usable JSON ({error})", "shorten the number or write it as text"  # more than 4,300 digits


def is_cut_off(error: Exception, text: str) -> bool:
    """Say whether JSON is right as far as it goes, and then just ends."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.msg.startswith("Unterminated string") or error.pos >= len(text.rstrip())


def twice(key: str) -> tuple[str, str]:
    """Return the words for a key that stands twice in one object, and how to mend it."""
    return f"the key '{printable(key)}' stands twice in one object", "remove one of them"


def kind_of(value: Any) -> str:
    """Name a JSON value's type in words."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def has_a_row_a_line(text: str) -> bool:
    """Say whether a text, or its beginning, has an object a line, rather than being one JSON document."""
    text = text.lstrip()
    lines = text.split("\n", _LOOKED_AT_LINES)[:_LOOKED_AT_LINES]
    objects = sum(map(_is_object, lines))
    if text.startswith("["):  # a broken document with a row a line ends in an object without a comma, too
        return 2 * objects > len(lines)
    return text.startswith("{") and objects > 0


def _is_object(line: str) -> bool:
    line = line.strip()
    return line.startswith("{") and line.endswith("}") and isinstance(parse(line)[0], dict)
