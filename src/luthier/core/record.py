"""The record of what a run wrote: for every file that is read again, its size and SHA-256, a line a write.

A file that is written whole is recorded before it is written: after a crash in between it is the old one or is missing,
and both are known. A file that grows is recorded after it has grown: what a crash left behind the recorded beginning is
made again. So a file that no line of the record fits was changed or damaged, and is refused by name.

Runs of earlier versions have no record, and are read without these checks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.core.errors import RunError
from luthier.core.files import append_lines, json_line, sha256_text, write_atomically
from luthier.core.sealed import looks_like

RECORD = "checksums.jsonl"


@dataclass(frozen=True)
class Entry:
    """A file, or the beginning of one, as it was written."""

    file: str
    size: int
    sha256: str

    @classmethod
    def of(cls, file: str, content: bytes) -> Entry:
        """Return the entry of a content."""
        return cls(file, len(content), hashlib.sha256(content).hexdigest())

    def line(self) -> dict[str, Any]:
        """Return the line of the record, with a check of its own."""
        check = sha256_text(self.file, str(self.size), self.sha256)[:16]
        return {"file": self.file, "bytes": self.size, "sha256": self.sha256, "check": check}


class RunFiles:
    """The files of a run that are read again. Names are seen from the run directory, such as "steps/plan.json".

    Every reading function raises a RunError for a file that is not what the run wrote, and every writing one an
    OSError if it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # ---------------------------------------------------------------- files that are written whole

    def begin(self) -> None:
        """Begin the record of a new run."""
        write_atomically(self.folder / RECORD, "")

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file, recorded first."""
        data = content.encode() if isinstance(content, str) else content
        self.record(name, data)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)

    def write_json(self, name: str, value: Any) -> None:
        """Write JSON, with stable formatting."""
        self.write(name, json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def record(self, name: str, content: bytes) -> None:
        """Record a file that is about to be written, or was written and checked by other means."""
        if (self.folder / RECORD).exists():
            append_lines(self.folder / RECORD, [Entry.of(name, content).line()])

    def knows(self, name: str) -> bool:
        """Say whether the run has recorded a file of this name."""
        return bool(self._entries(name))

    def require(self, name: str) -> None:
        """Refuse to go on without a file that the run has recorded."""
        if self.knows(name):
            self._bytes(name)

    def read(self, name: str) -> bytes:
        """Read a file that was written whole."""
        content = self._bytes(name)
        entries = self._entries(name)
        if entries is not None and Entry.of(name, content) not in entries:
            raise RunError(self._refusal(name, content, entries))
        return content

    def read_json(self, name: str) -> Any:
        """Read a JSON file."""
        try:
            return json.loads(self.read(name))
        except ValueError as error:
            raise RunError(f"{self.folder / name} is broken: it is not JSON ({error}). {self._remedy(name)}") from None

    # ---------------------------------------------------------------- files that grow by lines

    def append(self, name: str, values: Iterable[Any]) -> None:
        """Append lines behind the recorded beginning; what a crash left behind that is dropped."""
        beginning = self._recorded_beginning(name)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > len(beginning):
            write_atomically(path, beginning)
        append_lines(path, values)
        self.record(name, path.read_bytes())

    def write_lines(self, name: str, values: Iterable[Any]) -> None:
        """Write all lines anew, as when a growing file is cut back."""
        self.write(name, "".join(map(json_line, values)))

    def record_lines(self, name: str) -> None:
        """Record the lines that were appended by other means."""
        if (self.folder / name).exists():
            self._recorded_beginning(name)
            self.record(name, self._bytes(name))

    def recorded_lines(self, name: str) -> list[Any]:
        """Return the lines that the record vouches for; a run that goes on makes the others again."""
        return self._parsed(name, self._recorded_beginning(name))

    def lines(self, name: str) -> list[Any]:
        """Return all lines, also those that a run at work has not recorded yet; none if there is no file."""
        self._recorded_beginning(name)
        return self._parsed(name, self._bytes(name) if (self.folder / name).exists() else b"")

    def _recorded_beginning(self, name: str) -> bytes:
        entries = self._entries(name)
        if not (self.folder / name).exists():  # deleted: what it held is made again, or is not there
            return b""
        content = self._bytes(name)
        if entries is None:
            return content
        if not entries:
            return b""
        beginning = content[: entries[-1].size]
        if Entry.of(name, beginning) != entries[-1]:
            raise RunError(self._refusal(name, content, entries))
        return beginning

    def _parsed(self, name: str, content: bytes) -> list[Any]:
        try:
            return [json.loads(line) for line in content.splitlines(keepends=True) if line.endswith(b"\n")]
        except ValueError as error:
            raise RunError(
                f"{self.folder / name} is broken: a line is not JSON ({error}). {self._remedy(name)}"
            ) from None

    # ---------------------------------------------------------------- the record itself

    def _entries(self, name: str) -> list[Entry] | None:
        """Return what the record says of a file, oldest first; None if the run has no record."""
        path = self.folder / RECORD
        if not path.exists():
            if _says_there_is_one(self.folder / "manifest.json"):
                raise RunError(f"{path} is missing. {self._remedy(RECORD)}")
            return None
        return [entry for entry in map(self._entry, _whole_lines(path.read_bytes())) if entry.file == name]

    def _entry(self, line: bytes) -> Entry:
        try:
            value = json.loads(line)
            entry = Entry(value["file"], value["bytes"], value["sha256"])
            if json_line(entry.line()).encode() == line:
                return entry
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        raise RunError(
            f"{self.folder / RECORD} is broken: a line of {len(line)} bytes is not one that the run wrote"
            f"{looks_like(self.folder / RECORD)}. {self._remedy(RECORD)}"
        )

    def _bytes(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            raise RunError(f"{self.folder / name} is missing. {self._remedy(name)}") from None

    def _refusal(self, name: str, content: bytes, entries: list[Entry]) -> str:
        found = Entry.of(name, content)
        expected = "nothing"
        if entries:
            last = entries[-1]
            expected = f"{last.size:,} bytes" if last.size != found.size else f"SHA-256 {last.sha256[:12]}"
        return (
            f"{self.folder / name} is not what the run wrote: it has {found.size:,} bytes, SHA-256 "
            f"{found.sha256[:12]}; {RECORD} says {expected}{looks_like(self.folder / name)}. {self._remedy(name)}"
        )

    def _remedy(self, name: str) -> str:
        """Say what to do about a file that is broken, missing or changed."""
        if name == "recipe.yaml":
            return (
                "A run goes on with the recipe that it began with: put that back. For other settings make a new run "
                f"from it: luthier tune {self.folder / name}."
            )
        if name.startswith("steps/"):
            return f"Put the file back from a copy; or delete it, and luthier resume {self.folder} makes it again."
        return "Put the file back from a copy, or start a new run."


def _whole_lines(content: bytes) -> list[bytes]:
    """Return the lines without a torn last one, which is a crash while appending."""
    return [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]


def _says_there_is_one(manifest: Path) -> bool:
    try:
        return f'"record": "{RECORD}"' in manifest.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
