"""luthier bench."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from luthier.cli import options
from luthier.cli.session import perform

EXAMPLES = (
    "Examples:\n  luthier bench\n  luthier bench gemma-3-270m --only answers\n"
    "  luthier bench --only lora --only full --json"
)


def bench(
    model: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="A built-in name, a folder or a hub name.")
    ] = "smollm2-135m-instruct",
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="WORK", help="lora, full or answers; may be given again.")
    ] = None,
    precision: options.Precision = "auto",
    as_json: options.Json = False,
) -> None:
    """Measure how fast this machine tunes and answers with a model: a minute or two for the built-in one.

    Beside each figure: the share of what the machine's matrix products allow, and what plans would have expected.
    """

    def work(listener: Any, stop: object) -> dict[str, Any]:
        from luthier.stages import bench as stage

        return stage.bench(model, only or [], precision, listener)

    perform(as_json, work)
