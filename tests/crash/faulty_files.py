"""Files that fail at an exact operation: the process is killed there, or the disk is full, broken, or takes too little.

Operations are numbered as they come: a write, an fsync, a rename, an unlink, the removal of a folder, and the saving of
a weight file by the library of that format, which writes outside Python and so counts as one.

    kill    SIGKILL before the operation; of a write, half has reached the system
    EIO     the operation fails with an input/output error, once
    ENOSPC  the disk is full from here on: half of the write arrives, and nothing that is written later does
    short   half of a write arrives, and nobody says so (only writes; other operations are as ever)
"""

from __future__ import annotations

import builtins
import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest

Fault = Literal["none", "kill", "EIO", "ENOSPC", "short"]
FAULTS: tuple[Fault, ...] = ("kill", "EIO", "ENOSPC", "short")
_PLAIN = ("fsync", "replace", "rename", "unlink", "rmdir")


class Operations:
    """Counts operations on files, and lets one of them fail."""

    def __init__(self, fault: Fault = "none", at: int = 0) -> None:
        self.fault = fault
        self.at = at
        self.names: list[str] = []
        """What was done, in order."""

    def due(self, name: str) -> bool:
        """Count an operation, and say whether it is the one that fails."""
        self.names.append(name)
        now = len(self.names)
        full = self.fault == "ENOSPC" and name in ("write", "fsync", "weights") and now > self.at > 0
        return self.fault != "none" and (now == self.at or full)

    def plain(self, name: str, original: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Do an operation that is done whole or not at all."""
        if self.due(name) and self.fault != "short":
            self._fail()
        return original(*arguments, **options)

    def write(self, file: Any, data: Any) -> int:
        """Write, or half of it."""
        if not self.due("write"):
            return int(file.write(data))
        file.write(bytes(data)[: len(data) // 2] if self.fault != "EIO" else b"")
        file.flush()
        if self.fault == "short":
            return len(data)
        return self._fail()

    def save_weights(
        self, original: Callable[..., Any], tensors: Any, filename: Any, *more: Any, **options: Any
    ) -> None:
        """Save a weight file, or half of it; the library's errors are its own."""
        from safetensors import SafetensorError

        due = self.due("weights")
        if due and self.fault == "EIO":
            raise SafetensorError("I/O error: Input/output error (os error 5)")
        original(tensors, filename, *more, **options)
        if not due:
            return
        os.truncate(filename, os.stat(filename).st_size // 2)
        if self.fault == "ENOSPC":
            raise SafetensorError("I/O error: No space left on device (os error 28)")
        if self.fault == "kill":
            self._fail()

    def _fail(self) -> int:
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        number = errno.ENOSPC if self.fault == "ENOSPC" else errno.EIO
        raise OSError(number, os.strerror(number))


class _Writing:
    """An open file whose writes are counted."""

    def __init__(self, file: Any, operations: Operations) -> None:
        self._file = file
        self._operations = operations

    def write(self, data: Any) -> int:
        return self._operations.write(self._file, data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Writing:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@contextmanager
def failing(operations: Operations) -> Iterator[Operations]:
    """Send this process's operations on files through `operations`."""
    import safetensors.torch

    from luthier.core import files

    def opened(path: Any, mode: str = "r", *more: Any, **options: Any) -> Any:
        file = builtins.open(path, mode, *more, **options)  # noqa: SIM115
        return _Writing(file, operations) if mode[0] in "wa" else file

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "open", opened, raising=False)
        for name in _PLAIN:
            original = getattr(os, name)
            patch.setattr(os, name, lambda *a, _n=name, _o=original, **o: operations.plain(_n, _o, *a, **o))
        saved = safetensors.torch.serialize_file
        patch.setattr(safetensors.torch, "serialize_file", lambda *a, **o: operations.save_weights(saved, *a, **o))
        yield operations


def count(act: Callable[[], object]) -> list[str]:
    """Do something without a fault, and return its operations."""
    with failing(Operations()) as operations:
        act()
    return operations.names


def suffer(fault: Fault, at: int, act: Callable[[], object]) -> tuple[str, str]:
    """Do something that meets a fault; a kill happens in a process of its own.

    Args:
        fault: What happens.
        at: The operation at which it does, from 1.
        act: What is done.

    Returns:
        "killed", "failed" (with an error that a person can read) or "done"; and the error's text. Other errors are
        raised.
    """
    from luthier.core.errors import LuthierError

    if fault == "kill":
        return _in_a_fork(at, act), ""
    try:
        with failing(Operations(fault, at)):
            act()
    except (OSError, LuthierError) as error:
        return "failed", str(error)
    return "done", ""


def _in_a_fork(at: int, act: Callable[[], object]) -> str:
    child = os.fork()
    if child == 0:
        try:
            with failing(Operations("kill", at)):
                act()
        finally:
            os._exit(0)
    _, ended = os.waitpid(child, 0)
    return "killed" if os.waitstatus_to_exitcode(ended) == -signal.SIGKILL else "not killed"
