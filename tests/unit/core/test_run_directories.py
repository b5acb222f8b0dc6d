"""A run directory: made, found, gone on with; slow steps once; children; stages that pause, fail and finish."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from luthier.core import stages
from luthier.core.config import Config
from luthier.core.errors import ConfigError, DataError, RunError
from luthier.core.files import append_lines, read_json
from luthier.core.run import RunDirectory
from luthier.core.stopping import Paused, StopFlag, stop_on_signals


class Settings(Config):
    size: int = 1


def make(path: Path | None, size: int = 1, **options: Any) -> RunDirectory:
    return RunDirectory.create(path, "tune", Settings(size=size), **options)


def test_the_next_free_number_is_taken_and_never_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "7").mkdir(parents=True)
    (tmp_path / "runs" / "notes").mkdir()
    assert make(None).path == Path("runs/8")
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: make(None).path.name, range(8)))
    assert sorted(map(int, paths)) == list(range(9, 17))


def test_an_existing_run_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    with pytest.raises(RunError, match=r"already exists. Go on with it: luthier resume .*run. Replace it: --overwrite"):
        make(tmp_path / "run")
    (run.path / "left.txt").write_text("x")
    again = make(tmp_path / "run", size=2, overwrite=True)
    assert not (run.path / "left.txt").exists()
    assert again.recipe == {"size": 2}


def test_overwriting_spares_what_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("x")
    with pytest.raises(RunError, match="is not a run directory; --overwrite only replaces runs"):
        make(tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.tex").exists()


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match=r"Cannot write the run directory .* Choose another with --run DIR"):
        make(tmp_path / "file" / "run")


def test_what_is_no_run_or_of_a_newer_version_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run directory \(it has no manifest.json"):
        RunDirectory.open(tmp_path)
    run = make(tmp_path / "run")
    assert RunDirectory.open(run.path).status == "running"
    run.update(schema_version=99)
    with pytest.raises(RunError, match=r"made by a newer Luthier .*schema 99"):
        RunDirectory.open(run.path)


def test_the_manifest_says_what_ran_where(tmp_path: Path) -> None:
    manifest = make(tmp_path / "run").manifest
    assert manifest["stage"] == "tune"
    assert manifest["config_digest"] == Settings().digest()
    assert manifest["environment"]["packages"]["luthier"]
    assert manifest["environment"]["cores"] >= 1


def test_a_slow_step_is_computed_once(tmp_path: Path) -> None:
    run, calls = make(tmp_path / "run"), []

    class Value:
        def __init__(self, number: int) -> None:
            self.number = number

        def to_json(self) -> dict[str, int]:
            return {"number": self.number}

    def compute() -> Value:
        calls.append(1)
        return Value(5)

    for _ in range(2):
        value = RunDirectory.open(run.path).once("slow", compute, lambda stored: Value(stored["number"]))
        assert value.number == 5
    assert len(calls) == 1
    with pytest.raises(ZeroDivisionError):
        run.once("fails", lambda: 1 / 0)
    assert run.once("fails", lambda: 2.0) == 2.0  # a failed step is not remembered


def test_logged_steps_later_than_a_checkpoint_are_forgotten(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    for step in (1, 2, 3):
        run.log({"step": step, "loss": 1 / step}, {"step": step, "seconds": 0.1})
    run.record_logs()
    with open(run.path / "metrics.jsonl", "a") as file:
        file.write('{"step":4,"lo')  # torn by a crash
    run.forget_after(2)
    assert [line["step"] for line in run.metrics()] == [1, 2]
    assert [line["step"] for line in run.timings()] == [1, 2]
    run.log({"step": 3}, {"step": 3})
    assert [line["step"] for line in run.metrics()] == [1, 2, 3]


def test_a_child_is_found_again_and_refused_with_another_recipe(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    child = run.child("b", "tune", Settings(size=3))
    child.update(status="finished")
    run.child("a", "prompt", Settings())
    assert run.child("b", "tune", Settings(size=3)).status == "finished"
    assert [c.path.name for c in run.children()] == ["a", "b"]
    with pytest.raises(RunError, match="made with another recipe"):
        run.child("b", "tune", Settings(size=4))
    torn = run.path / "children" / "c"
    torn.mkdir()
    append_lines(torn / "metrics.jsonl", [{"step": 1}])
    assert run.child("c", "tune", Settings()).status == "running"  # killed before it was a run: made anew
    assert not (torn / "metrics.jsonl").exists()


def test_a_stop_reaches_the_children(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    child = run.child("a", "tune", Settings())
    run.check_stop()
    run.stop.set()
    assert child.stop_requested
    with pytest.raises(Paused):
        child.check_stop()


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("a_stage_of_this_test")
    module.Config = Settings  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(stages, "STAGES", {"tune": module.__name__})
    return module


def test_a_finished_stage_is_not_run_again(tmp_path: Path, stage: ModuleType) -> None:
    calls = []
    stage.run = lambda config, run: (calls.append(config.size), run.finish({"verdict": "better"}))  # type: ignore[attr-defined]
    run = make(tmp_path / "run", size=4)
    for _ in range(2):
        assert stages.run_stage("tune", stages.recipe_of(run), run).status == "finished"
    assert calls == [4]
    assert run.manifest["verdict"] == {"verdict": "better"}


def test_a_stopped_stage_is_paused_and_a_failing_one_failed(tmp_path: Path, stage: ModuleType) -> None:
    run = make(tmp_path / "run")

    def stopped(config: Settings, run: RunDirectory) -> None:
        run.stop.set()
        run.check_stop()

    stage.run = stopped  # type: ignore[attr-defined]
    with pytest.raises(Paused):
        stages.run_stage("tune", Settings(), run)
    assert run.status == "paused"

    def failing(config: Settings, run: RunDirectory) -> None:
        raise DataError("no rows")

    stage.run = failing  # type: ignore[attr-defined]
    with pytest.raises(DataError):
        stages.run_stage("tune", Settings(), run)
    assert (run.status, read_json(run.path / "manifest.json")["reason"]) == ("failed", "DataError: no rows")
    with pytest.raises(ConfigError, match=r"Unknown stage 'tun'.*Did you mean 'tune'"):
        stages.run_stage("tun", Settings(), run)


def test_the_first_signal_asks_and_the_second_insists() -> None:
    import signal

    before = signal.getsignal(signal.SIGTERM)
    flag = StopFlag()
    with stop_on_signals(flag):
        signal.raise_signal(signal.SIGTERM)
        assert flag
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before
