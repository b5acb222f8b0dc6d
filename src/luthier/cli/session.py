"""What every verb does around its work: a listener, signals, the result as JSON, errors as sentences."""

from __future__ import annotations

import errno
import json
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import typer

from luthier.core.errors import LuthierError
from luthier.core.stopping import Paused, StopFlag, stop_on_signals

if TYPE_CHECKING:
    from luthier.reporting.console import ConsoleListener

FAILED, STOPPED = 2, 130
STOPPING = "Stopping when the step under way is done; press Ctrl-C again to stop at once."


def perform(as_json: bool, work: Callable[[ConsoleListener, StopFlag], Any], *, resumable: bool = False) -> None:
    """Do a verb's work; its result is printed if `--json` asks for it.

    Exit status: 0 done, 1 done and something is wrong with the data, 2 could not be done, 130 stopped.

    Args:
        as_json: Whether standard output is for the result alone.
        work: The work; it is given a listener and a flag that is set when it should stop.
        resumable: Whether the work looks at the flag and can go on later. All else is interrupted at once.
    """
    quiet_libraries()
    from luthier.reporting.console import ConsoleListener

    listener = ConsoleListener(to_stderr=as_json)
    flag = StopFlag()
    try:
        with stop_on_signals(flag, lambda: listener.say(STOPPING)) if resumable else nullcontext():
            result = work(listener, flag)
        if as_json:
            _print_json(result)
        sys.stdout.flush()
    except (Paused, KeyboardInterrupt) as stop:
        done = "Stopped; nothing is lost." if isinstance(stop, Paused) else "Stopped."
        typer.echo(f"{done} {stop}".rstrip(), err=True)
        raise typer.Exit(STOPPED) from None
    except LuthierError as error:
        raise _failed(error, str(error)) from None
    except BrokenPipeError as closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the exit would complain again
        if not resumable:  # a table that is read no further
            raise typer.Exit(0) from None
        typer.echo(f"Stopped: nobody reads the output any more. {closed}", err=True)
        raise typer.Exit(STOPPED) from None
    except OSError as error:
        place = f": {error.filename}" * bool(error.filename)
        raise _failed(error, f"{error.strerror or error}{place}{advice(error)}") from None


_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG}
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}


def advice(error: OSError) -> str:
    """Say what to do about an error of the disk, as an addition to a sentence; empty where nothing is known."""
    if error.errno in _FULL:
        return ". The disk is full, or what you may use of it: free some space (luthier runs says what runs take)."
    if error.errno in _CLOSED:
        return ". It cannot be written there: make the folder writable, or choose another with --run DIR."
    if error.errno == errno.EIO:
        return ". The disk did not do what it was told: it may be failing. Copy what you need to another one."
    return ""


def _failed(error: Exception, text: str) -> typer.Exit:
    typer.echo("\n".join([f"luthier: {text}", *getattr(error, "__notes__", ())]), err=True)
    return typer.Exit(FAILED)


def _print_json(result: Any) -> None:
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
