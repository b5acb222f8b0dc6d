"""The command line in processes of their own, which send themselves a signal at an exact place.

The signal is a real one and so is the process; only the moment is exact, which a test that waits and then shoots could
not have.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WAVE = 20
"""Examples answered together in these processes, so that few rows are several waves."""


def at_call(
    owner: Any, name: str, count: int, number: int, counts: Callable[..., bool] = lambda *_, **__: True
) -> None:
    """Send the signal when a method is called for the `count`-th time, before it does anything."""
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += counts(*arguments, **options)
        if calls == count:
            os.kill(os.getpid(), number)
        return original(*arguments, **options)

    setattr(owner, name, counted)


def install(place: str, count: int, number: int) -> None:
    """Prepare the place."""
    if place == "backward":  # of a micro-batch that is not its step's last: in the middle of an accumulation
        from luthier.training.engine.single import SingleDeviceEngine

        at_call(SingleDeviceEngine, "backward", count, number, lambda *_, **options: not options["last"])
    elif place == "update":  # between the gradient and the new weights
        from luthier.training.engine.single import SingleDeviceEngine

        at_call(SingleDeviceEngine, "update", count, number)
    elif place == "wave":  # of an evaluation, before its rows are computed
        from luthier.evaluation import answering
        from luthier.evaluation.answerers import Prompted

        def of_a_model(answerer: Any, *_: Any) -> bool:
            return isinstance(answerer, Prompted)

        at_call(answering, "_answer_wave", count, number, of_a_model)
    elif place.startswith("sync"):  # a file is written, but not yet known to be on disk
        begun = Path(place.removeprefix("sync").removeprefix(" after "))  # counted from when this file is there
        at_call(os, "fsync", count, number, lambda *_: begun.exists())
    else:
        raise SystemExit(f"no place {place}")


class Forks:
    """A process that has imported everything and computed nothing; each call of the command line is a fork of it.

    Forking it spares the imports, and is safe, which forking a process that has computed with torch is not.
    """

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "COLUMNS": "200"}
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def call(self, place: str, count: int, name: str, *arguments: object, folder: Path) -> Ended:
        """Call the command line in `folder`; it sends itself the signal where it passes the place for the n-th time."""
        assert self._process.stdin
        assert self._process.stdout
        request = {"at": [place, count, name], "arguments": [*map(str, arguments)], "folder": str(folder)}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        out, err = (folder / f"{stream}.txt" for stream in ("out", "err"))
        return Ended(code, out.read_text(), err.read_text())

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (below zero: the signal that killed it), and what it wrote."""

    code: int
    out: str
    err: str


def serve() -> None:
    """Import, then fork once a request and report how the fork ended."""
    import luthier.stages.adapt
    import luthier.stages.answer
    import luthier.stages.evaluate
    import luthier.stages.tune  # noqa: F401
    from luthier.evaluation import answering

    answering.WAVE = WAVE

    for name in ("peft", "sklearn.linear_model", "sklearn.feature_extraction.text", "torch.utils.tensorboard",
                 "transformers.models.llama.modeling_llama", "luthier.reporting.screen"):  # fmt: skip
        importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _be_the_command_line(request)
        _, ended = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(ended), flush=True)


def _be_the_command_line(request: dict[str, Any]) -> None:
    from luthier.cli.main import main

    os.chdir(request["folder"])
    for stream, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(f"{stream}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    place, count, name = request["at"]
    install(place, count, signal.Signals[name])
    sys.argv = ["luthier", *request["arguments"]]
    try:
        main()
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(99)


if __name__ == "__main__":
    serve()
