"""What people write for a time, and what has been spent of it over all resumes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from luthier.core.budget import Stopwatch, format_duration, parse_duration
from luthier.core.errors import ConfigError
from luthier.core.files import read_json
from luthier.core.record import RunFiles


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        (90, 90),
        (1.5, 1.5),
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1h30", 3630),
        ("2d", 172_800),
        ("1d2h3m4s", 93_784),
        ("0.5h", 1800),
        (" 5m ", 300),
    ],
)
def test_durations(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0m", "-5m", "5 minutes", "m", "30m1h", "1e3", "ten"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a duration. Write seconds"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (9.9, "9.9 s"), (12.4, "12 s"), (125, "2 min 05 s"), (3599, "59 min 59 s"), (4800, "1 h 20 min")],
)
def test_seconds_as_people_read_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_a_stopwatch_counts_over_resumes_and_loses_what_was_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    first = Stopwatch(RunFiles(tmp_path))
    now[0] += 10
    first.save()
    now[0] += 5  # never saved: a crash
    assert first.seconds() == 15
    now[0] = 3.0  # another process, another clock
    second = Stopwatch(RunFiles(tmp_path))
    now[0] += 2
    assert second.seconds() == 12
    second.save()
    assert read_json(tmp_path / "spent.json") == {"seconds": 12.0}
