"""luthier data check|preview|clean."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from luthier.cli import options
from luthier.cli.plain import Verb, Verbs
from luthier.cli.session import perform

app = typer.Typer(
    help="Look at data before spending anything on it.", cls=Verbs, no_args_is_help=True, rich_markup_mode=None
)
_File = Annotated[str, typer.Argument(metavar="FILE", help="CSV, JSON, JSON Lines, Parquet, or a folder.")]


@app.command(
    "check",
    cls=Verb,
    epilog="Examples:\n  luthier data check tickets.csv\n  luthier data check tickets.csv -m smollm2-135m-instruct",
)
def check(
    data: _File,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Count lengths in this model's tokens. [default: characters / 4]"),
    ] = None,
    as_json: options.Json = False,
    kind: options.Kind = None,
    prompt: options.Prompt = None,
    answer: options.AnswerColumn = None,
    system: options.System = None,
    cluster: options.Cluster = None,
    id: options.Id = None,
    split: options.Split = None,
) -> None:
    """Name the dialect, all bad rows, the task, parts, lengths, variety. Exit status 1 if anything is wrong."""
    read = options.reading(prompt, answer, system, cluster, id, split, skip_bad=True)
    found: dict[str, Any] = {}

    def work(listener: Any, stop: object) -> dict[str, Any]:
        from luthier.stages.looking import check_data

        found.update(check_data(data, read, kind, model, listener))
        return found

    perform(as_json, work)
    if found.get("bad_rows") or found.get("problem"):
        raise typer.Exit(1)


@app.command("preview", cls=Verb, epilog="Examples:\n  luthier data preview tickets.csv --rows 2")
def preview(
    data: _File,
    model: options.Model = None,
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, help="How many rows.")] = 3,
    as_json: options.Json = False,
    prompt: options.Prompt = None,
    answer: options.AnswerColumn = None,
    system: options.System = None,
    id: options.Id = None,
) -> None:
    """Show rows exactly as a model sees them, every token coloured by whether it is trained."""
    read = options.reading(prompt, answer, system, None, id, None, skip_bad=True)

    def work(listener: Any, stop: object) -> list[dict[str, Any]]:
        from luthier.stages.looking import preview_data

        return preview_data(data, read, model, rows, listener, to_stderr=as_json)

    perform(as_json, work)


@app.command(
    "clean",
    cls=Verb,
    epilog="Examples:\n  luthier data clean tickets.csv\n"
    "  luthier data clean tickets.csv --dry-run --rules default,language\n"
    "  luthier data clean tickets.csv length.fewest_words=5 length.most_words=500\n"
    "  luthier data clean tickets.csv -o shared.csv --rules default,personal_data 'personal_data.regions=[DE]'",
)
def clean(
    data: Annotated[str, typer.Argument(metavar="FILE", help="CSV, JSON, JSON Lines or Parquet.")],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[RULE.SETTING=VALUE]...", help="Settings of the rules.")
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="The cleaned copy. [default: FILE.clean.SUFFIX]")
    ] = None,
    rules: Annotated[
        str,
        typer.Option(
            "--rules",
            help="Rules, separated by commas: exact_duplicates, near_duplicates, length, repetition, which are the "
            "default, language, personal_data.",
        ),
    ] = "default",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and write nothing.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the copy if it exists.")] = False,
    as_json: options.Json = False,
    prompt: options.Prompt = None,
    answer: options.AnswerColumn = None,
    system: options.System = None,
    cluster: options.Cluster = None,
    id: options.Id = None,
    split: options.Split = None,
) -> None:
    """Write a copy without duplicates, too short, too long and repetitive rows; on request without other languages, and
    with personal data masked. What was removed or changed, and why, stands beside it. The file itself stays as it is.
    """
    read = options.reading(prompt, answer, system, cluster, id, split, skip_bad=False)

    def work(listener: Any, stop: object) -> dict[str, Any]:
        from luthier import api

        return api.clean(
            data, out, rules=options.names(rules), settings=settings or (), read=read, dry_run=dry_run,
            overwrite=overwrite, listener=listener,
        )  # fmt: skip

    perform(as_json, work)
