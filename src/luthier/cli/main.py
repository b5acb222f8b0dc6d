"""The program `luthier`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import typer

from luthier.cli import (
    adapt,
    answer,
    bench,
    chat,
    compare,
    data,
    demo,
    env,
    evaluate,
    judge,
    listing,
    merge,
    resume,
    runs,
    show,
    tune,
)
from luthier.cli.plain import Verb, Verbs

_LIVED_IN = "The verbs people live in"
_FURTHER = "Further verbs"

app = typer.Typer(
    name="luthier",
    cls=Verbs,
    help="Finds out what a language model lacks on your task, applies the adaptation that helps, "
    "and proves that it helped.",
    epilog="Start with:  luthier demo   or   luthier adapt YOUR_EXAMPLES.csv",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

_Verbs = Mapping[str, tuple[Callable[..., None], str | None]]
"""What is done and its examples, by name."""

_DAILY: _Verbs = {
    "adapt": (adapt.adapt, adapt.EXAMPLES),
    "tune": (tune.tune, tune.EXAMPLES),
    "evaluate": (evaluate.evaluate, evaluate.EXAMPLES),
    "compare": (compare.compare, compare.EXAMPLES),
    "chat": (chat.chat, chat.EXAMPLES),
}
_OTHERS: _Verbs = {
    "answer": (answer.answer, answer.EXAMPLES),
    "judge": (judge.judge, judge.EXAMPLES),
    "resume": (resume.resume, resume.EXAMPLES),
    "runs": (runs.runs, runs.EXAMPLES),
    "show": (show.show, show.EXAMPLES),
    "merge": (merge.merge, merge.EXAMPLES),
    "list": (listing.list_, listing.EXAMPLES),
    "bench": (bench.bench, bench.EXAMPLES),
    "env": (env.env, None),
    "demo": (demo.demo, None),
}


def _add(panel: str, verbs: _Verbs) -> None:
    for name, (verb, examples) in verbs.items():
        app.command(name, cls=Verb, rich_help_panel=panel, epilog=examples)(verb)


_add(_LIVED_IN, _DAILY)
app.add_typer(data.app, name="data", rich_help_panel=_LIVED_IN)
_add(_FURTHER, _OTHERS)


@app.callback(invoke_without_command=True)
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
    accept_terms: str = typer.Option("", metavar="NAME", help="Accept a model's terms, once: gemma."),
) -> None:
    if accept_terms:
        os.environ["LUTHIER_ACCEPT_TERMS"] = accept_terms
    if version:
        from luthier import __version__

        typer.echo(f"luthier {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the program."""
    app()


if __name__ == "__main__":
    main()
