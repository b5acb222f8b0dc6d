"""What every verb does around its work: a listener, signals, the result as JSON, errors as sentences."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer

from luthier.core.errors import LuthierError
from luthier.core.stopping import Paused, StopFlag, stop_on_signals

if TYPE_CHECKING:
    from luthier.reporting.console import ConsoleListener

FAILED, PAUSED = 2, 130


def perform(as_json: bool, work: Callable[[ConsoleListener, StopFlag], Any]) -> None:
    """Do a verb's work; its result is printed if `--json` asks for it.

    Exit status: 0 done, 1 done and something is wrong with the data, 2 could not be done, 130 stopped and resumable.
    """
    quiet_libraries()
    from luthier.reporting.console import ConsoleListener

    listener = ConsoleListener(to_stderr=as_json)
    flag = StopFlag()
    try:
        with stop_on_signals(flag):
            result = work(listener, flag)
    except Paused as pause:
        typer.echo(f"Stopped; nothing is lost. {pause}".rstrip(), err=True)
        raise typer.Exit(PAUSED) from None
    except KeyboardInterrupt:
        typer.echo("Stopped at once. Go on with: luthier resume RUN (see runs/).", err=True)
        raise typer.Exit(PAUSED) from None
    except LuthierError as error:
        typer.echo(f"luthier: {error}", err=True)
        raise typer.Exit(FAILED) from None
    except BrokenPipeError:
        raise typer.Exit(0) from None
    if as_json:
        json.dump(result.to_json() if hasattr(result, "to_json") else result, sys.stdout, ensure_ascii=False, indent=2)
        sys.stdout.write("\n")


def quiet_libraries() -> None:
    """Keep libraries from talking over the screen; what matters is said by Luthier."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
