"""Folders of the cache that are whole or absent: staged, renamed, verified by size and SHA-256, made again if broken.

Their `store.json`, written last, says what files they hold and what else was found when they were made.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from luthier.core.files import read_json, sha256_file, staged_folder, write_json

_MANIFEST = "store.json"


def cached(folder: Path, make: Callable[[Path], Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the manifest of a folder says; the folder is made if it is not there, or not whole.

    Args:
        folder: Named by all that its content depends on.
        make: Fills an empty folder, and returns what the manifest is to say.
    """
    if not _is_whole(folder):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            with staged_folder(folder) as staged:
                found = make(staged)
                files = {
                    path.name: {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
                    for path in sorted(staged.iterdir())
                }
                write_json(staged / _MANIFEST, {"files": files, **found})
        except OSError:
            if not _is_whole(folder):  # else another process has made the same meanwhile
                raise
    manifest: dict[str, Any] = read_json(folder / _MANIFEST)
    return manifest


def _is_whole(folder: Path) -> bool:
    """Say whether a folder is there, and its files are what they were when it was made."""
    try:
        files = read_json(folder / _MANIFEST)["files"]
        return all(
            (folder / name).stat().st_size == wanted["bytes"] and sha256_file(folder / name) == wanted["sha256"]
            for name, wanted in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def mapped(path: Path, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return a file's numbers through a memory map."""
    if not path.stat().st_size:  # an empty file cannot be mapped
        return np.empty(0, dtype)
    return np.memmap(path, dtype, mode="r")
