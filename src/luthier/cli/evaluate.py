"""luthier evaluate."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from luthier.cli import options
from luthier.cli.session import perform

EXAMPLES = (
    "Examples:\n  luthier evaluate runs/1 new_tickets.csv\n  luthier evaluate smollm2-135m-instruct tickets.csv\n"
    "  luthier evaluate answers.jsonl tickets.csv --metrics exact_match\n"
    "  luthier evaluate runs/1 new_tickets.csv --export csv\n"
    "  luthier evaluate runs/1 new_tickets.csv --samples 5 --temperature 0.7\n"
    "  luthier evaluate runs/1 questions.csv --judge gemma-3-270m --rubric rubric.yaml"
)
Metrics = Annotated[str, typer.Option("--metrics", help="Names, separated by commas. [default: those of the task]")]
Samples = Annotated[
    int, typer.Option("--samples", min=1, help="Sampled answers to each row, whose mean counts; needs a temperature.")
]
Temperature = Annotated[
    float | None,
    typer.Option("--temperature", min=0.0, help="At which answers are sampled; 0 takes the likeliest. "
                 "[default: the run's own, else 0]"),
]  # fmt: skip
Seed = Annotated[int, typer.Option("--seed", help="Seed of the first sample; each further one adds 1.")]
Export = Annotated[
    str | None,
    typer.Option("--export", metavar="csv|parquet", help="Also write a table with a row an example: rows.csv or "
                 "rows.parquet in the run directory."),
]  # fmt: skip


def evaluate(
    what: Annotated[
        str, typer.Argument(metavar="RUN|MODEL|ANSWERS", help="A run directory, a model, or an answers file.")
    ],
    data: Annotated[str, typer.Argument(metavar="DATA", help="Rows with right answers; a judge needs none.")],
    metrics: Metrics = "",
    precision: options.Precision = "auto",
    samples: Samples = 1,
    temperature: Temperature = None,
    seed: Seed = 0,
    export: Export = None,
    judge: options.Judge = None,
    rubric: options.Rubric = None,
    run: options.RunPath = None,
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
    """Score a run, a model or finished answers on labelled rows."""
    from luthier import api

    read = options.reading(prompt, answer, system, cluster, id, None, skip_bad)
    settings: dict[str, Any] = {"metrics": options.names(metrics), "read": read, "kind": kind, "precision": precision}
    settings |= {"samples": samples, "temperature": temperature, "seed": seed, "export": export}
    settings |= {"judge": judge, "rubric": rubric}
    running: dict[str, Any] = {"run": run, "overwrite": overwrite}
    perform(
        as_json,
        lambda listener, stop: api.evaluate(what, data, **settings, **running, listener=listener, stop=stop),
        resumable=True,
    )
