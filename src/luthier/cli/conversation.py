"""The loop of `luthier chat`."""

from __future__ import annotations

from typing import Any, TextIO

from luthier.core.listener import Listener
from luthier.core.types import Decoding, Message, Request


def talk(
    what: str,
    source: TextIO,
    screen: TextIO,
    listener: Listener,
    *,
    max_tokens: int | None,
    temperature: float,
    remember: bool,
    precision: str,
) -> list[dict[str, Any]]:
    """Answer line by line until the input ends; returns the conversation."""
    from luthier.evaluation.opening import open_chat

    model, instruction, limit = open_chat(what, precision=precision, listener=listener)
    decoding = Decoding(max_tokens or limit, temperature)
    interactive = source.isatty()
    said: list[Message] = []
    while (question := _ask(source, screen, interactive)) is not None:
        if not question:
            continue
        content = f"{instruction}\n\n{question}" if instruction else question
        turn = Message("user", content)
        pieces = []
        for piece in model.stream(Request((*said, turn) if remember else (turn,), decoding)):
            pieces.append(piece)
            screen.write(piece)
            screen.flush()
        screen.write("\n")
        said += [turn, Message("assistant", "".join(pieces))]
    return [message.to_json() for message in said]


def _ask(source: TextIO, screen: TextIO, interactive: bool) -> str | None:
    """Read a question; None at the end of input."""
    if interactive:
        screen.write("> ")
        screen.flush()
    line = source.readline()
    return line.strip() if line else None
