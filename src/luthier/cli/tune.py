"""luthier tune."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from luthier.cli import options
from luthier.cli.session import perform

EXAMPLES = (
    "Examples:\n  luthier tune tickets.csv\n  luthier tune tickets.csv training.epochs=4 adapter.rank=8\n"
    "  luthier tune tickets.csv adapter.method=full training.learning_rate=1e-5\n"
    "  luthier tune corpus/ --objective causal_lm\n  luthier tune recipe.yaml"
)


def tune(
    what: Annotated[
        str, typer.Argument(metavar="DATA|RECIPE.yaml", help="A data file or folder, a corpus of text, or a recipe.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes of the recipe.")
    ] = None,
    model: options.Model = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="fp32, bf16, or auto. [default: the recipe's, auto]")
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            "--objective",
            help="What is minimised: sft on examples with answers, causal_lm on raw text (.txt, .md, or a table with a "
            "column text). [default: the recipe's, sft]",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of initialisation and order. [default: 0]")] = None,
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
    """Tune a model on your examples or on raw text (LoRA or full), and compare it with the model before."""
    from luthier import api

    given = {"precision": precision, "objective": objective, "seed": seed}
    changes = [*(overrides or []), *(f"{key}={value}" for key, value in given.items() if value is not None)]
    read = options.reading(prompt, answer, system, cluster, id, split, skip_bad)
    running: dict[str, Any] = {"run": run, "overwrite": overwrite}
    perform(
        as_json,
        lambda listener, stop: api.tune(
            what, changes, model=model, read=read, kind=kind, **running, listener=listener, stop=stop
        ),
        resumable=True,
    )
