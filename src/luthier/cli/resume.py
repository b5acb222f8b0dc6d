"""luthier resume."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.cli import options
from luthier.cli.session import perform

EXAMPLES = "Examples:\n  luthier resume runs/1"


def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run directory.")],
    as_json: options.Json = False,
) -> None:
    """Go on with an interrupted run; what was done is not done again."""
    from luthier import api

    perform(as_json, lambda listener, stop: api.resume(run, listener=listener, stop=stop), resumable=True)
