"""Weight files: whether they are whole, whether they are those that were known, and which an adapter was made for."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from luthier.core.errors import GuardError, ModelError
from luthier.core.files import cache_folder, read_json, require_bytes, sha256_file, sha256_text, write_json
from luthier.core.sealed import looks_like, read_checked, with_check

ADAPTER_RECORD = "luthier.json"
"""Beside an adapter: the base it was trained on, the base's digest, the chat template's digest."""


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a folder.

    Raises:
        ModelError: if there are none, naming a pickle if that is what is there.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = sorted(p.name for p in folder.glob("*.bin")) + sorted(p.name for p in folder.glob("*.pt"))
        found = (
            f"only pickled weights ({pickles[0]}), which are refused because loading them runs code"
            if pickles
            else "no weights"
        )
        raise ModelError(f"{folder} holds {found}. Save the model as safetensors: model.save_pretrained(folder).")
    for file in files:
        require_whole(file)
    return files


def require_whole(file: Path) -> None:
    """Refuse what only looks like a weight file: a Git-LFS pointer, an HTML page, a partial download."""
    size = file.stat().st_size
    with open(file, "rb") as handle:
        head = handle.read(64)
    if head.startswith(b"version https://git-lfs"):
        raise ModelError(f"{file} is a Git-LFS pointer of {size} bytes, not the weights. Fetch them: git lfs pull.")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise ModelError(
            f"{file} is an HTML page of {size} bytes, not weights: the download got an error page. Fetch it again."
        )
    if size != _size_by_header(file, size):
        raise ModelError(f"{file} is broken ({size} bytes): probably a partial download. Fetch it again.")


@contextmanager
def saving_weights(folder: Path) -> Iterator[None]:
    """Save with a library that writes weights by itself: its errors become those of files, and files are looked at.

    Raises:
        OSError: if a file could not be written, or was cut short.
    """
    try:
        yield
    except SafetensorError as error:
        full = "os error 28" in str(error) or "No space" in str(error)
        raise OSError(
            errno.ENOSPC if full else errno.EIO, f"Weights could not be written ({error})", str(folder)
        ) from None
    for file in folder.rglob("*.safetensors"):
        size = file.stat().st_size
        said = _size_by_header(file, size)
        require_bytes(file, said if said >= 0 else size + 1)


def _size_by_header(file: Path, size: int) -> int:
    """Return the size that a safetensors file says it has: the header's length, the header, the tensors; -1 if none."""
    with open(file, "rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if length + 8 > size:
            return -1
        try:
            header = json.loads(handle.read(length))
            return 8 + length + max((t["data_offsets"][1] for name, t in header.items() if name != "__metadata__"))
        except (ValueError, TypeError, KeyError):
            return -1


def weights_digest(folder: Path) -> str:
    """Return a SHA-256 over a folder's weights and config; digests of unchanged files are remembered."""
    return sha256_text(
        *(f"{file.name}:{_remembered_digest(file)}" for file in [*weight_files(folder), folder / "config.json"])
    )


def _remembered_digest(file: Path) -> str:
    stat = file.stat()
    times = (stat.st_mtime_ns, stat.st_ctime_ns)  # a copy can bring its mtime along, never its ctime
    key = sha256_text(str(file.resolve()), str(stat.st_size), *map(str, times))[:32]
    record = cache_folder() / "digests" / key
    try:
        return str(read_checked(record)["digest"])
    except (ValueError, KeyError):
        digest = sha256_file(file)
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        write_json(record, with_check({"digest": digest}))
    except OSError:  # a read-only cache folder costs a second next time, nothing else
        pass
    return digest


def require_known(folder: Path) -> None:
    """Refuse a built-in model's folder whose files are not those that its manifest names.

    Raises:
        ModelError: naming the file, with both digests.
    """
    try:
        manifest = read_json(folder / "manifest.json")
        files = manifest["files"] if "conversion" in manifest else {}
    except (OSError, ValueError, KeyError, TypeError):  # no built-in model's folder
        return
    for name, wanted in files.items():
        if (found := _remembered_digest(folder / name)) != wanted["sha256"]:
            raise ModelError(
                f"{folder / name} is broken: SHA-256 {found[:12]} instead of {wanted['sha256'][:12]}"
                f"{looks_like(folder / name)}. Remove the folder {folder}: the model is fetched again."
            )


def check_adapter_base(adapter: Path, digest: str, template_digest: str, tokens_digest: str) -> None:
    """Refuse an adapter on a base it was not trained on, under another chat template, or with another tokenizer.

    Raises:
        GuardError: with both digests.
    """
    record = adapter / ADAPTER_RECORD
    if not record.exists():
        return
    wanted = read_json(record)
    if wanted["base_digest"] != digest:
        raise GuardError(
            f"The adapter {adapter} was trained on a base with digest {wanted['base_digest'][:12]}, but "
            f"'{wanted['base']}' here has "
            f"{digest[:12]}: its weights are not the same. Use the base it was trained on."
        )
    if wanted["template_digest"] != template_digest:
        raise GuardError(
            f"The adapter {adapter} was trained with another chat template (digest "
            f"{wanted['template_digest'][:12]}, here "
            f"{template_digest[:12]}). A model asked in another form than it was taught answers badly; restore the "
            "template."
        )
    if wanted.get("tokens_digest", tokens_digest) != tokens_digest:  # adapters of earlier versions do not say
        raise GuardError(
            f"The adapter {adapter} was trained with another tokenizer: the same texts now become other tokens (digest "
            f"{wanted['tokens_digest'][:12]}, here {tokens_digest[:12]}). Put back the tokenizer files of "
            f"'{wanted['base']}'."
        )
