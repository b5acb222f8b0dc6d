"""The documents: where they are, and what stands in them."""

from __future__ import annotations

import csv
import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
TICKETS = ROOT / "examples" / "data" / "support_tickets" / "tickets.csv"

_BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


def all_pages() -> list[Path]:
    """Return the pages of the site and the documents at the repository's root."""
    pages = [*sorted(DOCS.rglob("*.md")), README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    assert len(pages) >= 35
    return pages


def text_of(page: Path) -> str:
    """Return a page's text."""
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the fenced blocks of a page in one of some languages."""
    return [match[2] for match in _BLOCK.finditer(text_of(page)) if match[1] in languages]


@dataclass
class Command:
    """A command as a page shows it: what is typed, what is typed into it, and what it is shown to print."""

    line: str
    typed: list[str] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)


def console_commands(page: Path) -> list[Command]:
    """Return the commands of a page's `console` blocks: `$ command`, `> typed into it`, and what it prints."""
    found: list[Command] = []
    for block in blocks(page, "console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Command(line[2:].split("   #")[0].strip()))
            elif line.startswith("> "):
                found[-1].typed.append(line[2:])
            elif line.strip():
                found[-1].printed.append(line)
    return found


def luthier_lines(page: Path) -> Iterator[str]:
    """Yield everything in a page that is a command of Luthier: in blocks, and in the text between backticks."""
    for block in blocks(page, "console", "bash"):
        for line in block.splitlines():
            start = line.removeprefix("$ ").split("   #")[0].strip()
            if start.startswith("luthier "):
                yield start
    prose = _BLOCK.sub("", text_of(page))
    yield from re.findall(r"`(luthier [^`\n]+)`", prose)


def reference() -> ModuleType:
    """Load `docs/reference.py`, which writes the generated tables."""
    if "docs_reference" not in sys.modules:
        spec = importlib.util.spec_from_file_location("docs_reference", DOCS / "reference.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules["docs_reference"] = module
    return sys.modules["docs_reference"]


def write_extract(target: Path, rows: int = 60) -> None:
    """Write the first rows of the shipped tickets."""
    with open(TICKETS, encoding="utf-8", newline="") as file:
        table = list(csv.reader(file))
    with open(target, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(table[: rows + 1])
