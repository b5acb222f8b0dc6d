"""The outside of contestants: programs that stay loaded, of which one works at a time, in an order that rotates.

Whatever else the machine does meets all of them alike, so the ratio of two neighbouring turns is worth more than the
ratio of two runs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

HERE = Path(__file__).parent
_REST_SECONDS = 0.3
"""After a turn: threads of the last contestant that wait by spinning have gone to sleep by then."""


class Contestant:
    """A running contestant.

    Args:
        program: A file of this folder.
        settings: What it is started with, as JSON.
        log: File for what it prints.
    """

    def __init__(self, program: str, settings: Mapping[str, Any], log: Path) -> None:
        self._log = log
        with open(log, "w", encoding="utf-8") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / program), json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
            )
        self.facts = self._answer()

    def turn(self, work: Mapping[str, Any]) -> dict[str, Any]:
        """Let it do one piece of work."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(work) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            tail = "".join(self._log.read_text(encoding="utf-8").splitlines(keepends=True)[-15:])
            raise RuntimeError(f"A contestant ended early; the end of {self._log.name}:\n{tail}")
        found: dict[str, Any] = json.loads(line)
        return found

    def __enter__(self) -> Contestant:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()


def play(
    contestants: Mapping[str, Contestant],
    turns: Sequence[Mapping[str, Any]],
    said: Callable[[str], None] = lambda line: None,
) -> dict[str, list[dict[str, Any]]]:
    """Give every contestant the same turns; who begins changes from turn to turn."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in contestants}
    names = list(contestants)
    for index, work in enumerate(turns):
        first = index % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(contestants[name].turn(work))
            time.sleep(_REST_SECONDS)
        taken = ", ".join(f"{name} {lines[-1]['seconds']:.2f} s" for name, lines in found.items())
        said(f"turn {index + 1} of {len(turns)}: {taken}")
    return found
