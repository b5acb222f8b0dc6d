"""Files that are whole or absent: staged, synced, renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable (a no-op where folders cannot be opened, as on Windows)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a crash leaves the old content or the new, never a part."""
    data = content.encode() if isinstance(content, str) else content
    staged = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write_synced(staged, [data])
        os.replace(staged, path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_synced(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write a new file piece by piece and wait until it is on disk. Not atomic: stage it.

    Raises:
        OSError: with the file's name, also if the system took less than it was given and did not say so.
    """
    given = 0
    with _naming(path):
        with open(path, "wb") as opened:
            file = cast(BinaryIO, opened)
            for piece in pieces:
                file.write(piece)
                given += len(piece)
            file.flush()
            os.fsync(file.fileno())
        require_bytes(path, given)


def require_bytes(path: Path, given: int) -> None:
    """Raise an OSError if a file that was just written does not have the bytes that were given to it."""
    if (found := path.stat().st_size) != given:
        raise OSError(errno.EIO, f"Only {found:,} of {given:,} bytes were written", str(path))


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Give an error the name of the file: a write that fails has none."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@contextlib.contextmanager
def staged_folder(final: Path) -> Iterator[Path]:
    """Fill a folder that appears under its name only when it is whole."""
    staged = final.with_name(f".{final.name}.{os.getpid()}.part")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    try:
        yield staged
        for file in staged.rglob("*"):
            if file.is_file():
                with _naming(file), open(file, "rb+") as handle:
                    os.fsync(handle.fileno())
        for folder in (*(f for f in staged.rglob("*") if f.is_dir()), staged):
            sync_folder(folder)  # else the names in it may be lost though the folder's own is there
        os.replace(staged, final)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    sync_folder(final.parent)


def remove_staged(folder: Path) -> None:
    """Delete what a killed process had staged in a folder; nobody else may be writing there."""
    for staged in folder.glob(".*.part"):
        if staged.is_dir():
            shutil.rmtree(staged, ignore_errors=True)
        else:
            staged.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, with stable formatting."""
    write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def json_line(value: Any) -> str:
    """Return one line of a JSON Lines file."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


def append_lines(path: Path, values: Iterable[Any]) -> None:
    """Append values as JSON lines and flush them; a torn last line (a crash while appending) is replaced.

    Raises:
        OSError: with the file's name; the file may end in a torn line then.
    """
    _cut_torn_line(path)
    new = not path.exists()
    before = 0 if new else path.stat().st_size
    data = "".join(map(json_line, values)).encode()
    with _naming(path):
        with open(path, "ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        require_bytes(path, before + len(data))
    if new:
        sync_folder(path.parent)


def _cut_torn_line(path: Path) -> None:
    if not path.exists() or not path.stat().st_size:
        return
    with open(path, "rb+") as file:
        file.seek(-1, os.SEEK_END)
        if file.read() != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


def read_lines(path: Path) -> Iterator[Any]:
    """Yield the values of a JSON Lines file; a torn last line (a crash while appending) is left out."""
    if not path.exists():
        return
    with open(path, encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n"):
                return
            yield json.loads(line)


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_text(*parts: str) -> str:
    """Return the SHA-256 of texts, each prefixed by its length so that their border counts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(f"{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()


def cache_folder() -> Path:
    """Return the user's cache folder for Luthier (`LUTHIER_CACHE` moves it)."""
    if home := os.environ.get("LUTHIER_CACHE"):
        return Path(home)
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "luthier" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "luthier"
