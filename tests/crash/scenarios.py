"""What is interrupted at every operation: savings, each with what must hold afterwards, wherever it was interrupted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from faulty_files import FAULTS, count, suffer

from luthier.core.run import RunDirectory
from luthier.core.sealed import problem_of
from luthier.models.source import find_model
from luthier.stages.material import DataConfig
from luthier.training.checkpoints import Checkpoints


@dataclass(frozen=True)
class Scenario:
    """One saving.

    Attributes:
        name: Its name.
        prepare: Makes what is there before, in an empty folder.
        act: What is interrupted.
        check: Raises an AssertionError if what is there afterwards is neither the old state nor the new one.
        final: Returns what must be the same when `act` is done again after an interruption: names and bytes.
    """

    name: str
    prepare: Callable[[Path], None]
    act: Callable[[Path], object]
    check: Callable[[Path], None]
    final: Callable[[Path], dict[str, bytes]]


# ---------------------------------------------------------------------------------------------------- checkpoints


class SmallEngine:
    """Holds two tensors."""

    def __init__(self, step: int) -> None:
        self.tensors = {"parameter/w": torch.full((40, 3), float(step)), "moment/w": torch.full((7,), step + 0.5)}

    def load_state_dict(self, state: Any) -> None:
        """Take what a checkpoint holds."""
        self.tensors = {name: tensor.clone() for name, tensor in state["tensors"].items() if name != "random/torch"}


class SmallState:
    """What `Checkpoints` needs of a training state; every tensor says which step it is of."""

    def __init__(self, step: int = 0) -> None:
        self.step = step
        self.engine = SmallEngine(step)

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and values."""
        tensors = self.engine.tensors | {"random/torch": torch.arange(16, dtype=torch.uint8)}
        return {"tensors": tensors, "values": {"step": self.step, "engine": {}}}

    def load_state_dict(self, state: Any) -> None:
        """Go on from a state."""
        self.step = state["values"]["step"]
        self.engine.load_state_dict(state)

    def is_of(self, step: int) -> bool:
        """Say whether all tensors are those of a step."""
        wanted = SmallEngine(step).tensors
        found = self.engine.tensors
        return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


def save(folder: Path, step: int, best: bool = False) -> None:
    """Save a small state."""
    Checkpoints(folder / "checkpoints").save(SmallState(step), best=best)  # type: ignore[arg-type]


def newest(folder: Path) -> int | None:
    """Return the step that a resume goes on from, after looking at every tensor; None if it begins anew."""
    state = SmallState()
    if not Checkpoints(folder / "checkpoints").resume_newest_that_verifies(state):  # type: ignore[arg-type]
        return None
    assert state.is_of(state.step), f"the checkpoint of step {state.step} holds something else"
    return state.step


def best(folder: Path) -> int | None:
    """Return the step of the best checkpoint, after looking at every tensor."""
    state = SmallState(999)
    step = Checkpoints(folder / "checkpoints").restore_best(state)  # type: ignore[arg-type]
    assert step is None or state.is_of(step)
    return step


def _saves(name: str, before: tuple[tuple[int, bool], ...], step: int, is_best: bool) -> Scenario:
    def prepare(folder: Path) -> None:
        for earlier, was_best in before:
            save(folder, earlier, was_best)

    def check(folder: Path) -> None:
        old = before[-1][0] if before else None
        assert newest(folder) in (old, step), "neither the old checkpoint nor the new one is there"
        bests = [earlier for earlier, was_best in before if was_best]
        assert best(folder) in (bests[-1] if bests else None, *([step] if is_best else []))

    return Scenario(name, prepare, lambda folder: save(folder, step, is_best), check, all_files)


def all_files(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# ----------------------------------------------------------------------------------------------------- runs


def _run(folder: Path) -> RunDirectory:
    return RunDirectory(folder / "run")


def make_run(folder: Path) -> None:
    """Make a run with a step done, a wave answered and two steps logged."""
    run = RunDirectory.create(folder / "run", "tune", DataConfig(path="rows.csv"))
    run.once("speed", lambda: 12.5)
    run.files.append("evaluation/confirm.jsonl", [{"example_id": f"r{n}", "text": "yes"} for n in range(4)])
    for step in (1, 2):
        run.log({"step": step, "loss": 1 / step}, {"step": step, "seconds": 0.1})
    run.record_logs()


def _check_run(folder: Path) -> None:
    """All that the run can be asked is answered, and is the old or the new."""
    run = RunDirectory.open(folder / "run")
    assert run.status in ("running", "finished")
    assert run.recipe["path"] == "rows.csv"
    assert run.step("speed") == 12.5
    assert run.step("scores") in (None, {"value": 0.5})
    answers = run.files.recorded_lines("evaluation/confirm.jsonl")
    assert answers == [{"example_id": f"r{n}", "text": "yes"} for n in range(len(answers))]
    assert len(answers) in (4, 8)
    logged = run.files.recorded_lines("metrics.jsonl")
    assert logged == [{"step": step, "loss": 1 / step} for step in range(1, len(logged) + 1)]


def _answer_on(folder: Path) -> None:
    """Store a second wave, unless it is there."""
    run = _run(folder)
    if len(run.files.recorded_lines("evaluation/confirm.jsonl")) < 8:
        run.files.append("evaluation/confirm.jsonl", [{"example_id": f"r{n}", "text": "yes"} for n in range(4, 8)])


def _of_run(folder: Path) -> dict[str, bytes]:
    """What is reproducible of the small run."""
    found = all_files(folder / "run")
    return {name: data for name, data in found.items() if name not in ("manifest.json", "checksums.jsonl")}


def _create(folder: Path) -> None:
    if not RunDirectory.is_run(folder / "run"):
        RunDirectory.create(folder / "run", "tune", DataConfig(path="rows.csv"))


def _check_created(folder: Path) -> None:
    """Either it is a run that can be read, or nothing stands in the way of making it."""
    _create(folder)
    assert RunDirectory.open(folder / "run").recipe["path"] == "rows.csv"


OF_FILES = [
    _saves("first checkpoint", (), 5, False),
    _saves("later checkpoint, the oldest goes", ((5, False), (10, False), (15, False)), 20, False),
    _saves("best checkpoint, the old best goes", ((5, True), (10, False), (15, False)), 20, True),
    Scenario("run made", lambda folder: None, _create, _check_created, _of_run),
    Scenario("step stored", make_run, lambda f: _run(f).once("scores", lambda: {"value": 0.5}), _check_run, _of_run),
    Scenario("wave of answers stored", make_run, _answer_on, _check_run, _of_run),
    Scenario("logs cut back", make_run, lambda folder: _run(folder).forget_after(1), _check_run, _of_run),
    Scenario("run finished", make_run, lambda folder: _run(folder).finish({"value": 0.5}), _check_run, _of_run),
]


# ----------------------------------------------------------------------------------------------------- weights


def saved_weights(name: str, attached: Any, base: Path) -> Scenario:
    """The saving of an adapter ("adapter") or of a whole model ("model")."""
    from luthier.stages.tune.shared_training import save_weights

    def prepare(folder: Path) -> None:
        RunDirectory.create(folder / "run", "tune", DataConfig(path="rows.csv"))

    def check(folder: Path) -> None:
        saved = folder / "run" / name
        if saved.exists():
            assert problem_of(saved) == ""
            source = find_model(str(folder / "run"))
            assert (source.adapter or source.folder) == saved

    def act(folder: Path) -> None:
        save_weights(attached, folder / "run" / name, _run(folder))

    return Scenario(f"{name} saved", prepare, act, check, lambda folder: all_files(folder / "run" / name))


def afresh(scenario: Scenario, folder: Path) -> Path:
    """Empty a folder and prepare it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    scenario.prepare(folder)
    return folder


# ------------------------------------------------------------------------------------------------------ enduring


def endure(scenario: Scenario, folder: Path) -> dict[str, int]:
    """Meet every fault at every operation; returns how many points there were of each, all of them passed.

    Raises:
        AssertionError: naming the first point that left neither the old state nor the new one.
    """
    afresh(scenario, folder / "whole")
    names = count(lambda: scenario.act(folder / "whole"))
    wanted = scenario.final(folder / "whole")
    shutil.rmtree(folder / "before", ignore_errors=True)
    afresh(scenario, folder / "before")
    passed = {}
    for fault in FAULTS:
        points = [k for k, name in enumerate(names, 1) if fault != "short" or name in ("write", "weights")]
        for k in points:
            shutil.rmtree(folder / "hit", ignore_errors=True)
            shutil.copytree(folder / "before", folder / "hit")
            try:
                _endure_one(scenario, folder, fault, k, wanted)
            except Exception as error:
                raise AssertionError(
                    f"{scenario.name}: {fault} at {k} of {len(names)} ({names[k - 1]}): {error}"
                ) from error
        passed[fault] = len(points)
    return passed


def _endure_one(scenario: Scenario, folder: Path, fault: Any, k: int, wanted: dict[str, bytes]) -> None:
    hit = folder / "hit"
    ended, text = suffer(fault, k, lambda: scenario.act(hit))
    assert ended == "killed" if fault == "kill" else ended in ("failed", "done"), ended
    assert text or ended != "failed", "an error without a word"
    scenario.check(hit)
    scenario.act(hit)
    scenario.check(hit)
    found = {name: data for name, data in scenario.final(hit).items() if not _left(name)}
    assert found == wanted, sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))


def _left(name: str) -> bool:
    """Files that a kill left half-written: nobody reads them, and the next process at work on the run removes them."""
    return any(part.startswith(".") and part.endswith(".part") for part in Path(name).parts)
