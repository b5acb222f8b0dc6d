"""luthier answer."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from luthier.cli import options
from luthier.cli.session import perform

EXAMPLES = (
    "Examples:\n  luthier answer runs/1 new_tickets.csv\n"
    "  luthier answer smollm2-135m-instruct questions.jsonl --prompt '{question}'"
)


def answer(
    what: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="A run directory or a model.")],
    data: Annotated[str, typer.Argument(metavar="FILE", help="New rows, without answers.")],
    precision: options.Precision = "auto",
    run: options.RunPath = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    prompt: options.Prompt = None,
    system: options.System = None,
    id: options.Id = None,
    skip_bad: options.SkipBad = False,
) -> None:
    """Answer new rows; the answers file is named at the end."""
    from luthier import api

    read = options.reading(prompt, None, system, None, id, None, skip_bad)
    running: dict[str, Any] = {"run": run, "overwrite": overwrite}
    perform(
        as_json,
        lambda listener, stop: api.answer(
            what, data, read=read, precision=precision, **running, listener=listener, stop=stop
        ),
        resumable=True,
    )
