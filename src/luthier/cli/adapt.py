"""luthier adapt."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from luthier.cli import options
from luthier.cli.session import perform

_FOLDS = 5
EXAMPLES = (
    "Examples:\n  luthier adapt tickets.csv\n  luthier adapt dialogues.jsonl --prompt "
    "'Summarize:\\n\\n{dialogue}' --answer summaries\n"
    "  luthier adapt tickets.csv --target 0.8 --budget 30m --model path/to/model\n"
    "  luthier adapt few.csv --cross-validate\n  luthier adapt runs/1 --budget 30m"
)


def adapt(
    data: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Examples: CSV, JSON, JSON Lines, Parquet, or a folder. Or a run of adapt, to go on from with a "
            "larger budget.",
        ),
    ],
    model: options.Model = None,
    budget: Annotated[str, typer.Option("--budget", "-b", help="Time for everything: 90s, 10m, 1h.")] = "10m",
    target: Annotated[
        float | None, typer.Option("--target", help="A score that would be good enough, such as 0.8.")
    ] = None,
    cross_validate: Annotated[
        bool,
        typer.Option(
            "--cross-validate", help="For few rows (20 to 150): every row is confirmed once, in one of 5 folds."
        ),
    ] = False,
    folds: Annotated[
        int | None, typer.Option("--folds", min=2, metavar="K", help="Cross-validate in K folds instead of 5.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be tried, and stop.")] = False,
    candidates: Annotated[
        str,
        typer.Option(
            "--try",
            metavar="NAMES",
            help="Try only these beside the rivals without a model, separated by commas: as_is, told_format, "
            "held_to_format, few_shot_random, few_shot_nearest, lora_fewer, lora, tuned_held, retention.",
        ),
    ] = "",
    keep: Annotated[
        str, typer.Option("--keep", help="Whose weights stay when the winner is known: winner or all.")
    ] = "winner",
    redact: Annotated[
        bool, typer.Option("--redact", help="Leave rows, answers, labels and prompts out of report and card.")
    ] = False,
    precision: options.Precision = "auto",
    seed: Annotated[int, typer.Option("--seed", help="Seed of split, initialisation and order.")] = 0,
    run: options.RunPath = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    kind: options.Kind = None,
    prompt: options.Prompt = None,
    answer: options.AnswerColumn = None,
    system: options.System = None,
    cluster: options.Cluster = None,
    id: options.Id = None,
    split: options.Split = None,
    skip_bad: options.SkipBad = False,
) -> None:
    """Try what could help on your examples, cheapest first, and prove what did."""
    from luthier import api

    read = options.reading(prompt, answer, system, cluster, id, split, skip_bad)
    settings: dict[str, Any] = {
        "model": model,
        "target": target,
        "budget": budget,
        "read": read,
        "kind": kind,
        "precision": precision,
        "seed": seed,
        "cross_validate": folds or (_FOLDS if cross_validate else None),
        "candidates": options.names(candidates),
    }
    if plan:
        perform(as_json, lambda listener, stop: api.plan(data, **settings, listener=listener))
        return
    running: dict[str, Any] = {"run": run, "overwrite": overwrite, "redact": redact, "keep": keep}
    perform(
        as_json,
        lambda listener, stop: api.adapt(data, **settings, **running, listener=listener, stop=stop),
        resumable=True,
    )
