"""Tables and screens in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def screen(command: str, printed: str) -> str:
    """Return a command with what it printed."""
    return f"```text\n$ {command}\n{printed.rstrip()}\n```"
