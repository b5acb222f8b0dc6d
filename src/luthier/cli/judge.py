"""luthier judge."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from luthier.cli import options
from luthier.cli.session import perform

EXAMPLES = (
    "Examples:\n  luthier judge smollm2-135m-instruct labelled_pairs.jsonl\n"
    "  luthier judge runs/judge labelled_pairs.csv --rubric rubric.md\n"
    "  luthier judge smollm2-135m-instruct labelled_pairs.csv --first ours --second theirs --label winner --by grades"
)
_COLUMNS = "The labelled pairs"


def judge(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model that judges: a name, a folder, a run.")],
    pairs: Annotated[
        str, typer.Argument(metavar="PAIRS", help="Pairs of answers with people's labels, or preferences.")
    ],
    rubric: options.Rubric = None,
    by: Annotated[
        str, typer.Option("--by", metavar="pairs|grades", help="What it is asked: to compare, or to grade each answer.")
    ] = "pairs",
    first: Annotated[
        str | None,
        typer.Option(
            "--first",
            help="The column with the first answer. [default: found by usual names]",
            rich_help_panel=_COLUMNS,
        ),
    ] = None,
    second: Annotated[
        str | None,
        typer.Option(
            "--second",
            help="The column with the second answer. [default: found by usual names]",
            rich_help_panel=_COLUMNS,
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            help="The column that says which is better: 1, 2 or tie; A or B; first or second. "
            "[default: found by usual names]",
            rich_help_panel=_COLUMNS,
        ),
    ] = None,
    precision: options.Precision = "auto",
    run: options.RunPath = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    prompt: options.Prompt = None,
    system: options.System = None,
    cluster: options.Cluster = None,
    id: options.Id = None,
    skip_bad: options.SkipBad = False,
) -> None:
    """Measure how far a judge agrees with people, before anything is decided by it.

    The run can be named as judge afterwards (`luthier compare A B --data FILE --judge RUN`): what was measured is then
    printed beside its verdicts.
    """
    from luthier import api

    read = options.reading(prompt, None, system, cluster, id, None, skip_bad)
    settings: dict[str, Any] = {"rubric": rubric, "by": by, "read": read, "precision": precision}
    settings["columns"] = {
        key: value for key, value in (("first", first), ("second", second), ("label", label)) if value
    }
    running: dict[str, Any] = {"run": run, "overwrite": overwrite}
    perform(
        as_json,
        lambda listener, stop: api.judge(model, pairs, **settings, **running, listener=listener, stop=stop),
        resumable=True,
    )
