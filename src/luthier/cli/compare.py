"""luthier compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from luthier.cli import options
from luthier.cli.evaluate import Metrics
from luthier.cli.session import perform

EXAMPLES = (
    "Examples:\n  luthier compare runs/1 runs/2\n  luthier compare a.jsonl b.jsonl --data tickets.csv "
    "--metrics exact_match\n"
    "  luthier compare smollm2-135m-instruct runs/1 --data new_tickets.csv --cluster customer\n"
    "  luthier compare smollm2-135m-instruct runs/1 --data questions.csv --judge runs/2\n"
    "  luthier compare runs/a1,runs/a2,runs/a3,runs/a4 runs/b1,runs/b2,runs/b3,runs/b4"
)


def compare(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="A B [C ...]",
            help="Runs, models or answers files; A is to be beaten. Runs of one method with different seeds, joined by "
            "commas, stand for the method.",
        ),
    ],
    data: Annotated[
        str | None, typer.Option("--data", help="Labelled rows. [default: the rows that runs were proved on]")
    ] = None,
    metrics: Metrics = "",
    margin: Annotated[
        float | None, typer.Option("--margin", help="A difference that would not matter, e.g. 0.02.")
    ] = None,
    judge: options.Judge = None,
    rubric: options.Rubric = None,
    precision: options.Precision = "auto",
    run: Annotated[
        Path | None,
        typer.Option("--run", metavar="DIR", help="With a judge: the run directory. [default: the next runs/N]"),
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    kind: options.Kind = None,
    prompt: options.Prompt = None,
    answer: options.AnswerColumn = None,
    system: options.System = None,
    cluster: options.Cluster = None,
    id: options.Id = None,
    skip_bad: options.SkipBad = False,
) -> None:
    """Compare runs, models or finished answers, paired on the same rows.

    Two single runs are two models. Groups of runs with different seeds (A1,A2,A3 B1,B2,B3) are two methods: the verdict
    then holds for other seeds too.

    With a judge each candidate's answers are compared with A's, pair by pair and in both orders; the verdicts are kept
    in a run.
    """
    from luthier import api

    read = options.reading(prompt, answer, system, cluster, id, None, skip_bad)
    settings: dict[str, Any] = {"metrics": options.names(metrics), "margin": margin, "read": read, "kind": kind}
    settings["precision"] = precision
    if judge is not None or rubric is not None or run is not None:
        settings |= {"judge": judge, "rubric": rubric, "run": run, "overwrite": overwrite}
        perform(
            as_json,
            lambda listener, stop: api.compare_judged(*what, data=data, **settings, listener=listener, stop=stop),
            resumable=True,
        )
        return
    perform(
        as_json,
        lambda listener, stop: [c.to_json() for c in api.compare(*what, data=data, **settings, listener=listener)],
    )
