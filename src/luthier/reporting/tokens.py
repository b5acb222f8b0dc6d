"""Tokens on a terminal, coloured by whether they are trained on."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from typing import TextIO

from luthier.reporting.inline import clean

_SHADES = ("black on green", "black on bright_green")
_PARTIAL = "black on yellow"


def print_tokens(
    pieces: Sequence[tuple[str, float]], stream: TextIO | None = None, *, color: bool | None = None
) -> None:
    """Print tokens: trained ones on green (neighbours in two shades), others dim; a weight other than 1 on yellow.

    Without colour, trained stretches stand in double brackets: `<|user|>Hi<|assistant|>[[Hello.<|end|>]]`.

    Args:
        pieces: Text of each token, and its weight in the loss; 0 is not trained.
        stream: Where to print; standard output by default.
        color: Force colour or brackets; by default a terminal gets colour.
    """
    from rich.text import Text

    from luthier.reporting.screen import open_console

    console = open_console(stream or sys.stdout, color=color)
    if not console.is_terminal or console.color_system is None:
        console.file.write(bracketed(pieces) + "\n")
        return
    line = Text()
    shades = itertools.cycle(_SHADES)
    for token, weight in pieces:
        # A line break is shown where it is trained, where it matters and would otherwise be invisible.
        shown = clean(token).replace("\n", "↵\n") if weight else clean(token)
        style = "dim" if not weight else next(shades) if weight == 1 else _PARTIAL
        line.append(shown, style=style)
    console.print(line, soft_wrap=True)


def bracketed(pieces: Sequence[tuple[str, float]]) -> str:
    """Return tokens as text with the trained stretches in double brackets; a weight other than 1 is named."""
    parts = []
    for weight, stretch in itertools.groupby(pieces, key=lambda piece: piece[1]):
        text = clean("".join(token for token, _ in stretch))
        parts.append(text if not weight else f"[[{text}]]" if weight == 1 else f"[[{text}]]x{weight:g}")
    return "".join(parts)
