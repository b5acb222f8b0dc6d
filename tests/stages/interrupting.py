"""The command line in a process of its own, which sends itself a signal at an exact place.

python interrupting.py PLACE COUNT SIGNAL ARGUMENT...

PLACE is a name below, COUNT says at which time it is passed, SIGNAL is a name such as SIGTERM. The signal is a real one
and the process a real one; only its moment is exact, which a test that waits and then shoots could not have.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def at_call(
    owner: Any, name: str, count: int, number: int, counts: Callable[[Mapping[str, Any]], bool] = lambda options: True
) -> None:
    """Send the signal when a method is called for the `count`-th time, before it does anything."""
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += counts(options)
        if calls == count:
            os.kill(os.getpid(), number)
        return original(*arguments, **options)

    setattr(owner, name, counted)


def install(place: str, count: int, number: int) -> None:
    """Prepare the place."""
    if place == "backward":  # of a micro-batch that is not its step's last: in the middle of an accumulation
        from luthier.training.engine.single import SingleDeviceEngine

        at_call(SingleDeviceEngine, "backward", count, number, lambda options: not options["last"])
    elif place == "update":  # between the gradient and the new weights
        from luthier.training.engine.single import SingleDeviceEngine

        at_call(SingleDeviceEngine, "update", count, number)
    elif place == "wave":  # of an evaluation, before its rows are computed
        from luthier.generation.local import LocalModel

        at_call(LocalModel, "complete", count, number)
    elif place == "sync":  # a file is written, but not yet known to be on disk
        at_call(os, "fsync", count, number)
    else:
        raise SystemExit(f"no place {place}")


def interrupted(
    place: str, count: int, name: str, *arguments: object, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run the command line in `folder`, in a process of its own, and interrupt it."""
    import torch

    command = [sys.executable, __file__, place, str(count), name, *map(str, arguments)]
    threads = str(torch.get_num_threads())
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)


def interrupted_fork(place: str, count: int, name: str, *arguments: object) -> int:
    """Run the command line in a fork of this process, which spares the imports; returns code, or signal below zero."""
    from command_line import luthier

    child = os.fork()
    if child == 0:
        try:
            install(place, count, signal.Signals[name])
            called = luthier(*arguments)
            os.write(2, called.err.encode())
            os._exit(called.code)
        finally:
            os._exit(99)
    _, ended = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(ended)


if __name__ == "__main__":
    install(sys.argv[1], int(sys.argv[2]), signal.Signals[sys.argv[3]])
    sys.argv = ["luthier", *sys.argv[4:]]
    from luthier.cli.main import main

    main()
