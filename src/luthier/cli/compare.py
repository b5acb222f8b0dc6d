"""luthier compare."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from luthier.cli import options
from luthier.cli.evaluate import Metrics, names
from luthier.cli.session import perform

EXAMPLES = (
    "Examples:\n\n  luthier compare runs/1 runs/2\n\n  luthier compare a.jsonl b.jsonl --data tickets.csv "
    "--metrics exact_match\n\n"
    "  luthier compare smollm2-135m-instruct runs/1 --data new_tickets.csv --cluster customer"
)


def compare(
    what: Annotated[
        list[str], typer.Argument(metavar="A B [C ...]", help="Runs, models or answers files; A is to be beaten.")
    ],
    data: Annotated[
        str | None, typer.Option("--data", help="Labelled rows. [default: the rows that runs were proved on]")
    ] = None,
    metrics: Metrics = "",
    margin: Annotated[
        float | None, typer.Option("--margin", help="A difference that would not matter, e.g. 0.02.")
    ] = None,
    precision: options.Precision = "auto",
    as_json: options.Json = False,
    kind: options.Kind = None,
    prompt: options.Prompt = None,
    answer: options.AnswerColumn = None,
    system: options.System = None,
    cluster: options.Cluster = None,
    id: options.Id = None,
    skip_bad: options.SkipBad = False,
) -> None:
    """Compare runs, models or finished answers, paired on the same rows."""
    from luthier import api

    read = options.reading(prompt, answer, system, cluster, id, None, skip_bad)
    settings: dict[str, Any] = {"metrics": names(metrics), "margin": margin, "read": read, "kind": kind}
    settings["precision"] = precision
    perform(
        as_json,
        lambda listener, stop: [c.to_json() for c in api.compare(*what, data=data, **settings, listener=listener)],
    )
