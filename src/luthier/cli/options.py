"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

_READING = "Reading the rows"

Json = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON on standard output, all else on standard error.")
]
RunPath = Annotated[
    Path | None, typer.Option("--run", metavar="DIR", help="The run directory. [default: the next runs/N]")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run directory if it exists.")]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Built-in name, folder, run or hub name. [default: smollm2-135m-instruct]"),
]
Precision = Annotated[
    str, typer.Option("--precision", help="fp32, bf16, or auto: bf16 where the machine computes in it.")
]
Judge = Annotated[
    str | None,
    typer.Option("--judge", metavar="MODEL|RUN", help="A model that judges the answers, or the run of luthier judge "
                 "that measured one."),
]  # fmt: skip
Rubric = Annotated[
    Path | None,
    typer.Option("--rubric", metavar="FILE", help="What the judge is told: criteria, scale, instructions, as YAML or "
                 "Markdown. [default: helpfulness, correctness, clarity]"),
]  # fmt: skip
Kind = Annotated[
    str | None,
    typer.Option("--kind", help="Kind of task: classification, extraction, summarization, "
                 "question_answering, chat, translation; corpus for raw text (evaluate, compare). "
                 "[default: guessed]", rich_help_panel=_READING),
]  # fmt: skip
Prompt = Annotated[
    str | None,
    typer.Option("--prompt", help="The prompt, with {column} in it. [default: guessed]", rich_help_panel=_READING),
]
AnswerColumn = Annotated[
    str | None,
    typer.Option("--answer", help="The column with the right answer. [default: guessed]", rich_help_panel=_READING),
]
System = Annotated[
    str | None, typer.Option("--system", help="A column or text for the system turn.", rich_help_panel=_READING)
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        help="The column whose equal values keep rows together (a customer, a passage).",
        rich_help_panel=_READING,
    ),
]
Id = Annotated[str | None, typer.Option("--id", help="The column with each row's name.", rich_help_panel=_READING)]
Split = Annotated[
    str | None,
    typer.Option("--split", help="The column that says train, validation or test.", rich_help_panel=_READING),
]
SkipBad = Annotated[
    bool,
    typer.Option("--skip-bad", help="Leave out rows that cannot be used, and count them.", rich_help_panel=_READING),
]


def reading(
    prompt: str | None,
    answer: str | None,
    system: str | None,
    cluster: str | None,
    id: str | None,
    split: str | None,
    skip_bad: bool,
) -> dict[str, Any]:
    """Return the options of reading that were given."""
    given = {"prompt": prompt, "answer": answer, "system": system, "cluster": cluster, "id": id, "split": split}
    return {k: v for k, v in given.items() if v is not None} | ({"skip_bad": True} if skip_bad else {})


def names(text: str) -> list[str]:
    """Split names at commas."""
    return [name.strip() for name in text.split(",") if name.strip()]
