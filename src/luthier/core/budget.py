"""Time: what has been spent, over all resumes, and what people write for it."""

from __future__ import annotations

import re
import time

from luthier.core.errors import ConfigError
from luthier.core.record import RunFiles

_SPENT = "spent.json"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str | float) -> float:
    """Read "90", "90s", "10m", "1h30m" as seconds.

    Raises:
        ConfigError: for anything else, or nothing above zero.
    """
    parts = re.fullmatch(
        r"\s*(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?\s*", str(text)
    )
    seconds = sum(float(n) * _UNITS[u] for n, u in zip(parts.groups(), "dhms", strict=True) if n) if parts else 0.0
    if seconds <= 0:
        raise ConfigError(f"'{text}' is not a duration. Write seconds (90), or 90s, 10m, 1h30m.")
    return seconds


def format_duration(seconds: float) -> str:
    """Write seconds the way people read them: "0.4 s", "12 s", "2 min 05 s", "1 h 20 min"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02d} min"


class Stopwatch:
    """Seconds spent on a run, cumulative over resumes; what is not saved is lost at a crash, never counted twice."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files
        self._before: float = files.read_json(_SPENT)["seconds"] if (files.folder / _SPENT).exists() else 0.0
        self._start = time.monotonic()

    def seconds(self) -> float:
        """Return the seconds spent so far."""
        return self._before + time.monotonic() - self._start

    def save(self) -> None:
        """Store the seconds spent so far."""
        self._files.write_json(_SPENT, {"seconds": round(self.seconds(), 3)})
