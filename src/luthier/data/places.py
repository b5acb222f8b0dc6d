"""Where data lies: files and folders of this machine, or at an address that fsspec knows (s3://, hf://, …)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from luthier.core.errors import DataError, LuthierError, nearest
from luthier.core.files import sha256_text
from luthier.data.formats import FORMATS

if TYPE_CHECKING:
    from luthier.data.formats.raw import DataFile

_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".txt")
_BLOCK_BYTES = 1 << 18
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

    def open(self) -> IO[bytes]:
        """Open the content, to be fetched piece by piece.

        Raises:
            DataError: if that is not possible.
        """
        system, path = _file_system(self.address)
        try:
            stream: IO[bytes] = system.open(path, "rb")
        except Exception as error:  # each kind of store raises its own
            raise _unreachable(self.address, error) from None
        return stream


def data_files(root: str | Path) -> tuple[Sequence[DataFile], list[str]]:
    """Return the data files of a path or address, and the names of the files beside them that are no data.

    Raises:
        DataError: if there are none.
    """
    return choose_files(root, _SUFFIXES, f"{', '.join(FORMATS)} files")


def choose_files(
    root: str | Path, suffixes: Sequence[str], what: str, *, deep: bool = False
) -> tuple[Sequence[DataFile], list[str]]:
    """Return the files of a folder or address that have one of some endings, and the names of those beside them.

    A path to a file gives that file, whatever its ending.

    Args:
        root: The path or address.
        suffixes: Endings in lower case, such as ".csv".
        what: What is looked for, for messages.
        deep: Look into folders within the folder as well.

    Raises:
        DataError: if there are none.
    """
    found = list(_remote(str(root), deep) if is_address(root) else _local(Path(root), deep))
    if len(found) == 1 and str(found[0]) == str(root):
        return found, []
    files = [file for file in found if file.suffix.lower() in suffixes]
    if not files:
        names = ", ".join(file.name for file in found[:10]) or "no files"
        raise DataError(f"The folder {root} holds no {what} (found: {names}).")
    return files, [file.name for file in found if file not in files]


def open_bytes(file: DataFile) -> IO[bytes]:
    """Open a file to be read piece by piece.

    Raises:
        DataError: if that is not possible.
    """
    try:
        return file.open() if isinstance(file, RemoteFile) else open(str(file), "rb")
    except OSError as error:
        raise DataError(f"Cannot read {file}: {error.strerror or error}.") from None


def size_of(file: DataFile) -> int | None:
    """Return a file's size in bytes; None at an address that does not tell it.

    Raises:
        DataError: if the file is not there any more.
    """
    try:
        if not isinstance(file, RemoteFile):
            return Path(str(file)).stat().st_size
        system, path = _file_system(file.address)
        size = system.size(path)
        return None if size is None else int(size)
    except OSError as error:
        raise DataError(f"Cannot read {file}: {error.strerror or error}.") from None


def digest_of(files: Sequence[DataFile]) -> str:
    """Return a SHA-256 of the content of files, read piece by piece; of one file it is what `sha256sum` prints."""
    digests = [(file.name, _digest_of(file)) for file in files]
    return digests[0][1] if len(digests) == 1 else sha256_text(*(part for pair in digests for part in pair))


def _digest_of(file: DataFile) -> str:
    digest = hashlib.sha256()
    try:
        with open_bytes(file) as stream:
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise DataError(f"Cannot read {file}: {error.strerror or error}.") from None
    return digest.hexdigest()


def _local(root: Path, deep: bool) -> Iterator[DataFile]:
    try:
        if root.is_file():
            yield root
            return
        if not root.is_dir():
            raise DataError(_not_found(root))
        found = root.rglob("*") if deep else root.iterdir()
        shown = (p for p in found if not any(part.startswith(".") for part in p.relative_to(root).parts))
        yield from sorted(p for p in shown if p.is_file())
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read {str(root)!r}: {getattr(error, 'strerror', None) or error}.") from None


def _not_found(root: Path) -> str:
    folder = root.parent
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    hint = nearest(root.name, names)
    return f"There is no file or folder {root}.{hint} Give the path of a CSV, JSON, JSON Lines or Parquet file."


def _remote(address: str, deep: bool) -> Iterator[RemoteFile]:
    system, path = _file_system(address)
    try:
        if not system.isdir(path):
            yield RemoteFile(address)
            return
        listed = system.find(path, detail=True).values() if deep else system.ls(path, detail=True)
        entries = sorted(listed, key=lambda entry: str(entry["name"]))
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
