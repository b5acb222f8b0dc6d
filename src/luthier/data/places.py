"""Where data lies: files and folders of this machine, or at an address that fsspec knows (s3://, hf://, …)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from luthier.core.errors import DataError, LuthierError, nearest
from luthier.data.formats import FORMATS

if TYPE_CHECKING:
    from luthier.data.formats.raw import DataFile

_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".txt")
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs",
             "http": "aiohttp", "https": "aiohttp"}  # fmt: skip


def is_address(path: str | Path) -> bool:
    """Say whether a path is an address such as s3://bucket/rows.csv, not a place on this machine."""
    return "://" in str(path)


@dataclass(frozen=True)
class RemoteFile:
    """A file at an address; read as a whole when it is asked for."""

    address: str

    def __str__(self) -> str:
        return self.address

    @property
    def name(self) -> str:
        """The last part of the address."""
        return PurePosixPath(self.address.partition("?")[0]).name

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The name's ending, such as ".csv"."""
        return PurePosixPath(self.name).suffix

    def read_bytes(self) -> bytes:
        """Fetch the content.

        Raises:
            DataError: if that is not possible.
        """
        system, path = _file_system(self.address)
        try:
            data: bytes = system.cat_file(path)
        except Exception as error:  # each kind of store raises its own
            raise _unreachable(self.address, error) from None
        return data


def data_files(root: str | Path) -> tuple[Sequence[DataFile], list[str]]:
    """Return the data files of a path or address, and the names of the files beside them that are no data.

    Raises:
        DataError: if there are none.
    """
    found = list(_remote(str(root)) if is_address(root) else _local(Path(root)))
    if len(found) == 1 and str(found[0]) == str(root):
        return found, []
    files = [file for file in found if file.suffix.lower() in _SUFFIXES]
    if not files:
        names = ", ".join(file.name for file in found[:10]) or "no files"
        raise DataError(f"The folder {root} holds no {', '.join(FORMATS)} files (found: {names}).")
    return files, [file.name for file in found if file not in files]


def _local(root: Path) -> Iterator[DataFile]:
    try:
        if root.is_file():
            yield root
            return
        if not root.is_dir():
            raise DataError(_not_found(root))
        yield from sorted(p for p in root.iterdir() if p.is_file() and not p.name.startswith("."))
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read {str(root)!r}: {getattr(error, 'strerror', None) or error}.") from None


def _not_found(root: Path) -> str:
    folder = root.parent
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    hint = nearest(root.name, names)
    return f"There is no file or folder {root}.{hint} Give the path of a CSV, JSON, JSON Lines or Parquet file."


def _remote(address: str) -> Iterator[RemoteFile]:
    system, path = _file_system(address)
    try:
        if not system.isdir(path):
            yield RemoteFile(address)
            return
        entries = sorted(system.ls(path, detail=True), key=lambda entry: str(entry["name"]))
    except Exception as error:  # each kind of store raises its own
        raise _unreachable(address, error) from None
    for entry in entries:
        name = PurePosixPath(str(entry["name"])).name
        if entry.get("type") == "file" and not name.startswith("."):
            yield RemoteFile(str(system.unstrip_protocol(entry["name"])))


def _file_system(address: str) -> tuple[Any, str]:
    """Return fsspec's file system for an address, and the path within it.

    Raises:
        DataError: if the protocol is unknown or misspelled.
        LuthierError: if the package for it is not installed.
    """
    import fsspec
    from fsspec.registry import known_implementations

    protocol = address.partition("://")[0]
    try:
        system, path = fsspec.core.url_to_fs(address)
    except ImportError:
        package = _PACKAGES.get(protocol, f"the one fsspec names for {protocol}://")
        raise LuthierError(f"Reading {address} needs a package. Install it with: pip install {package}") from None
    except ValueError:
        hint = nearest(protocol, known_implementations)
        raise DataError(
            f"{address}: there is no protocol {protocol}://.{hint} s3://, gs://, hf://, https:// are."
        ) from None
    return system, path


def _unreachable(address: str, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    missing = isinstance(error, FileNotFoundError)
    what = f"There is nothing at {address}." if missing else f"Cannot read {address}: {reason}."
    return DataError(f"{what} Check the address and your rights to read it, or fetch it and give its path.")
