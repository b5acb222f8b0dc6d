"""Stopping in good order: the first SIGINT or SIGTERM asks, the second insists."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType


class StopFlag:
    """Set when a person or a scheduler asks the program to stop; long loops look at it between steps."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask for a stop."""
        self._event.set()

    def __bool__(self) -> bool:
        return self._event.is_set()


class Paused(Exception):  # noqa: N818  (not an error: the run goes on later)
    """Raised to unwind a stage whose run was asked to stop; everything to go on from is saved."""


@contextmanager
def stop_on_signals(flag: StopFlag, heard: Callable[[], None] = lambda: None) -> Iterator[StopFlag]:
    """Set `flag` at the first SIGINT or SIGTERM; a second one interrupts at once. Only the main thread can do this.

    Args:
        flag: What is set.
        heard: Called at the first signal, to tell the person that it was heard.
    """
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if flag:
            raise KeyboardInterrupt
        flag.set()
        with suppress(RuntimeError):  # the signal came in the middle of a write to the same stream
            heard()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
