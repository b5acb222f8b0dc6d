"""luthier demo."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from luthier.cli import options
from luthier.cli.session import perform

_TRIED = ("as_is", "held_to_format", "few_shot_random", "lora", "retention")
"""One of each kind, and what was forgotten: so that the demo does not take longer where the machine is quicker."""
_BUDGET = "11m"
"""A limit, which plans keep to on a machine that is busy at times; an idle one takes less. With ten minutes, two cores
that were not quite idle had no time left to ask what was forgotten."""


def demo(
    budget: Annotated[str, typer.Option("--budget", "-b", help="Time for everything.")] = _BUDGET,
    run: options.RunPath = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Run `luthier adapt` on the shipped support tickets with the built-in model."""
    from luthier import api
    from luthier.data.shipped import shipped_data

    tickets = str(shipped_data("support_tickets") / "tickets.csv")
    asked: dict[str, Any] = {"budget": budget, "candidates": _TRIED, "run": run, "overwrite": overwrite}
    perform(
        as_json,
        lambda listener, stop: api.adapt(tickets, **asked, listener=listener, stop=stop),
        resumable=True,
    )
