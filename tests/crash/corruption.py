"""Files that are damaged as they are in life, and what each consumer says: nothing damaged may be taken for whole."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scenarios import SmallState, newest, save

from luthier.core.errors import LuthierError
from luthier.core.run import RunDirectory
from luthier.evaluation.answering import stored_answers
from luthier.models.load import load_model
from luthier.models.source import find_model
from luthier.stages.material import DataConfig
from luthier.training.checkpoints import Checkpoints

Kind = Literal["bit flip", "truncation", "swapped files", "LFS pointer", "HTML page", "emptied", "missing"]
KINDS: tuple[Kind, ...] = ("bit flip", "truncation", "swapped files", "LFS pointer", "HTML page", "emptied", "missing")
_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n"
_PAGE = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>Not Found</body></html>\n"


def damage(file: Path, kind: Kind, other: bytes, draw: random.Random) -> None:
    """Damage a file.

    Args:
        file: The file.
        kind: How.
        other: For "swapped files": the content of another file, which takes this one's place.
        draw: Chooses the bit and the length.
    """
    content = bytearray(file.read_bytes())
    if kind == "missing":
        file.unlink()
        return
    if kind == "bit flip":
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    elif kind == "truncation":
        del content[draw.randrange(len(content)) :]
    else:
        pointer = _POINTER % (b"%064x" % draw.getrandbits(256), len(content))
        content = bytearray({"swapped files": other, "LFS pointer": pointer, "HTML page": _PAGE, "emptied": b""}[kind])
    file.write_bytes(content)


@dataclass(frozen=True)
class Target:
    """A file and who reads it.

    Attributes:
        name: Of the file, seen from the folder that everything lies in.
        read: Reads it as the program does, below that folder; returns what could be read, None if there is nothing.
            Raises a LuthierError for what is refused.
    """

    name: str
    read: Callable[[Path], Any]


@dataclass(frozen=True)
class Outcome:
    """What became of a damaged file.

    Attributes:
        outcome: "refused" by name, "not named", "made again" (it was not there), "loaded", or "broke" (an error that is
            not for people).
        text: What was said.
    """

    outcome: str
    text: str = ""


def outcome_of(target: Target, folder: Path, kind: Kind, other: bytes, draw: random.Random) -> Outcome:
    """Damage a file, let it be read, and put it back."""
    file = folder / target.name
    kept, stat = file.read_bytes(), file.stat()
    damage(file, kind, other, draw)
    try:
        found = target.read(folder)
    except LuthierError as error:
        return Outcome("refused" if file.name in str(error) else "not named", str(error))
    except Exception as error:
        return Outcome("broke", f"{type(error).__name__}: {error}")
    finally:
        file.write_bytes(kept)
        file.chmod(stat.st_mode)
    return Outcome("made again" if found is None and kind == "missing" else "loaded", f"{target.name}: {kind}")


# ------------------------------------------------------------------------------------------------------- consumers


def targets(folder: Path) -> list[Target]:
    """Return every file below a folder made by `gather` that somebody reads."""
    found = [*_of_checkpoints(folder), *_of_weights(folder, "run", "adapter"), *_of_weights(folder, "full", "model")]
    return [*found, *_of_a_run(folder, "run"), Target("spent/spent.json", _spent)]


def gather(folder: Path, lora: Path, full: Path) -> Path:
    """Put together what is damaged: a finished run of LoRA, one of full tuning, checkpoints, a run with a stopwatch."""
    for name, run in (("run", lora), ("full", full)):
        shutil.copytree(run, folder / name, ignore=shutil.ignore_patterns(".lock", "tensorboard"))
    for step in (5, 10):
        save(folder, step, best=step == 5)
    spent = RunDirectory.create(folder / "spent", "adapt", DataConfig(path="rows.csv"))
    spent.files.write_json("spent.json", {"seconds": 12.5})
    return folder


def _of_checkpoints(folder: Path) -> list[Target]:
    newest_one = [f"checkpoints/step-00000010/{name}" for name in ("tensors.safetensors", "values.json")]
    names = [*newest_one, "checkpoints/step-00000010/checkpoint.json"]
    return [*(Target(name, _resume) for name in names), Target("checkpoints/best.json", _restore_best)]


def _resume(folder: Path) -> int | None:
    """Resume; a checkpoint that is skipped must be named, with the file that is wrong in it."""
    said: list[str] = []
    state = SmallState()
    Checkpoints(folder / "checkpoints").resume_newest_that_verifies(state, said.append)  # type: ignore[arg-type]
    if state.step == 5 and said:
        raise LuthierError(said[0])
    return newest(folder)


def _restore_best(folder: Path) -> int | None:
    return Checkpoints(folder / "checkpoints").restore_best(SmallState(10))  # type: ignore[arg-type]


def _of_weights(folder: Path, run: str, name: str) -> list[Target]:
    def read(place: Path) -> Any:
        source = find_model(str(place / run))
        return load_model(source, precision="fp32", check=False) if source.adapter is None else source

    files = sorted(path for path in (folder / run / name).iterdir() if path.is_file())
    return [Target(str(path.relative_to(folder)), read) for path in files]


def _of_a_run(folder: Path, name: str) -> list[Target]:
    def run(place: Path) -> RunDirectory:
        return RunDirectory.open(place / name)

    found = [
        Target(f"{name}/manifest.json", lambda place: run(place).status),
        Target(f"{name}/recipe.yaml", lambda place: run(place).recipe),
        Target(f"{name}/checksums.jsonl", lambda place: run(place).manifest),
        Target(f"{name}/metrics.jsonl", lambda place: run(place).metrics() or None),
        Target(f"{name}/timings.jsonl", lambda place: run(place).timings() or None),
        Target(f"{name}/parts.jsonl", lambda place: run(place).files.lines("parts.jsonl") or None),
    ]
    for path in sorted((folder / name / "steps").glob("*.json")):
        found.append(Target(f"{name}/steps/{path.name}", lambda place, step=path.stem: run(place).step(step)))
    for path in sorted((folder / name / "evaluation").glob("*.jsonl")):
        if path.stem != "timings":
            found.append(Target(f"{name}/evaluation/{path.name}", lambda p, e=path.stem: _answers(run(p), e)))
    return found


def _answers(run: RunDirectory, evaluation: str) -> Any:
    if not (run.path / "evaluation" / f"{evaluation}.jsonl").exists():
        return None
    return stored_answers(run, evaluation)


def _spent(folder: Path) -> Any:
    from luthier.core.budget import Stopwatch

    if not (folder / "spent" / "spent.json").exists():
        return None
    return Stopwatch(RunDirectory.open(folder / "spent").files).seconds()


# --------------------------------------------------------------------------------------------------------- drawing


@dataclass(frozen=True)
class Corruption:
    """One corruption that was tried."""

    target: str
    kind: Kind
    outcome: Outcome


def corruptions(folder: Path, count: int, seed: int) -> list[Corruption]:
    """Try a number of corruptions: files and kinds in turn, so that none is left out, places drawn."""
    draw = random.Random(seed)
    all_targets = targets(folder)
    contents = {target.name: (folder / target.name).read_bytes() for target in all_targets}
    pairs = [(target, kind) for kind in KINDS for target in all_targets]
    draw.shuffle(pairs)
    tried = []
    for number in range(count):
        target, kind = pairs[number % len(pairs)]
        own = contents[target.name]
        alike = [n for n, data in contents.items() if Path(n).suffix == Path(target.name).suffix and data != own]
        other = contents[draw.choice(alike or [n for n, data in contents.items() if data != own])]
        outcome = outcome_of(target, folder, kind, other, draw)
        if kind == "missing" and target.name.endswith(("manifest.json", "recipe.yaml")):
            outcome = _no_run(outcome)
        tried.append(Corruption(target.name, kind, outcome))
    return tried


def _no_run(outcome: Outcome) -> Outcome:
    """Without its manifest or recipe a folder is no run, which is said with the names of both."""
    with suppress(ValueError):
        outcome.text.index("is not a run directory (it has no manifest.json and recipe.yaml)")
        return Outcome("refused", outcome.text)
    return outcome
