"""Progress on standard error: live bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from luthier.core.budget import format_duration
from luthier.core.listener import Tracker
from luthier.reporting.inline import clean
from luthier.reporting.quantities import number

QUIET_SECONDS = 20.0
"""Seconds between two lines of progress where no bar can be drawn."""


def amount(done: float, total: float | None, unit: str) -> str:
    """Write how far something is: "40/120 steps", or "40 steps" where the end is not known; a part is not counted."""
    whole = math.floor(done + 1e-6)  # parts that add up to one may fall short of it by rounding
    return f"{number(whole)}{'' if total is None else '/' + number(total)} {unit}".strip()


class _Amount(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(amount(task.completed, task.total, task.fields["unit"]))


class _Remaining(ProgressColumn):
    def render(self, task: Task) -> Text:
        if task.time_remaining is not None and task.completed:
            return Text(f"{format_duration(task.time_remaining)} left", style="cyan")
        return Text(format_duration(task.elapsed or 0), style="dim")


class LiveBars:
    """All bars that are open, in one display below the screen; it comes with the first and goes with the last."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None

    def open(self, description: str, total: float | None, unit: str, done: float) -> TaskID:
        """Add a bar."""
        if self._progress is None:
            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                _Amount(),
                _Remaining(),
                TextColumn("{task.fields[note]}", markup=False, style="dim"),
                console=self._console,
                transient=True,
                redirect_stdout=False,  # it would move what is printed on standard output to standard error
                speed_estimate_period=120,
            )
            self._progress.start()
        return self._progress.add_task(clean(description), total=total, completed=int(done), unit=unit, note="")

    def update(self, task: TaskID, advance: float = 0, note: str | None = None) -> None:
        """Move a bar on, or set the text beside it."""
        if self._progress is not None:
            if note is not None:
                self._progress.update(task, note=clean(note))
            self._progress.advance(task, advance)

    def close(self, task: TaskID) -> None:
        """Take a bar away."""
        if self._progress is not None:
            self._progress.remove_task(task)
            if not self._progress.tasks:
                self._progress.stop()
                self._progress = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Take the display away while something else writes to the same terminal."""
        progress = self._progress
        if progress is None:
            yield
            return
        progress.stop()
        try:
            yield
        finally:
            progress.start()


class LiveTracker:
    """One bar of a live display."""

    def __init__(self, bars: LiveBars, description: str, total: float | None, unit: str, done: float) -> None:
        self._bars = bars
        self._what = (description, total, unit, done)
        self._task: TaskID | None = None

    def advance(self, count: float = 1) -> None:
        """Move on by `count` units."""
        if self._task is not None:
            self._bars.update(self._task, advance=count)

    def note(self, text: str) -> None:
        """Show a short text beside the bar."""
        if self._task is not None:
            self._bars.update(self._task, note=text)

    def __enter__(self) -> Tracker:
        self._task = self._bars.open(*self._what)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._bars.close(self._task)


class LineTracker:
    """Progress as lines, at most one every `QUIET_SECONDS`; what is done sooner says nothing."""

    def __init__(
        self,
        write: Callable[[str], None],
        clock: Callable[[], float],
        description: str,
        total: float | None,
        unit: str,
        done: float,
    ) -> None:
        self._write = write
        self._clock = clock
        self._description, self._total, self._unit = description, total, unit
        self._done = self._before = done
        self._note = ""
        self._started = self._written = clock()
        self._spoke = False

    def advance(self, count: float = 1) -> None:
        """Move on by `count` units."""
        self._done += count
        now = self._clock()
        if now - self._written >= QUIET_SECONDS:
            self._written, self._spoke = now, True
            self._say(self._left(now - self._started))

    def note(self, text: str) -> None:
        """Set the text at the end of the next line."""
        self._note = text

    def _left(self, elapsed: float) -> str:
        moved = self._done - self._before
        if self._total is None or not moved:
            return f"{format_duration(elapsed)} so far"
        return f"{format_duration(max(0.0, elapsed * (self._total - self._done) / moved))} left"

    def _say(self, time: str) -> None:
        parts = [amount(self._done, self._total, self._unit), time, self._note]
        self._write(clean(f"{self._description}: {', '.join(filter(None, parts))}"))

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._spoke and error is None:
            self._say(f"took {format_duration(self._clock() - self._started)}")
