"""The program `luthier`."""

from __future__ import annotations

import os

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

_LIVED_IN = "The verbs people live in"
_FURTHER = "Further verbs"

app = typer.Typer(
    name="luthier",
    help="Finds out what a language model lacks on your task, applies the adaptation that helps, "
    "and proves that it helped.",
    epilog="Start with:  luthier demo   or   luthier adapt YOUR_EXAMPLES.csv",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("adapt", rich_help_panel=_LIVED_IN, epilog=adapt.EXAMPLES)(adapt.adapt)
app.command("tune", rich_help_panel=_LIVED_IN, epilog=tune.EXAMPLES)(tune.tune)
app.command("evaluate", rich_help_panel=_LIVED_IN, epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command("compare", rich_help_panel=_LIVED_IN, epilog=compare.EXAMPLES)(compare.compare)
app.command("chat", rich_help_panel=_LIVED_IN, epilog=chat.EXAMPLES)(chat.chat)
app.add_typer(data.app, name="data", rich_help_panel=_LIVED_IN)
app.command("answer", rich_help_panel=_FURTHER, epilog=answer.EXAMPLES)(answer.answer)
app.command("judge", rich_help_panel=_FURTHER, epilog=judge.EXAMPLES)(judge.judge)
app.command("resume", rich_help_panel=_FURTHER, epilog=resume.EXAMPLES)(resume.resume)
app.command("runs", rich_help_panel=_FURTHER, epilog=runs.EXAMPLES)(runs.runs)
app.command("show", rich_help_panel=_FURTHER, epilog=show.EXAMPLES)(show.show)
app.command("merge", rich_help_panel=_FURTHER, epilog=merge.EXAMPLES)(merge.merge)
app.command("list", rich_help_panel=_FURTHER, epilog=listing.EXAMPLES)(listing.list_)
app.command("bench", rich_help_panel=_FURTHER, epilog=bench.EXAMPLES)(bench.bench)
app.command("env", rich_help_panel=_FURTHER)(env.env)
app.command("demo", rich_help_panel=_FURTHER)(demo.demo)


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
