"""Texts beside each other, with what differs highlighted and what is long folded."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.reporting.blocks import Panel, SideBySide
from luthier.reporting.differences import differing
from luthier.reporting.html.pieces import escaped
from luthier.reporting.inline import clean

_SHOWN_CHARACTERS = 700
_SLACK_CHARACTERS = 200
"""Nobody unfolds a text for half a sentence."""


def side_by_side(block: SideBySide, level: int) -> str:
    """Return texts beside each other; `level` is that of the heading, if there is one."""
    reference = block.panels[block.reference] if block.reference is not None and block.panels else None
    title = f"<h{level}>{escaped(block.title)}</h{level}>" if block.title else ""
    asked = clean(block.context)
    context = f'<div class="context" dir="auto">{folded([(asked, False)])}</div>' if asked else ""
    panels = "".join(_panel(panel, reference) for panel in block.panels)
    return f'<article class="beside">{title}{context}<div class="panels">{panels}</div></article>'


def _panel(panel: Panel, reference: Panel | None) -> str:
    # Data reads better in letters of one width, prose does not.
    style = "answer mono" if panel.text.lstrip()[:1] in ("{", "[") else "answer"
    mark = f' <span class="badge {panel.mark}-mark">{panel.mark}</span>' if panel.mark else ""
    note = f' <span class="remark">{escaped(panel.note)}</span>' if panel.note else ""
    text = clean(panel.text)
    if not text.strip():
        shown = '<em class="soft">(empty)</em>'
    elif reference is None or panel is reference or panel.mark == "right":
        shown = folded([(text, False)])
    else:
        shown = folded(differing(text, clean(reference.text)))
    who = f'<p class="who">{escaped(panel.title)}{mark}{note}</p>'
    return f'<div class="panel">{who}<div class="{style}" dir="auto">{shown}</div></div>'


def folded(pieces: Sequence[tuple[str, bool]]) -> str:
    """Return pieces of a text as HTML, those that differ marked; the end of a long one waits for a click."""
    text = "".join(piece for piece, _ in pieces)
    if len(text) <= _SHOWN_CHARACTERS + _SLACK_CHARACTERS:
        return _marked(pieces)
    space = max(text.rfind(sign, 0, _SHOWN_CHARACTERS) for sign in " \n")
    end = space if space > 0 else _SHOWN_CHARACTERS
    first, rest = _cut(pieces, end)
    summary = f"… {len(text) - end:,} more characters"
    return f'{_marked(first)}<details class="more"><summary>{summary}</summary>{_marked(rest).lstrip()}</details>'


def _cut(pieces: Sequence[tuple[str, bool]], at: int) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]]:
    """Divide pieces at a character."""
    first: list[tuple[str, bool]] = []
    rest: list[tuple[str, bool]] = []
    for piece, differs in pieces:
        first.append((piece[:at], differs))
        rest.append((piece[at:], differs))
        at = max(0, at - len(piece))
    return first, rest


def _marked(pieces: Sequence[tuple[str, bool]]) -> str:
    return "".join(
        f"<mark>{escaped(piece)}</mark>" if differs else escaped(piece) for piece, differs in pieces if piece
    )
