"""ShareGPT: `{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from luthier.core.errors import nearest
from luthier.core.types import Message
from luthier.data.columns import Columns
from luthier.data.conversations import parse_turns
from luthier.data.dialects.dialect import column_of_turns
from luthier.data.values import RowError, as_list

_ROLES = {
    "human": "user", "user": "user", "prompter": "user",
    "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant", "bard": "assistant", "bing": "assistant",
    "model": "assistant", "function_call": "assistant",
    "system": "system",
    "tool": "tool", "observation": "tool", "function_response": "tool",
}  # fmt: skip
_SHAPE = '[{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]'


class ShareGpt:
    """ShareGPT: a column `conversations` with a list of turns of `from` (human, gpt, system, …) and `value`."""

    name = "sharegpt"
    title = "ShareGPT"
    beside: tuple[str, ...] = ()
    no_answer = None

    def find(self, table: Columns) -> str | None:
        """Return the column called conversations, conversation or items."""
        return column_of_turns(table, ("conversations", "conversation", "items"), ("from",))

    def messages(self, values: Mapping[str, Any], column: str) -> tuple[Message, ...]:
        """Return the turns under the names that chat templates know."""
        turns = as_list(values.get(column))
        return parse_turns(turns, column, _SHAPE, _message)


SHAREGPT = ShareGpt()


def _message(value: Mapping[str, Any], number: int) -> Mapping[str, Any]:
    who = value.get("from")
    if not isinstance(who, str) or who not in _ROLES:
        hint = nearest(who, _ROLES) if isinstance(who, str) else ""
        raise RowError(
            f"turn {number} is from {who!r}.{hint}".rstrip("."), "one of human, gpt, system, tool", "rename 'from'"
        )
    return {"role": _ROLES[who], "content": value.get("value"), "weight": value.get("weight")}
