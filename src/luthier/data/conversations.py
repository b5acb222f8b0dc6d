"""Conversations: turns are checked, and cut into what comes before the last answer, and that answer.

Calls of tools are written out as text: `{"tool_calls": [{"name": "weather", "arguments": {"city": "Bonn"}}]}`. They are
learned and scored like any answer; a turn with weight 0 is not learned.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from luthier.core.errors import nearest
from luthier.core.types import Message
from luthier.data.values import RowError, as_list, is_empty, json_text

ROLES = ("system", "user", "assistant", "tool")
CALLS = '{"tool_calls": '
"""Begins the text that calls of tools become."""
_SAME_AS = {"developer": "system", "function": "tool"}
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
    if isinstance(value := as_list(value), str):
        raise RowError(f"'{column}' is text but no JSON list", _SHAPE, "write a JSON list")
    return parse_turns(value, column, _SHAPE, lambda part, number: part)


def parse_turns(
    value: Any, column: str, shape: str, convert: Callable[[Mapping[str, Any], int], Mapping[str, Any]]
) -> tuple[Message, ...]:
    """Read a list of turns of any dialect.

    Args:
        value: The list.
        column: Where it stands.
        shape: An example of one, for errors.
        convert: Returns a turn, given with its number from 1, as OpenAI would write it.

    Raises:
        RowError: for the first turn that is wrong.
    """
    if not isinstance(value, list) or not value:
        found = "an empty list" if value == [] else "missing" if value is None else f"of type {type(value).__name__}"
        raise RowError(f"'{column}' is {found}", shape, "write the conversation as a list")
    messages = []
    for number, part in enumerate(value, start=1):
        if not isinstance(part, dict):
            raise RowError(f"turn {number} is no object", shape, "write each turn as an object")
        messages.append(_message(convert(part, number), number))
    return tuple(messages)


def _message(value: Mapping[str, Any], number: int) -> Message:
    role = value.get("role")
    role = _SAME_AS.get(role, role) if isinstance(role, str) else role
    if role not in ROLES:
        hint = nearest(role, ROLES) if isinstance(role, str) else ""
        raise RowError(
            f"turn {number} has the unknown role {role!r}.{hint}".rstrip("."), f"one of {', '.join(ROLES)}",
            "rename the role",
        )  # fmt: skip
    content = "\n".join(part for part in (_content(value.get("content")), _calls(value, number)) if part)
    if not content:
        raise RowError(f"turn {number} ({role}) has no text", "content as a string", "fill 'content'")
    weight = value.get("weight")
    if weight is not None and (isinstance(weight, bool) or not isinstance(weight, int | float) or weight < 0):
        raise RowError(f"turn {number} has the weight {weight!r}", "a number of 0 or more", "write 0 or 1")
    return Message(role, content, None if weight is None else float(weight))


def _calls(value: Mapping[str, Any], number: int) -> str:
    """Return the calls of a turn as JSON; nothing where there are none."""
    calls = value.get("tool_calls") or ([{"function": value["function_call"]}] if value.get("function_call") else [])
    if not isinstance(calls, list):
        raise RowError(f"turn {number} has tool_calls that are no list", "a list of calls", "write a list")
    return CALLS + json_text([_call(call, number) for call in calls]) + "}" if calls else ""


def _call(call: Any, number: int) -> dict[str, Any]:
    called = call.get("function", call) if isinstance(call, dict) else None
    name = called.get("name") if isinstance(called, dict) else None
    if not isinstance(called, dict) or not isinstance(name, str) or not name:
        raise RowError(
            f"turn {number} calls a tool without a name", '{"function": {"name": "…", "arguments": "{…}"}}',
            "name the function",
        )  # fmt: skip
    arguments = called.get("arguments", {})
    if isinstance(arguments, str):  # as OpenAI writes them
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            raise RowError(
                f"turn {number} calls '{name}' with arguments that are no JSON", "a JSON object", "correct them"
            ) from None
    return {"name": name, "arguments": arguments}


def _content(value: Any) -> str | None:
    """Return a message's text; OpenAI's list of text parts is joined, anything else is None."""
    if isinstance(value, list) and value:
        if not all(isinstance(p, dict) and p.get("type") == "text" and isinstance(p.get("text"), str) for p in value):
            return None
        value = "".join(part["text"] for part in value)
    return value if isinstance(value, str) and value.strip() else None


def has_turn_pairs(values: Sequence[Any]) -> bool:
    """Say whether values are earlier turns as Alpaca's `history` has them: lists of [question, answer]."""
    return bool(values) and all(_pairs(value) is not None for value in values)


def parse_history(value: Any, column: str) -> tuple[Message, ...]:
    """Read earlier turns, a list of [question, answer].

    Raises:
        RowError: if it is anything else.
    """
    pairs = [] if is_empty(value) else _pairs(value)
    if pairs is None:
        raise RowError(
            f"'{column}' is no list of [question, answer]", '[["…", "…"]]', "write the earlier turns as pairs"
        )
    return tuple(turn for asked, said in pairs for turn in (Message("user", asked), Message("assistant", said)))


def _pairs(value: Any) -> list[list[str]] | None:
    value = as_list(value)
    pairs = isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) and text.strip() for text in pair)
        for pair in value
    )
    return value if pairs else None


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
