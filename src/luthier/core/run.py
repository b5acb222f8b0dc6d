"""A run directory is the whole truth about a run: what was asked, what happened, what came out.

recipe.yaml      what was asked, defaults filled in
manifest.json    versions, seeds, digests, hardware, status
metrics.jsonl    what is reproducible, a line a step (equal runs have equal bytes)
timings.jsonl    what is not: seconds, memory
steps/           results of slow steps; a resumed run reads them
checkpoints/     training states
adapter/         the trained adapter in PEFT's format (or model/ after full tuning)
evaluation/      every answer, one file an evaluation
children/        runs made by this run
report.html, card.md
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar, overload

from luthier.core.config import Config, load_yaml
from luthier.core.errors import RunError
from luthier.core.files import (
    append_lines,
    json_line,
    read_json,
    read_lines,
    remove_staged,
    write_atomically,
    write_json,
)
from luthier.core.listener import Listener, SilentListener
from luthier.core.stopping import Paused, StopFlag

T = TypeVar("T")
SCHEMA_VERSION = 1
_PACKAGES = ("luthier", "torch", "transformers", "tokenizers", "peft", "safetensors", "numpy", "scipy", "scikit-learn")


class RunDirectory:
    """A run on disk. Make one with `create`, find one again with `open`."""

    def __init__(self, path: Path, listener: Listener | None = None, stop: StopFlag | None = None) -> None:
        self.path = path
        self.listener: Listener = listener or SilentListener()
        self.stop = StopFlag() if stop is None else stop  # a flag that is not set is false

    # ---------------------------------------------------------------- making and finding

    @classmethod
    def create(
        cls, path: Path | None, stage: str, config: Config, *, overwrite: bool = False, listener: Listener | None = None
    ) -> Self:
        """Make a new run directory; `None` takes the next free `runs/N`.

        With `overwrite` an existing run is put aside, and deleted when the new one has made something (see `settle`).

        Raises:
            RunError: if the directory exists (and `overwrite` is off), cannot be written, or is at work.
        """
        try:
            if path is None:
                path = _next_free(Path("runs"))
            else:
                cls(path)._make_room(overwrite)
            run = cls(path, listener)
            run._begin(stage, config)
        except OSError as error:
            raise RunError(
                f"Cannot write the run directory {path or 'runs'}: {error.strerror}. Choose another with --run DIR."
            ) from None
        return run

    def _begin(self, stage: str, config: Config) -> None:
        try:
            (self.path / "steps").mkdir(parents=True, exist_ok=True)
            config.save(self.path / "recipe.yaml")
            write_json(self.path / "manifest.json", _new_manifest(stage, config))
        except OSError:
            self.settle()
            raise

    @classmethod
    def open(cls, path: Path, listener: Listener | None = None) -> Self:
        """Open an existing run directory.

        Raises:
            RunError: if it is not one, or was made by a newer Luthier.
        """
        if not cls.is_run(path):
            raise RunError(f"{path} is not a run directory (it has no manifest.json and recipe.yaml).")
        run = cls(path, listener)
        version = run.manifest.get("schema_version", 0)
        if version > SCHEMA_VERSION:
            raise RunError(
                f"{path} was made by a newer Luthier (schema {version}, this one reads up to {SCHEMA_VERSION}). "
                "Upgrade: pip install -U luthier."
            )
        return run

    def _make_room(self, overwrite: bool) -> None:
        if not self.path.exists() and self._replaced.exists():  # a kill came just after it was put aside
            os.replace(self._replaced, self.path)
        if not self.path.exists() or not any(self.path.iterdir()):
            return
        if not self.is_run(self.path):
            raise RunError(
                f"{self.path} exists and is not a run directory; --overwrite only replaces runs. Choose another place "
                "with --run DIR."
            )
        if not overwrite:
            raise RunError(
                f"{self.path} already exists. Go on with it: luthier resume {self.path}. Replace it: --overwrite."
            )
        with self.working():
            pass  # nobody else is
        shutil.rmtree(self._replaced, ignore_errors=True)
        os.replace(self.path, self._replaced)

    @property
    def _replaced(self) -> Path:
        """Where the run is kept that this one replaces."""
        return self.path.with_name(f".{self.path.name}.replaced")

    def settle(self) -> bool:
        """Let a run that made something replace the one put aside for it; one that made nothing goes without trace.

        Returns:
            Whether the run stays.
        """
        if self.made_something:
            shutil.rmtree(self._replaced, ignore_errors=True)
            return True
        shutil.rmtree(self.path, ignore_errors=True)
        if self._replaced.exists():
            os.replace(self._replaced, self.path)
        elif self.path.parent == Path("runs"):
            with suppress(OSError):  # it holds other runs
                self.path.parent.rmdir()
        return False

    @property
    def made_something(self) -> bool:
        """Whether there is anything that would have to be computed again."""
        if not self.is_run(self.path):
            return False
        made = ("metrics.jsonl", "steps/*.json", "evaluation/*.jsonl", "checkpoints/*", "children/*/manifest.json")
        return self.status in ("paused", "finished") or any(next(self.path.glob(name), None) for name in made)

    @staticmethod
    def is_run(path: Path) -> bool:
        """Say whether a path is a run directory."""
        return (path / "manifest.json").is_file() and (path / "recipe.yaml").is_file()

    # ---------------------------------------------------------------- manifest and recipe

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest as it stands on disk."""
        manifest: dict[str, Any] = read_json(self.path / "manifest.json")
        return manifest

    def update(self, **values: Any) -> None:
        """Set top-level values of the manifest."""
        write_json(self.path / "manifest.json", self.manifest | values)

    @property
    def recipe(self) -> dict[str, Any]:
        """The resolved recipe."""
        return load_yaml(self.path / "recipe.yaml")

    @property
    def status(self) -> str:
        """One of running, paused, finished, failed."""
        return str(self.manifest["status"])

    # ---------------------------------------------------------------- working

    @contextmanager
    def working(self) -> Iterator[None]:
        """Hold the run for this process: two at once would tear its files. The system frees it if the process dies.

        Raises:
            RunError: if another process holds it.
        """
        import filelock

        lock = filelock.FileLock(self.path / ".lock", timeout=0)
        with suppress(NotImplementedError):  # a file system without locks
            try:
                lock.acquire()
            except filelock.Timeout:
                raise RunError(
                    f"Another process is at work on {self.path}. Wait until it has ended, or stop it; then go on with: "
                    f"luthier resume {self.path}."
                ) from None
        try:
            for folder in (self.path, self.path / "steps", self.path / "checkpoints", self.path / "evaluation"):
                remove_staged(folder)
            yield
        finally:
            lock.release()

    @property
    def stop_requested(self) -> bool:
        """Whether a person or a scheduler has asked to stop."""
        return bool(self.stop)

    def check_stop(self) -> None:
        """Raise `Paused` if a stop was asked for. Call it only where everything needed to go on is saved."""
        if self.stop:
            raise Paused

    @overload
    def once(self, name: str, compute: Callable[[], T]) -> T: ...
    @overload
    def once(self, name: str, compute: Callable[[], T], decode: Callable[[Any], T]) -> T: ...

    def once(self, name: str, compute: Callable[[], T], decode: Callable[[Any], T] | None = None) -> T:
        """Compute a slow step once; a resumed run reads it from `steps/NAME.json`.

        The value is JSON, or has `to_json()` and comes back through `decode`.
        """
        path = self.path / "steps" / f"{name}.json"
        if path.exists():
            stored = read_json(path)
            return decode(stored) if decode else stored
        value = compute()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, value.to_json() if hasattr(value, "to_json") else value)
        return value

    def log(self, reproducible: Mapping[str, Any], timing: Mapping[str, Any]) -> None:
        """Append one step to metrics.jsonl and timings.jsonl."""
        append_lines(self.path / "metrics.jsonl", [reproducible])
        append_lines(self.path / "timings.jsonl", [timing])

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl."""
        return list(read_lines(self.path / "metrics.jsonl"))

    def timings(self) -> list[dict[str, Any]]:
        """Return the lines of timings.jsonl."""
        return list(read_lines(self.path / "timings.jsonl"))

    def forget_after(self, step: int) -> None:
        """Drop logged steps later than `step`: a run resumed from a checkpoint makes them again."""
        for name in ("metrics.jsonl", "timings.jsonl"):
            path = self.path / name
            if path.exists():
                kept = [line for line in read_lines(path) if line["step"] <= step]
                write_atomically(path, "".join(map(json_line, kept)))

    def child(self, name: str, stage: str, config: Config) -> RunDirectory:
        """Return the child run of this name, made now or found again.

        Raises:
            RunError: if the child exists with another recipe.
        """
        path = self.path / "children" / name
        if self.is_run(path):
            child = RunDirectory(path, self.listener, self.stop)
            if child.manifest["config_digest"] != config.digest():
                raise RunError(f"{path} was made with another recipe; remove it, or start a new run.")
            return child
        shutil.rmtree(path, ignore_errors=True)  # what a crash left before it was a run
        child = RunDirectory.create(path, stage, config, listener=self.listener)
        child.stop = self.stop
        return child

    def children(self) -> list[RunDirectory]:
        """Return the child runs, by name."""
        folder = self.path / "children"
        found = sorted(folder.iterdir()) if folder.exists() else []
        return [RunDirectory(path, self.listener, self.stop) for path in found if self.is_run(path)]

    def named_run(self, spec: str) -> RunDirectory | None:
        """Return the run that a recipe of this one names, or None if it names no run.

        Candidates of a bake-off name each other: such a run is looked for beside this one first, since the whole may
        have been moved, and another may now be where it was.
        """
        places = [Path(spec)]
        if self.path.parent.name == "children" == places[0].parent.name:
            places.insert(0, self.path.parent / places[0].name)
        return next((RunDirectory(place, self.listener, self.stop) for place in places if self.is_run(place)), None)

    def finish(self, verdict: Any = None) -> None:
        """Mark the run as finished, with its verdict."""
        self.update(status="finished", finished_at=_now(), verdict=verdict)

    def pause(self) -> None:
        """Mark the run as paused: it goes on with `luthier resume`."""
        self.update(status="paused")

    def fail(self, reason: str) -> None:
        """Mark the run as failed."""
        self.update(status="failed", reason=reason)


def _next_free(parent: Path) -> Path:
    """Claim the next free number below `parent`; two processes never get the same one."""
    parent.mkdir(parents=True, exist_ok=True)
    taken = [int(p.name) for p in parent.iterdir() if p.name.isdigit()]
    number = max(taken, default=0) + 1
    while True:
        try:
            (parent / str(number)).mkdir()
            return parent / str(number)
        except FileExistsError:
            number += 1


def _new_manifest(stage: str, config: Config) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "stage": stage,
        "status": "running",
        "created_at": _now(),
        "config_digest": config.digest(),
        "folder": os.getcwd(),
        "command": sys.argv[1:] if sys.argv and Path(sys.argv[0]).name.startswith("luthier") else [],
        "environment": environment(),
    }


def environment() -> dict[str, Any]:
    """Describe the software and the machine, as far as core can without torch."""
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "packages": versions,
    }


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
