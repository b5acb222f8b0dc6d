"""luthier show."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from luthier.cli import options
from luthier.cli.session import perform

EXAMPLES = (
    "Examples:\n  luthier show runs/1 failures\n  luthier show runs/1 failures --candidate told_format --most 5\n"
    "  luthier show runs/1 answers --part confirm --json\n  luthier show runs/1 curves"
)


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run directory.")],
    what: Annotated[str, typer.Argument(metavar="WHAT", help="failures, answers or curves.")],
    candidate: Annotated[
        str | None,
        typer.Option(
            "--candidate",
            metavar="NAME",
            help="A candidate of adapt; before or after of tune. [default: counts of all, answers of the chosen one]",
        ),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option("--part", help="choose or confirm. [default: counts of both, answers on choose if there are any]"),
    ] = None,
    most: Annotated[
        int | None, typer.Option("--most", "-n", min=1, help="Most answers shown. [default: 20 failures, all answers]")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Look into a run: why answers are wrong, the answers themselves, how training went."""

    def work(listener: Any, stop: object) -> Any:
        from luthier.stages.showing import show as look

        shown = look(run, what, candidate=candidate, part=part, most=most)
        for block in shown.blocks:
            listener.show(block)
        return shown.found

    perform(as_json, work)
