"""luthier merge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.cli import options
from luthier.cli.session import perform

EXAMPLES = "Examples:\n  luthier merge runs/1\n  luthier merge runs/1 --to models/tickets"


def merge(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run with an adapter.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Where to write. [default: RUN/merged]")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Merge a run's adapter into its base: a plain transformers model."""
    from luthier import api

    def work(listener: object, stop: object) -> dict[str, str]:
        folder = api.merge(run, to)
        listener.say(f"Merged model in `{folder}`.")  # type: ignore[attr-defined]
        return {"model": str(folder)}

    perform(as_json, work)
