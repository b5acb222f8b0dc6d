"""The voice of the command line: blocks on the screen, progress on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TextIO

from luthier.core.listener import Tracker
from luthier.reporting.blocks import Block, Text


class ConsoleListener:
    """A listener (see `luthier.core.listener`) that prints.

    Args:
        to_stderr: Print the screen on standard error too, which leaves standard output to a `--json` result.
        stdout: Stream of the screen; `sys.stdout` by default.
        stderr: Stream of the progress; `sys.stderr` by default.
        color: Force or forbid colour and bars; by default terminals get them.
        clock: Seconds that pass, for tests.
    """

    def __init__(
        self,
        *,
        to_stderr: bool = False,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
        color: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Rich takes a while to import, and `luthier --help` needs none of it.
        from luthier.reporting.progress import LiveBars
        from luthier.reporting.screen import open_console

        self._errors = open_console(stderr or sys.stderr, color=color)
        self._screen = self._errors if to_stderr else open_console(stdout or sys.stdout, color=color)
        self._bars = LiveBars(self._errors)
        self._clock = clock

    def say(self, text: str) -> None:
        """Print a line (or paragraphs); `**bold**` and `` `code` `` are markup, see `luthier.reporting.inline`."""
        self.show(Text(text))

    def show(self, block: Block) -> None:
        """Print a block."""
        from luthier.reporting.screen import print_block

        with self._room():
            print_block(self._screen, block)

    def track(self, description: str, total: float | None, unit: str = "", done: float = 0) -> Tracker:
        """Return a progress bar; where standard error is no terminal, it writes a line every 20 seconds at most."""
        from luthier.reporting.progress import LineTracker, LiveTracker

        if self._errors.is_terminal and not self._errors.is_dumb_terminal:
            return LiveTracker(self._bars, description, total, unit, done)
        return LineTracker(self._write_line, self._clock, description, total, unit, done)

    def _write_line(self, line: str) -> None:
        self._errors.file.write(line + "\n")
        self._errors.file.flush()

    def _room(self) -> AbstractContextManager[None]:
        """Take bars away while the screen, another stream, writes to what may be the same terminal."""
        separate = self._screen is not self._errors and self._screen.is_terminal
        return self._bars.paused() if separate else nullcontext()
