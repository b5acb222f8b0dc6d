"""What has its name is on the disk: a kill loses nothing that was written, a power cut loses what was not synced.

So `test_every_operation`, which kills, cannot see a missing fsync. Here every rename and every sync is watched instead:
content must be synced before it gets its name, and the name before the saving ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from scenarios import OF_FILES, Scenario, afresh, saved_weights

from luthier.adapters.full import Full
from luthier.adapters.lora import Lora, LoraConfig
from luthier.core import files

pytestmark = pytest.mark.skipif(os.name == "nt", reason="folders cannot be synced")

_Seen = tuple[int, int]


class Watch:
    """Knows what is on the disk: files and folders as they were when they were last synced."""

    def __init__(self) -> None:
        self.synced: dict[int, _Seen] = {}
        self.written: set[Path] = set()
        self.named: set[Path] = set()
        self.lost: list[str] = []
        """What a power cut could take, in sentences."""

    def opened(self, path: Any, mode: str = "r", *more: Any, **options: Any) -> Any:
        """Open a file, and remember it if it may be written to."""
        if mode[0] in "wa":
            self.written.add(Path(path))
            self.named |= set() if Path(path).exists() else {Path(path)}
        return open(path, mode, *more, **options)

    def sync(self, original: Callable[..., None], handle: int) -> None:
        """Sync, and remember what."""
        original(handle)
        found = os.fstat(handle)
        self.synced[found.st_ino] = _seen(found)
        self.named = {path for path in self.named if not path.exists() or path.parent.stat().st_ino != found.st_ino}

    def rename(self, original: Callable[..., None], source: Any, target: Any) -> None:
        """Rename, after a look at what gets the name."""
        source, target = Path(source), Path(target)
        self.named.discard(source)
        if not target.name.endswith(".part"):  # given a hidden name to be deleted
            for path in [*source.rglob("*")] if source.is_dir() else [source]:
                if path.is_file() and not self.has(path):
                    name = target.name if path == source else path.name
                    self.lost.append(f"{name} was renamed before it was on the disk")
            for folder in [source, *(path for path in source.rglob("*") if path.is_dir())] if source.is_dir() else ():
                if not self.has(folder):
                    self.lost.append(f"the names in {target.name} were not on the disk when it got its own")
            self.named.add(target)
        original(source, target)

    def has(self, path: Path) -> bool:
        """Say whether a file or folder is on the disk as it is now."""
        return self.synced.get(path.stat().st_ino) == _seen(path.stat())

    def end(self) -> None:
        """Look at what was written and named, after the saving."""
        for path in sorted(self.written):
            if path.exists() and not self.has(path):
                self.lost.append(f"{path.name} was not on the disk at the end")
        for path in sorted(self.named):
            self.lost.append(f"the name of {path.name} was not on the disk at the end")


def _seen(stat: os.stat_result) -> _Seen:
    return stat.st_mtime_ns, stat.st_size


@contextmanager
def watched() -> Iterator[Watch]:
    """Watch this process's files."""
    watch, sync, rename = Watch(), files.os.fsync, os.replace
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "open", watch.opened, raising=False)
        patch.setattr(os, "fsync", lambda handle: watch.sync(sync, handle))
        patch.setattr(os, "replace", lambda source, target: watch.rename(rename, source, target))
        yield watch
    watch.end()


@pytest.mark.parametrize("scenario", OF_FILES, ids=lambda scenario: scenario.name)
def test_what_has_its_name_is_on_the_disk(scenario: Scenario, tmp_path: Path) -> None:
    afresh(scenario, tmp_path / "saved")
    with watched() as watch:
        scenario.act(tmp_path / "saved")
    assert watch.lost == []
    assert watch.synced


def test_a_file_that_begins_to_grow_has_its_name_on_the_disk(tmp_path: Path) -> None:
    with watched() as watch:
        files.append_lines(tmp_path / "lines.jsonl", [1])
    assert watch.lost == []


@pytest.mark.parametrize("name", ["adapter", "model"])
def test_saved_weights_are_on_the_disk(name: str, tiny: Callable[..., Any], tmp_path: Path) -> None:
    """The libraries of the formats do not sync; the staged folder does, and nothing else would."""
    method: Any = Lora(LoraConfig(rank=2)) if name == "adapter" else Full()
    loaded = tiny()
    scenario = saved_weights(name, method.attach(loaded), Path(loaded.facts.folder or ""))
    afresh(scenario, tmp_path / "saved")
    with watched() as watch:
        scenario.act(tmp_path / "saved")
    assert watch.lost == []
