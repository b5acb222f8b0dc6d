"""OpenAI messages: checked, and cut into the conversation and its last answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from luthier.core.errors import nearest
from luthier.core.types import Message
from luthier.data.values import RowError

ROLES = ("system", "user", "assistant", "tool")
_SAME_AS = {"developer": "system"}
_SHAPE = '[{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]'


def is_message_list(value: Any) -> bool:
    """Say whether a value is meant as messages: a list of objects with a role and a content."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(part, dict) and "role" in part and "content" in part for part in value)
    )


def parse_messages(value: Any, column: str) -> tuple[Message, ...]:
    """Read a list of messages, or the JSON text of one (as CSV and Parquet cells hold it).

    Raises:
        RowError: for the first message that is wrong.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise RowError(f"'{column}' is text but no JSON list", _SHAPE, "write a JSON list") from None
    if not isinstance(value, list) or not value:
        found = "an empty list" if value == [] else "missing" if value is None else f"of type {type(value).__name__}"
        raise RowError(f"'{column}' is {found}", _SHAPE, "write the conversation as a list")
    return tuple(_message(part, number) for number, part in enumerate(value, start=1))


def _message(value: Any, number: int) -> Message:
    if not isinstance(value, dict):
        raise RowError(f"message {number} is no object", '{"role": "user", "content": "…"}', "write role and content")
    role = value.get("role")
    role = _SAME_AS.get(role, role) if isinstance(role, str) else role
    if role not in ROLES:
        hint = nearest(role, ROLES) if isinstance(role, str) else ""
        raise RowError(
            f"message {number} has the unknown role {role!r}.{hint}".rstrip("."), f"one of {', '.join(ROLES)}",
            "rename the role",
        )  # fmt: skip
    content = _content(value.get("content"))
    if content is None:
        if value.get("tool_calls"):
            raise RowError(f"message {number} calls tools", "text content", "write the call as text, or drop the row")
        raise RowError(f"message {number} ({role}) has no text", "content as a string", "fill 'content'")
    weight = value.get("weight")
    if weight is not None and (isinstance(weight, bool) or not isinstance(weight, int | float) or weight < 0):
        raise RowError(f"message {number} has the weight {weight!r}", "a number of 0 or more", "write 0 or 1")
    return Message(role, content, None if weight is None else float(weight))


def _content(value: Any) -> str | None:
    """Return a message's text; OpenAI's list of text parts is joined, anything else is None."""
    if isinstance(value, list) and value:
        if not all(isinstance(p, dict) and p.get("type") == "text" and isinstance(p.get("text"), str) for p in value):
            return None
        value = "".join(part["text"] for part in value)
    return value if isinstance(value, str) and value.strip() else None


def split_at_answer(messages: Sequence[Message], *, need_answer: bool) -> tuple[tuple[Message, ...], str | None]:
    """Cut a conversation into what comes before the last assistant turn, and that turn's text.

    Raises:
        RowError: if it does not end in an assistant turn that answers somebody (one that ends in a user turn is fine
            where no answer is needed).
    """
    last = messages[-1]
    if last.role == "assistant":
        if last.weight == 0:
            raise RowError(
                "the last assistant turn has weight 0", "a last turn that is learned",
                "end the conversation at the last turn whose weight is not 0",
            )  # fmt: skip
        before = tuple(messages[:-1])
        check_asks(before)
        return before, last.content
    if need_answer:
        raise RowError(
            f"the messages end in a turn of role '{last.role}'", "an assistant turn at the end, the reference answer",
            "add the answer, or remove what follows it",
        )  # fmt: skip
    check_asks(messages)
    return tuple(messages), None


def check_asks(messages: Sequence[Message]) -> None:
    """Make sure that a conversation is one an assistant would answer next.

    Raises:
        RowError: if it has no user turn, or does not end in a user or tool turn.
    """
    if not any(message.role == "user" for message in messages):
        raise RowError("there is no user turn before the answer", "at least one user turn", "add what was asked")
    if messages[-1].role not in ("user", "tool"):
        raise RowError(
            f"the turn before the answer is of role '{messages[-1].role}'", "a user or tool turn",
            "merge the two turns, or remove one",
        )  # fmt: skip
