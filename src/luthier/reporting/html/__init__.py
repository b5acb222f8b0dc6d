"""Blocks as one HTML file: no network, no scripts, light and dark, phone and desktop, paper.

All text is escaped; the page also forbids scripts and loads to the browser itself (Content-Security-Policy), so that a
model's answer can do nothing but be read.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import Path

from luthier.core.errors import RunError
from luthier.core.files import write_atomically
from luthier.reporting.blocks import Block, Verdict
from luthier.reporting.html.page import Page
from luthier.reporting.html.pieces import escaped

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def write_html(
    path: Path,
    title: str,
    blocks: Sequence[Block],
    *,
    subtitle: str = "",
    glossary: Mapping[str, str] | None = None,
    footer: str = "",
) -> None:
    """Write a page (see `to_html`) to a file, whole or not at all.

    Raises:
        RunError: if the file cannot be written.
    """
    page = to_html(title, blocks, subtitle=subtitle, glossary=glossary, footer=footer)
    try:
        write_atomically(path, page)
    except OSError as error:
        reason = f"Cannot write the report {path}: {error.strerror}."
        raise RunError(f"{reason} Check that its folder exists, may be written to and has room.") from None


def to_html(
    title: str,
    blocks: Sequence[Block],
    *,
    subtitle: str = "",
    glossary: Mapping[str, str] | None = None,
    footer: str = "",
) -> str:
    """Return a page as HTML.

    Args:
        title: Title of the page.
        blocks: Its content; the first verdict comes to the top wherever it stands.
        subtitle: A line below the title.
        glossary: Words and their explanations, shown on hovering (or a tap) where a section first has them, and listed
            at the end.
        footer: A line at the end.
    """
    page = Page(glossary or {})
    verdict = next((block for block in blocks if isinstance(block, Verdict)), None)
    top = page.block(verdict) if verdict else ""
    body = page.blocks([block for block in blocks if block is not verdict])
    head = f"<h1>{escaped(title)}</h1>" + (f'<p class="subtitle">{page.inline(subtitle)}</p>' if subtitle else "")
    parts = [f"<header>{head}</header>", top, page.navigation(), f"<main>{body}</main>", page.words()]
    parts.append(f"<footer>{page.inline(footer)}</footer>" if footer else "")
    style = importlib.resources.files("luthier.reporting").joinpath("page.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escaped(title)}</title>
<style>
{style}</style>
</head>
<body>
<div class="page">
{"".join(f"{part}{chr(10)}" for part in parts if part)}</div>
</body>
</html>
"""
