"""luthier chat."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from luthier.cli import options
from luthier.cli.session import perform

EXAMPLES = (
    "Examples:\n  luthier chat runs/1\n  luthier chat smollm2-135m-instruct\n"
    "  echo 'What is rain?' | luthier chat smollm2-135m-instruct"
)


def chat(
    what: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="A run directory or a model.")],
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="Longest answer. [default: the run's output limit]")
    ] = None,
    temperature: Annotated[float, typer.Option("--temperature", "-t", min=0, help="0 is greedy.")] = 0.0,
    remember: Annotated[
        bool, typer.Option("--remember/--each-alone", help="Send the conversation so far with each question.")
    ] = False,
    precision: options.Precision = "auto",
    decode_precision: Annotated[
        str,
        typer.Option(
            help="fp16 halves what a CPU reads for each token: about twice as quick, log-probabilities move by "
            "hundredths at most; same leaves it."
        ),
    ] = "same",
    as_json: options.Json = False,
) -> None:
    """Talk to a model in the terminal; answers stream. Piped input is answered line by line. Leave with Ctrl-D.

    A tuned model is asked the way it was taught: each question alone, with the instruction its run found best.
    """
    from luthier.cli.conversation import talk

    perform(
        as_json,
        lambda listener, stop: talk(
            what, sys.stdin, sys.stderr if as_json else sys.stdout, listener,
            max_tokens=max_tokens, temperature=temperature, remember=remember, precision=precision,
            decode_precision=decode_precision,
        ),
    )  # fmt: skip
