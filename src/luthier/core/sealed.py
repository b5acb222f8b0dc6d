"""Folders that say what they must hold: a manifest with size and SHA-256 of every file, written last.

Weights travel: they are copied, cut short, fetched through Git or a proxy. A sealed folder is looked at before anything
in it is used, and what differs is named with a likely cause.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier.core.errors import ModelError
from luthier.core.files import sha256_file, sha256_text, write_json

SEAL = "checksums.json"


def seal(folder: Path, name: str = SEAL, **values: Any) -> None:
    """Write the manifest of a folder that is complete, into the folder itself.

    Args:
        folder: Staged, so that a crash in between leaves nothing under its final name.
        name: The manifest's name.
        values: What else it says, such as the step of a checkpoint.
    """
    files = {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != name
    }
    write_json(folder / name, with_check({**values, "files": files}))


def with_check(values: Mapping[str, Any]) -> dict[str, Any]:
    """Add a digest of all values, so that the file that holds them can be checked by itself."""
    return {**values, "sha256": sha256_text(json.dumps(values, sort_keys=True))}


def read_checked(path: Path) -> dict[str, Any]:
    """Read a JSON file written from `with_check`.

    Raises:
        ValueError: if it is missing, broken or changed.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text)
        rest = {key: value for key, value in values.items() if key != "sha256"}
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{path.name} is missing or broken{looks_like(path)}") from error
    if values != with_check(rest) or text != json.dumps(values, indent=2, ensure_ascii=False) + "\n":
        raise ValueError(f"{path.name} is not as it was written{looks_like(path)}")
    return rest


def problem_of(folder: Path, name: str = SEAL, *, weights: bool = True) -> str:
    """Say what is wrong with a sealed folder: the file, what it has and what it should have; empty if nothing is.

    Args:
        folder: The folder.
        name: The manifest's name.
        weights: Also read the weight files, which takes about a second a gigabyte; their sizes are always compared.
    """
    try:
        files = read_checked(folder / name)["files"]
    except (ValueError, KeyError):
        return f"its manifest is missing or broken ({name}{looks_like(folder / name)})"
    for file, wanted in files.items():
        path = folder / file
        if not path.is_file():
            return f"{file} is missing, which is named in {name}"
        if path.stat().st_size != wanted["bytes"]:
            return f"{file} has {path.stat().st_size} bytes instead of {wanted['bytes']}{looks_like(path)}"
        if (weights or path.suffix != ".safetensors") and (found := sha256_file(path)) != wanted["sha256"]:
            digests = f"SHA-256 {found[:12]} instead of {wanted['sha256'][:12]}"
            return f"the checksum of {file} differs ({digests}){looks_like(path)}"
    return ""


def require_sealed(folder: Path, *, weights: bool = True, must: bool = False) -> None:
    """Refuse a folder that is not what was sealed; one without a manifest is somebody else's, and passes.

    Args:
        folder: An adapter, a model, a merged model.
        weights: Also read the weight files.
        must: Whether a manifest must be there.

    Raises:
        ModelError: naming the file.
    """
    if not must and not (folder / SEAL).exists():
        return
    if problem := problem_of(folder, weights=weights):
        raise ModelError(
            f"{folder} is broken: {problem}. It was changed or damaged after it was saved; nothing of it was used. Put "
            "it back from a copy, or make it again."
        )


def looks_like(path: Path) -> str:
    """Say what a broken file seems to be, as an addition to a sentence; empty if nothing is known."""
    try:
        with open(path, "rb") as file:
            head = file.read(64)
    except OSError:
        return ""
    if not head:
        return ": it is empty, probably a copy that was interrupted"
    if head.startswith(b"version https://git-lfs"):
        return ": it is a Git-LFS pointer (git lfs pull fetches the file)"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return ": it is an HTML page, as of a download that failed"
    return ""
