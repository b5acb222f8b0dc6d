"""JSON documents: a list of objects, or an object that holds one such list."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from luthier.core.errors import BadRow, DataError
from luthier.data.formats import jsonl
from luthier.data.formats.raw import Content, RawFile, RawRow, columns_of, printable

_SPACE = re.compile(r"[ \t\r\n]*")
_TURN_KEYS = {"role", "from", "parts"}
_EXPECTED = "a list of JSON objects"


class JsonDocument:
    """JSON: a list of objects, or an object that holds one list of objects."""

    name = "json"

    def recognises(self, content: Content) -> bool:
        """Say whether the whole text is one JSON document, or claims to be one and is broken."""
        if content.text is None:
            return False
        text = content.text.strip()
        if not text.startswith(("{", "[")):
            return content.suffix == ".json"
        value, problem, _ = jsonl.parse(text)
        if problem is not None:
            return content.suffix == ".json" and not jsonl.JSON_LINES.recognises(content)
        # One object on one line is a JSON Lines file of one row, unless it wraps a list of rows.
        return isinstance(value, list) or "\n" in text or _name_of_rows(value) is not None

    def read(self, content: Content) -> RawFile:
        """Read every object of the list, each with the line it starts on."""
        whole = jsonl.JsonReader()
        try:
            value = whole.decoder.decode(content.lines_of_text)
        except (ValueError, RecursionError) as error:
            raise DataError(str(_fault(content, error))) from None
        items = list(_items(content, value))
        rows: list[RawRow] = []
        bad: list[BadRow] = []
        for line, item, repeated in items:
            if repeated:
                problem, fix = jsonl.twice(repeated[0])
                bad.append(BadRow(str(content.path), line, problem, "every key once", fix))
            elif isinstance(item, dict) and item:
                rows.append(RawRow(line, item))
            else:
                found = "an empty object" if isinstance(item, dict) else jsonl.kind_of(item)
                fix = 'write {"column": value, …}'
                bad.append(BadRow(str(content.path), line, f"the list holds {found}", _EXPECTED, fix))
        if not items:
            raise DataError(f"{content.path} holds an empty list. Expected {_EXPECTED}: add rows.")
        if len(whole.repeated) > sum(len(repeated) for *_, repeated in items):  # one around the rows
            problem, fix = jsonl.twice(whole.repeated[-1])
            raise DataError(f"{content.path}: {problem}, so that rows would be lost; {fix}.")
        return RawFile(content.path, self.name, f"JSON ({content.encoding})", columns_of(rows), tuple(rows), tuple(bad))


JSON_DOCUMENT = JsonDocument()


def _fault(content: Content, error: Exception) -> BadRow:
    """Return where a document is wrong, and how."""
    text = content.lines_of_text
    expected = f"{_EXPECTED}, or an object that holds one"
    if isinstance(error, json.JSONDecodeError):
        if jsonl.is_cut_off(error, text):
            problem, fix = "the file is cut off in the middle of a value", "copy or download it again"
        else:
            problem, fix = f"no valid JSON ({error.msg} in column {error.colno})", "correct the line"
        return BadRow(str(content.path), error.lineno, problem, expected, fix)
    problem, fix = jsonl.fault_of(error)
    line = 1
    try:  # json does not say where numbers are too long and values too deep
        list(_scan_list(text, _after_space(text, 0)))
    except (ValueError, RecursionError, IndexError) as inner:
        line = getattr(inner, "line", line)
    return BadRow(str(content.path), line, problem, expected, fix)


def _items(content: Content, value: Any) -> Iterator[tuple[int, Any, list[str]]]:
    """Yield the rows of a document with their lines, and the keys that stand twice in them.

    Raises:
        DataError: if the document has another shape.
    """
    text = content.lines_of_text
    if isinstance(value, list):
        yield from _scan_list(text, _after_space(text, 0))
        return
    if not isinstance(value, dict):
        found = jsonl.kind_of(value)
        raise DataError(f"{content.path} holds {found}. Expected {_EXPECTED}, or an object that holds one: write that.")
    if _holds_turns(value):  # one conversation, printed over several lines
        start = _after_space(text, 0)
        reader = jsonl.JsonReader()
        reader.decoder.raw_decode(text, start)
        yield _line(text, start), value, reader.repeated
        return
    name = _name_of_rows(value)
    if name is None:
        keys = ", ".join(f"'{printable(key)}'" for key in list(value)[:10]) or "none"
        raise DataError(
            f"{content.path} is an object with the keys {keys}, and not exactly one of them holds a list of objects. "
            f"Expected {_EXPECTED}, or an object that holds one; keep one list, or write one object a line."
        )
    yield from _scan_list(text, _start_of_value(text, name))


def _name_of_rows(value: Any) -> str | None:
    """Return the key of the only list of objects in an object, or None."""
    if not isinstance(value, dict) or _holds_turns(value):
        return None
    lists = [name for name, part in value.items() if isinstance(part, list) and any(isinstance(x, dict) for x in part)]
    return lists[0] if len(lists) == 1 else None


def _holds_turns(row: Mapping[str, Any]) -> bool:
    """Say whether an object is a row with a conversation, in any dialect: a list of turns is no list of rows."""
    lists = [value for value in row.values() if isinstance(value, list) and value]
    return any(all(isinstance(part, dict) and not _TURN_KEYS.isdisjoint(part) for part in parts) for parts in lists)


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _start_of_value(text: str, name: str) -> int:
    """Return where the value of a top-level key starts (of its last occurrence, which is the one that counts)."""
    decoder = json.JSONDecoder()
    position = _after_space(text, 0) + 1
    found = 0
    while text[position := _after_space(text, position)] == '"':
        key, position = decoder.raw_decode(text, position)
        start = _after_space(text, _after_space(text, position) + 1)
        found = start if key == name else found
        _, position = decoder.raw_decode(text, start)
        position = _after_space(text, position)
        if text[position] != ",":
            break
        position += 1
    return found


def _scan_list(text: str, start: int) -> Iterator[tuple[int, Any, list[str]]]:
    """Yield the elements of a list that is known to be valid, with the line each starts on and its repeated keys.

    Where an element cannot be read after all, the error has that line as `line`.
    """
    position = _after_space(text, start + 1)
    line, counted = 1, 0
    while text[position] != "]":
        line, counted = line + text.count("\n", counted, position), position
        reader = jsonl.JsonReader()
        try:
            value, position = reader.decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            error.line = line  # type: ignore[union-attr]
            raise
        yield line, value, reader.repeated
        position = _after_space(text, position)
        if text[position] == ",":
            position = _after_space(text, position + 1)


def _after_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position
