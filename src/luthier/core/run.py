"""A run directory is the whole truth about a run: what was asked, what happened, what came out.

recipe.yaml      what was asked, defaults filled in
manifest.json    versions, seeds, digests, hardware, status
checksums.jsonl  size and SHA-256 of all that is read again, a line a write
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

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar, overload

from luthier.core import replacing
from luthier.core.config import Config, load_yaml
from luthier.core.environment import environment
from luthier.core.errors import RunError
from luthier.core.files import append_lines, remove_staged
from luthier.core.listener import Listener, SilentListener
from luthier.core.record import RECORD, RunFiles
from luthier.core.stopping import Paused, StopFlag

T = TypeVar("T")
SCHEMA_VERSION = 1
_LOGS = ("metrics.jsonl", "timings.jsonl")


class RunDirectory:
    """A run on disk. Make one with `create`, find one again with `open`."""

    def __init__(self, path: Path, listener: Listener | None = None, stop: StopFlag | None = None) -> None:
        self.path = path
        self.files = RunFiles(path)
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
                replacing.make_room(cls(path), overwrite)
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
            self.files.begin()
            self.save_recipe(config)
            self.files.write_json("manifest.json", _new_manifest(stage, config))
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

    def settle(self) -> bool:
        """Let a run that made something replace the one put aside for it; one that made nothing goes without trace.

        Returns:
            Whether the run stays.
        """
        return replacing.settle(self)

    @property
    def made_something(self) -> bool:
        """Whether there is anything that would have to be computed again."""
        return replacing.made_something(self)

    @staticmethod
    def is_run(path: Path) -> bool:
        """Say whether a path is a run directory."""
        return (path / "manifest.json").is_file() and (path / "recipe.yaml").is_file()

    # ---------------------------------------------------------------- manifest and recipe

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest as it stands on disk.

        Raises:
            RunError: if it is not what the run wrote.
        """
        manifest: dict[str, Any] = self.files.read_json("manifest.json")
        return manifest

    def update(self, **values: Any) -> None:
        """Set top-level values of the manifest."""
        self.files.write_json("manifest.json", self.manifest | values)

    @property
    def recipe(self) -> dict[str, Any]:
        """The resolved recipe.

        Raises:
            RunError: if it was changed since the run began.
        """
        self.files.read("recipe.yaml")
        return load_yaml(self.path / "recipe.yaml")

    def save_recipe(self, config: Config) -> None:
        """Write the recipe: the one the run begins with, or the same with more of its defaults filled in."""
        self.files.write("recipe.yaml", config.to_yaml())

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
            for folder in ("", "steps", "checkpoints", "evaluation"):
                remove_staged(self.path / folder)
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

        Raises:
            RunError: if the stored result is not what the run wrote.
        """
        file = f"steps/{name}.json"
        if (self.path / file).exists():
            stored = self.files.read_json(file)
            return decode(stored) if decode else stored
        value = compute()
        self.files.write_json(file, value.to_json() if hasattr(value, "to_json") else value)
        return value

    def step(self, name: str) -> Any:
        """Return the stored result of a step; None if there is none.

        Raises:
            RunError: if it is not what the run wrote.
        """
        file = f"steps/{name}.json"
        return self.files.read_json(file) if (self.path / file).exists() else None

    def log(self, reproducible: Mapping[str, Any], timing: Mapping[str, Any]) -> None:
        """Append one step to metrics.jsonl and timings.jsonl; `record_logs` makes them part of the record."""
        append_lines(self.path / "metrics.jsonl", [reproducible])
        append_lines(self.path / "timings.jsonl", [timing])

    def record_logs(self) -> None:
        """Record what was logged so far. Call it before each checkpoint: then no resumed run needs more than that."""
        for name in _LOGS:
            self.files.record_lines(name)

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl."""
        return self.files.lines("metrics.jsonl")

    def timings(self) -> list[dict[str, Any]]:
        """Return the lines of timings.jsonl."""
        return self.files.lines("timings.jsonl")

    def forget_after(self, step: int) -> None:
        """Drop logged steps later than `step`: a run resumed from a checkpoint makes them again."""
        for name in _LOGS:
            if step:
                self.files.require(name)
            if (self.path / name).exists():
                kept = [line for line in self.files.recorded_lines(name) if line["step"] <= step]
                self.files.write_lines(name, kept)

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

    def tidy(self) -> None:
        """Remove what a kill just after the end left of a finished run: training states, files half-written."""
        shutil.rmtree(self.path / "checkpoints", ignore_errors=True)
        for folder in ("", "steps", "evaluation"):
            remove_staged(self.path / folder)

    def pause(self) -> None:
        """Mark the run as paused: it goes on with `luthier resume`."""
        self.update(status="paused")

    def fail(self, reason: str) -> None:
        """Mark the run as failed."""
        with suppress(OSError):  # a full disk is told of by the error that it is
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
        "record": RECORD,
        "folder": os.getcwd(),
        "command": sys.argv[1:] if sys.argv and Path(sys.argv[0]).name.startswith("luthier") else [],
        "environment": environment(),
    }


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
