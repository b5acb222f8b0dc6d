"""Gemini on Vertex AI: `{"systemInstruction": …, "contents": [{"role": "user", "parts": [{"text": "…"}]}, …]}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from luthier.core.errors import nearest
from luthier.core.types import Message
from luthier.data.columns import Columns, plain_name
from luthier.data.conversations import parse_turns
from luthier.data.dialects.dialect import column_of_turns
from luthier.data.values import RowError, as_list

_ROLES = {"user": "user", "model": "assistant", "function": "tool"}
_SYSTEM = ("systeminstruction", "system_instruction")
_SHAPE = '[{"role": "user", "parts": [{"text": "…"}]}, {"role": "model", "parts": [{"text": "…"}]}]'


class Gemini:
    """Gemini (Vertex AI): a column `contents` with a list of turns of role (user, model) and parts."""

    name = "gemini"
    title = "Gemini contents"
    beside = _SYSTEM
    no_answer = None

    def find(self, table: Columns) -> str | None:
        """Return the column called contents."""
        return column_of_turns(table, ("contents",), ("parts",))

    def messages(self, values: Mapping[str, Any], column: str) -> tuple[Message, ...]:
        """Return the turns, the system instruction first."""
        turns = parse_turns(as_list(values.get(column)), column, _SHAPE, _message)
        told = [_text(as_list(value)) for name, value in values.items() if plain_name(name) in _SYSTEM]
        system = next(filter(None, told), "")
        return (Message("system", system), *turns) if system else turns


GEMINI = Gemini()


def _message(value: Mapping[str, Any], number: int) -> Mapping[str, Any]:
    role = value.get("role", "user")  # the API lets a single user turn do without
    if not isinstance(role, str) or role not in _ROLES:
        hint = nearest(role, _ROLES) if isinstance(role, str) else ""
        raise RowError(
            f"turn {number} has the unknown role {role!r}.{hint}".rstrip("."), "user or model", "rename the role"
        )
    return {"role": _ROLES[role], "content": _text(value), "weight": value.get("weight")}


def _text(value: Any) -> str | None:
    """Return the text of a content: its parts' texts joined; None if a part is no text."""
    if isinstance(value, str):
        return value
    parts = value.get("parts") if isinstance(value, Mapping) else None
    parts = [parts] if isinstance(parts, Mapping) else parts
    if not isinstance(parts, list) or not all(isinstance(p, Mapping) and isinstance(p.get("text"), str) for p in parts):
        return None
    return "".join(part["text"] for part in parts)
