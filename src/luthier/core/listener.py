"""How a run talks while it works: lines and progress bars. Silent by default; the command line gives it a voice."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol


class Tracker(Protocol):
    """One progress bar; use it as a context manager."""

    def advance(self, count: float = 1) -> None:
        """Move on by `count` units."""
        ...

    def note(self, text: str) -> None:
        """Show a short text beside the bar, such as the current loss."""
        ...

    def __enter__(self) -> Tracker: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Listener(Protocol):
    """What a run reports to."""

    def say(self, text: str) -> None:
        """Report a line."""
        ...

    def show(self, block: Any) -> None:
        """Report a block of `luthier.reporting.blocks`."""
        ...

    def track(self, description: str, total: float | None, unit: str = "", done: float = 0) -> Tracker:
        """Start a progress bar; what an earlier run has `done` says nothing about the time left."""
        ...


class SilentTracker:
    """A progress bar that nobody sees."""

    def advance(self, count: float = 1) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class SilentListener:
    """The default: nothing is reported."""

    def say(self, text: str) -> None:
        """Do nothing."""

    def show(self, block: Any) -> None:
        """Do nothing."""

    def track(self, description: str, total: float | None, unit: str = "", done: float = 0) -> Tracker:
        """Return a progress bar that nobody sees."""
        return SilentTracker()


class OnlyProgress:
    """Passes progress bars on and keeps everything else quiet: for runs inside a run that reports for them."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def say(self, text: str) -> None:
        """Do nothing."""

    def show(self, block: Any) -> None:
        """Do nothing."""

    def track(self, description: str, total: float | None, unit: str = "", done: float = 0) -> Tracker:
        """Start a progress bar."""
        return self._listener.track(description, total, unit, done)
