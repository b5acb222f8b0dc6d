"""Help as plain text, with the sections that options and verbs name, and examples that can be copied.

Rich's help takes twice as long (0.5 s instead of 0.25 s on two slow cores), for boxes that break long examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer.core

Rows = Sequence[tuple[str, str]]


class _PlainHelp:
    """What verbs and groups of them have in common."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options section by section, then verbs section by section."""
        command: Any = self
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in command.get_params(ctx):
            if (row := parameter.get_help_record(ctx)) is not None:
                usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
                sections.setdefault(parameter.rich_help_panel or usual, []).append(row)
        _write(formatter, sections)
        verbs: dict[str, list[tuple[str, str]]] = {}
        for name, verb in getattr(command, "commands", {}).items():
            verbs.setdefault(verb.rich_help_panel or "Commands", []).append((name, _first_paragraph(verb.help or "")))
        _write(formatter, verbs)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the epilog as it stands."""
        command: Any = self
        if command.epilog:
            formatter.write(f"\n{command.epilog}\n")


class Verb(_PlainHelp, typer.core.TyperCommand):
    """A verb of the command line."""


class Verbs(_PlainHelp, typer.core.TyperGroup):
    """A group of verbs."""


def _write(formatter: Any, sections: Mapping[str, Rows]) -> None:
    for title, rows in sections.items():
        if rows:
            with formatter.section(typer.style(title, bold=True)):
                formatter.write_dl(rows)


def _first_paragraph(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split())
