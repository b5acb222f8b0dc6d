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
from collections.abc import Callable
from pathlib import Path
from typing import Any


def at_call(owner: Any, name: str, count: int, number: int) -> None:
    """Send the signal when a method is called for the `count`-th time, before it does anything."""
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count:
            os.kill(os.getpid(), number)
        return original(*arguments, **options)

    setattr(owner, name, counted)


def install(place: str, count: int, number: int) -> None:
    """Prepare the place."""
    if place == "backward":  # of a micro-batch: in the middle of an accumulated step
        from luthier.training.engine.single import SingleDeviceEngine

        at_call(SingleDeviceEngine, "backward", count, number)
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


def interrupted(place: str, count: int, name: str, *arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in `folder` and interrupt it."""
    import torch

    command = [sys.executable, __file__, place, str(count), name, *map(str, arguments)]
    threads = str(torch.get_num_threads())
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)


if __name__ == "__main__":
    install(sys.argv[1], int(sys.argv[2]), signal.Signals[sys.argv[3]])
    sys.argv = ["luthier", *sys.argv[4:]]
    from luthier.cli.main import main

    main()
