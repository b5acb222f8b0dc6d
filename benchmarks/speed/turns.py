"""The inside of a contestant: it does one piece of work whenever it is told to, and says what that took.

A contestant is a program of its own. It reads one JSON line a turn from standard input and answers with one on its
first standard output; whatever libraries print goes to standard error. Imports nothing of any contestant.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_STATUS, _CLEAR_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Turns:
    """The line to the program that calls the turns. Make it before a library is imported that prints."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._began = self._cpu = 0.0

    def ready(self, **facts: Any) -> None:
        """Say that all is loaded; what loading has left behind is given back, and the peak of memory counts anew."""
        gc.collect()
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        with suppress(OSError):
            _CLEAR_PEAK.write_text("5")
        self._say(facts)

    def wait(self) -> Mapping[str, Any] | None:
        """Wait for a turn, and start the clocks; None when there is no more."""
        line = sys.stdin.readline()
        if not line.strip():
            return None
        work: dict[str, Any] = json.loads(line)
        self._began, self._cpu = time.perf_counter(), time.process_time()
        return work

    def done(self, **found: Any) -> None:
        """Stop the clocks and report the turn."""
        seconds, cpu = time.perf_counter() - self._began, time.process_time() - self._cpu
        self._say({"seconds": seconds, "cpu_seconds": cpu, "peak_bytes": _peak_bytes(), **found})

    def serve(self, work: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        """Do turns to the end."""
        while (turn := self.wait()) is not None:
            self.done(**work(turn))

    def _say(self, found: Mapping[str, Any]) -> None:
        self._out.write(json.dumps(found) + "\n")
        self._out.flush()


def settings() -> dict[str, Any]:
    """Return the settings that the contestant was started with."""
    given: dict[str, Any] = json.loads(sys.argv[1])
    return given


def _peak_bytes() -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
