"""luthier list."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from luthier.cli import options
from luthier.cli.session import perform

EXAMPLES = "Examples:\n  luthier list metrics\n  luthier list models --json"


def list_(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="adapters, objectives, metrics, strategies, formats, dialects, cleaning, baselines, models or guards.",
        ),
    ],
    as_json: options.Json = False,
) -> None:
    """List what there is to choose from, with a line about each."""

    def work(listener: Any, stop: object) -> list[dict[str, str]]:
        from luthier.stages.catalogue import blocks_of, catalogue

        entries = catalogue(what)
        for block in blocks_of(what, entries):
            listener.show(block)
        return entries

    perform(as_json, work)
