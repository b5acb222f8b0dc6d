"""The loop of `luthier chat`."""

from __future__ import annotations

from typing import Any, TextIO

from luthier.core.errors import LuthierError
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
    decode_precision: str = "same",
) -> list[dict[str, Any]]:
    """Answer line by line until the input ends; returns the conversation.

    At a terminal Ctrl-C ends an answer, and what cannot be asked is said without ending the conversation.
    """
    from luthier.evaluation.opening import open_chat

    chat = open_chat(what, precision=precision, decode_precision=decode_precision, listener=listener)
    chat.writer.engine.remembers = True
    decoding = Decoding(max_tokens or chat.limit, temperature)
    interactive = source.isatty()
    if interactive:
        alone = "The conversation so far is sent along" if remember else "Each question stands alone"
        listener.say(f"{alone}; Ctrl-C ends an answer, Ctrl-D the conversation.")
    said: list[Message] = []
    while (question := _ask(source, screen, interactive)) is not None:
        if not question:
            continue
        turn = Message("user", question)
        pieces: list[str] = []
        try:
            for piece in chat.model.stream(Request((*said, turn) if remember else (turn,), decoding)):
                pieces.append(piece)
                screen.write(piece)
                screen.flush()
        except (LuthierError, KeyboardInterrupt) as stop:
            if not interactive:
                raise
            screen.write(" …" if isinstance(stop, KeyboardInterrupt) else f"luthier: {stop}")
        screen.write("\n")
        if pieces:
            said += [turn, Message("assistant", "".join(pieces))]
    chat.close()
    return [message.to_json() for message in said]


def _ask(source: TextIO, screen: TextIO, interactive: bool) -> str | None:
    """Read a question; None at the end of input (at a terminal also at Ctrl-C)."""
    if not interactive:
        line = source.readline()
        return line.strip() if line else None
    screen.write("> ")
    screen.flush()
    try:
        line = source.readline()
    except KeyboardInterrupt:
        line = ""
    if not line:
        screen.write("\n")
    return line.strip() if line else None
