"""Elements of a drawing: tags, texts, hover texts, lines."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from luthier.reporting.inline import clean
from luthier.reporting.scales import Point, Scale

LETTER = 6.4  # mean width of a 12 px letter of the page's font, with some room
BOLD = 1.12  # how much wider a bold one is


def tag(name: str, content: str = "", **attributes: float | str) -> str:
    """Return an element. Numbers get at most two decimals; `class_` and `stroke_width` become `class`, `stroke-width`.

    Attribute values are escaped, the content is taken as it is.
    """
    pairs = "".join(f' {key.strip("_").replace("_", "-")}="{_attribute(value)}"' for key, value in attributes.items())
    return f"<{name}{pairs}>{content}</{name}>" if content else f"<{name}{pairs}/>"


def text(content: str, x: float, y: float, anchor: str = "start", class_: str = "tick") -> str:
    """Return a text element with escaped content."""
    return tag("text", _escaped(content), x=x, y=y, text_anchor=anchor, class_=class_)


def title(content: str) -> str:
    """Return a hover text."""
    return tag("title", _escaped(content))


def _escaped(content: str) -> str:
    return html.escape(clean(content))


def _attribute(value: float | str) -> str:
    return _escaped(value) if isinstance(value, str) else f"{round(value, 2):g}" if abs(value) < 1e5 else str(value)


def drawing(width: float, height: float, name: str, parts: Sequence[str], told: str = "") -> str:
    """Return a drawing; `told` says in words what it shows, for those who cannot see it."""
    said = title(name) + (tag("desc", _escaped(told)) if told else "")
    box = f"0 0 {width:g} {height:g}"
    return tag("svg", said + "".join(parts), viewBox=box, width=width, height=height, role="img")


def typographic(value: str) -> str:
    """Set true minus signs in a formatted number, and keep it on one line."""
    return value.replace("-", "\u2212").replace(" ", "\u00a0")


def shorten(content: str, width: float) -> str:
    """Cut a label to a width in pixels."""
    letters = max(4, int(width / LETTER + 1e-9))
    return content if len(content) <= letters else content[: letters - 1].rstrip() + "…"


def upright(x: float, lanes: Sequence[Point], style: str) -> str:
    """Draw a vertical line that is only seen within the lanes."""
    return "".join(tag("line", x1=x, x2=x, y1=top, y2=bottom, class_=style) for top, bottom in lanes)


def marks_of(marks: Mapping[str, float], scale: Scale, lanes: Sequence[Point], top: float) -> list[str]:
    """Draw named reference lines, their names above them."""
    parts = []
    for name, value in marks.items():
        x = scale(value)
        half = len(name) * LETTER / 2
        anchor = "start" if x - half < scale.start else "end" if x + half > scale.end else "middle"
        parts.append(upright(x, lanes, "mark"))
        parts.append(text(name, x, top - 7, anchor, "markname"))
    return parts
