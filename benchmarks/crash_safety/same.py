"""Which bytes of two runs must be the same: all but times. What counts as a time is said here and nowhere else."""

from __future__ import annotations

import json
import re
from pathlib import Path

TIMED_FILES = ("timings.jsonl", "spent.json", "speed.json", "checksums.jsonl", ".lock")
"""Left out, in whatever folder: seconds and memory; and the record of writes, which has digests of these."""
TIMED_FOLDERS = ("tensorboard",)
"""Left out: every event has the time at which it was written."""
TIMED_KEYS = ("created_at", "finished_at", "measured", "command", "folder")
"""Of manifests, left out; of the plan in them only the seconds."""
SHOWN_TIMES = re.compile(
    r"\d[\d,.]*(?:&nbsp;|\s)?(?:ms|s|min|h|seconds|tokens/s|KB|MB|GB)\b|\d{4}-\d\d-\d\d[T ]\d\d:\d\d\S*"
    r"|\d\.\d\d times the plan"
)
"""In reports and cards: durations, what share of the plan they are, sizes of memory, dates; each becomes a sign."""


def bytes_that_count(run: Path) -> dict[str, bytes]:
    """Return the files of a run that must not differ, by name, without their times."""
    return {
        str(path.relative_to(run)): _without_times(path)
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name not in TIMED_FILES and not set(path.relative_to(run).parts) & {*TIMED_FOLDERS}
    }


def differing(run: Path, whole: Path) -> list[str]:
    """Return the names of files that differ between two runs, or are in one only."""
    found, wanted = bytes_that_count(run), bytes_that_count(whole)
    return sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))


def _without_times(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name == "manifest.json":
        values = {key: value for key, value in json.loads(content).items() if key not in TIMED_KEYS}
        if isinstance(values.get("plan"), dict):
            values["plan"].pop("seconds", None)
        return json.dumps(values).encode()
    if path.name in ("report.html", "card.md"):
        return SHOWN_TIMES.sub("#", content.decode()).encode()
    return content
