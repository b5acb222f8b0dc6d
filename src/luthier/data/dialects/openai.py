"""OpenAI messages: `{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from luthier.core.types import Message
from luthier.data.columns import Columns
from luthier.data.conversations import parse_messages
from luthier.data.dialects.dialect import column_of_turns


class OpenAI:
    """OpenAI messages: a column `messages` with a list of turns of role and content."""

    name = "messages"
    title = "OpenAI messages"
    beside: tuple[str, ...] = ()
    no_answer = None

    def find(self, table: Columns) -> str | None:
        """Return the column called messages."""
        return column_of_turns(table, ("messages",), ("role",))

    def messages(self, values: Mapping[str, Any], column: str) -> tuple[Message, ...]:
        """Return the turns."""
        return parse_messages(values.get(column), column)


OPENAI = OpenAI()
