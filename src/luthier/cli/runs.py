"""luthier runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.cli import options
from luthier.cli.session import perform

if TYPE_CHECKING:
    from luthier.reporting.console import ConsoleListener

EXAMPLES = "Examples:\n  luthier runs\n  luthier runs --in experiments\n  luthier runs --delete 3 7"


def runs(
    which: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN ...]", help="Runs, by number or path; all by default.")
    ] = None,
    folder: Annotated[Path, typer.Option("--in", metavar="FOLDER", help="The folder with the runs.")] = Path("runs"),
    delete: Annotated[bool, typer.Option("--delete", help="Delete the runs that are named; asks first.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    as_json: options.Json = False,
) -> None:
    """List runs: stage, status, data, model, verdict, age, disk use. Or delete some."""
    names = which or []

    def work(listener: ConsoleListener, stop: object) -> Any:
        from luthier.stages.runs import deletable_runs, delete_runs, describe_run, list_runs, runs_table

        if not delete:
            lines = list_runs(folder, names)
            listener.show(runs_table(lines))
            return lines
        paths = deletable_runs(folder, names)
        listener.show(runs_table([describe_run(path) for path in paths]))
        _confirm(len(paths), yes)
        done = delete_runs(paths)
        listener.say(f"Deleted {', '.join(done['deleted'])}.")
        return done

    perform(as_json, work)


def _confirm(count: int, yes: bool) -> None:
    """Ask before something is deleted; where there is nobody to ask, nothing is."""
    from luthier.core.errors import RunError

    if yes:
        return
    if not sys.stdin.isatty():
        raise RunError("Nothing was deleted: there is nobody to ask here. Add --yes to delete without asking.")
    if not typer.confirm(f"Delete {'this run' if count == 1 else f'these {count} runs'} for good?", err=True):
        raise RunError("Nothing was deleted.")
