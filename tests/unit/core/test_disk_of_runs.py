"""What runs take on disk: sizes, weights of losers forgotten, runs deleted only where nothing is lost by it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import Field

from luthier.core.config import Config
from luthier.core.disk import (
    check_deletable,
    delete_run,
    disk_use,
    forget_losers,
    is_at_work,
    needs,
    runs_in,
    weights_use,
)
from luthier.core.errors import RunError
from luthier.core.run import RunDirectory


class Recipe(Config):
    model: str = "a-model"
    answerer: str = "nobody"
    adapter: dict[str, str] = Field(default_factory=lambda: {"method": "lora"})


def make(path: Path, stage: str = "tune", **recipe: str) -> RunDirectory:
    return RunDirectory.create(path, stage, Recipe(**recipe))


def write(path: Path, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * count)


@pytest.fixture
def bake_off(tmp_path: Path) -> RunDirectory:
    """Three children with weights of 1000, 200 and 30 bytes, and other files."""
    run = make(tmp_path / "runs" / "1", "adapt")
    for name, count in (("full", 1000), ("lora", 200), ("prompt", 30)):
        child = run.child(name, "tune", Recipe())
        write(child.path / {"full": "model", "lora": "adapter", "prompt": "checkpoints"}[name] / "w.safetensors", count)
        write(child.path / "steps" / "scores_choose.json", 7)
    return run


# --------------------------------------------------------------------------------------------------------------- sizes


def test_disk_use_counts_the_bytes_of_all_files_and_follows_no_link(tmp_path: Path) -> None:
    write(tmp_path / "big", 10_000)
    write(tmp_path / "run" / "a", 3)
    write(tmp_path / "run" / "deep" / "er" / ".b", 40)
    assert disk_use(tmp_path / "run") == 43
    (tmp_path / "run" / "link").symlink_to(tmp_path / "big")
    (tmp_path / "run" / "folder").symlink_to(tmp_path)
    assert disk_use(tmp_path / "run") < 1_000
    assert disk_use(tmp_path / "nothing") == 0


def test_weights_of_children_and_merged_models_count_and_nothing_else_does(bake_off: RunDirectory) -> None:
    assert weights_use(bake_off) == 1230
    write(bake_off.path / "children" / "lora" / "merged" / "model.safetensors", 5000)
    write(bake_off.path / "evaluation" / "confirm.jsonl", 9)
    assert weights_use(bake_off) == 6230


def test_runs_are_found_by_number_and_then_by_name(tmp_path: Path) -> None:
    for name in ("10", "9", "tickets", "1"):
        make(tmp_path / name)
    (tmp_path / "notes").mkdir()
    shutil.copytree(tmp_path / "1", tmp_path / ".2.replaced")
    assert [run.path.name for run in runs_in(tmp_path)] == ["1", "9", "10", "tickets"]
    assert runs_in(tmp_path / "nothing") == []


def test_a_run_is_at_work_while_a_process_holds_it_and_not_after_a_kill(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    assert not is_at_work(run)
    code = (
        "import sys, time; from pathlib import Path; from luthier.core.run import RunDirectory\n"
        "with RunDirectory(Path(sys.argv[1])).working():\n    print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(run.path)], stdout=subprocess.PIPE, env=os.environ)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    assert is_at_work(run)
    process.kill()
    process.wait()
    process.stdout.close()
    assert not is_at_work(run)
    assert run.status == "running"


# -------------------------------------------------------------------------------------------------------------- losers


def weights_left(run: RunDirectory) -> set[str]:
    names = ("full/model", "lora/adapter", "prompt/checkpoints")
    return {name for name in names if (run.path / "children" / name).exists()}


def test_losers_lose_their_weights_and_keep_all_else(bake_off: RunDirectory) -> None:
    assert forget_losers(bake_off, {"lora"}) == 1030
    assert weights_left(bake_off) == {"lora/adapter"}
    children = {child.path.name: child for child in bake_off.children()}
    assert all((child.path / "steps" / "scores_choose.json").exists() for child in children.values())
    forgotten = {name: child.manifest.get("forgotten_bytes") for name, child in children.items()}
    assert forgotten == {"full": 1000, "lora": None, "prompt": 30}
    assert forget_losers(bake_off, {"lora"}) == 0  # a resumed bake-off does it again
    assert children["full"].manifest["forgotten_bytes"] == 1000


def test_what_a_winner_was_built_on_stays(bake_off: RunDirectory) -> None:
    """prompt <- second <- third: the model of a model is needed as well."""
    bake_off.child("second", "tune", Recipe(model=str(bake_off.path / "children" / "prompt")))
    bake_off.child("third", "tune", Recipe(model=str(bake_off.path / "children" / "second" / "adapter")))
    assert forget_losers(bake_off, {"third"}) == 1200
    assert weights_left(bake_off) == {"prompt/checkpoints"}


def test_a_merged_model_and_a_child_at_work_stay(bake_off: RunDirectory) -> None:
    children = {child.path.name: child for child in bake_off.children()}
    write(children["lora"].path / "merged" / "model.safetensors", 5)
    with children["full"].working():
        assert forget_losers(bake_off, {"prompt"}) == 200
    assert (children["lora"].path / "merged").exists()
    assert weights_left(bake_off) == {"full/model", "prompt/checkpoints"}


def test_a_winner_that_is_not_there_costs_nothing(bake_off: RunDirectory) -> None:
    with pytest.raises(RunError, match=r"Unknown child run 'lor'. Known: full, lora, prompt. Did you mean 'lora'\?"):
        forget_losers(bake_off, {"lor"})
    assert len(weights_left(bake_off)) == 3


# ------------------------------------------------------------------------------------------------------------ deletion


def test_a_run_is_deleted_whole(bake_off: RunDirectory) -> None:
    expected = disk_use(bake_off.path)
    check_deletable([bake_off.path], runs_in(bake_off.path.parent))
    assert delete_run(bake_off.path) == expected > 1230
    assert list(bake_off.path.parent.iterdir()) == []


def test_what_is_no_run_is_not_deleted(bake_off: RunDirectory, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "link").symlink_to(bake_off.path)
    paths = (tmp_path / "thesis", tmp_path / "gone", tmp_path / "link", bake_off.path / "children" / "lora")
    with pytest.raises(RunError) as caught:
        check_deletable([*paths, bake_off.path], [])
    lines = str(caught.value).splitlines()
    assert len(lines) == 4  # the last path may go
    assert lines[0].startswith("Nothing was deleted. ")
    assert "thesis is not a run directory (it has no manifest.json and recipe.yaml)." in lines[0]
    assert lines[1].startswith("There is no run ")
    assert "link is a link: name the run that it points to." in lines[2]
    assert "lora is a part of the run 1: delete that one as a whole." in lines[3]


def test_a_run_at_work_is_not_deleted_nor_one_with_a_child_at_work(bake_off: RunDirectory) -> None:
    for held in (bake_off, bake_off.children()[0]):
        with held.working(), pytest.raises(RunError, match=r"A process is at work on .*1: wait until it has ended"):
            check_deletable([bake_off.path], [])
    check_deletable([bake_off.path], [])


def test_runs_inside_a_run_stop_its_deletion(bake_off: RunDirectory) -> None:
    make(bake_off.path / "mine" / "2")
    with pytest.raises(RunError, match=r"holds runs that are no part of it \(mine/2\): move them elsewhere first"):
        check_deletable([bake_off.path], [])


@pytest.mark.parametrize(
    "named",
    [
        lambda run: str(run),
        lambda run: str(run / "adapter"),
        lambda run: str(run / "children" / "lora" / "model"),
        lambda run: f"runs/{run.name}",
    ],
)
def test_a_model_of_another_run_is_not_deleted(
    bake_off: RunDirectory, named: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    user = make(tmp_path / "runs" / "2", model=named(bake_off.path))
    user.finish()
    monkeypatch.chdir(tmp_path / "runs")  # where the command is called does not matter
    with pytest.raises(RunError, match=r"1 is the model of .*runs/2: delete what needs it too, or keep it"):
        check_deletable([bake_off.path], [user])
    check_deletable([bake_off.path, user.path], [user])
    check_deletable([user.path], [bake_off, user])


def test_a_child_may_be_what_needs_a_run(bake_off: RunDirectory, tmp_path: Path) -> None:
    base = make(tmp_path / "runs" / "0")
    bake_off.child("tuned", "tune", Recipe(model=str(base.path)))
    with pytest.raises(RunError, match=r"0 is the model of .*runs/1"):
        check_deletable([base.path], [bake_off])


def test_only_an_unfinished_run_needs_what_it_answers_with(tmp_path: Path) -> None:
    run = make(tmp_path / "1")
    asking = make(tmp_path / "2", "evaluate", answerer=str(run.path))
    assert run.path in needs(asking)
    with pytest.raises(RunError, match="is the model of"):
        check_deletable([run.path], [asking])
    asking.finish()
    check_deletable([run.path], [asking])


def test_other_texts_of_a_recipe_are_no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run called "lora" is not what `adapter: {method: lora}` means."""
    monkeypatch.chdir(tmp_path)
    run, other = make(tmp_path / "lora"), make(tmp_path / "other")
    check_deletable([run.path], [other])


def test_a_broken_run_can_be_deleted_and_stops_no_other(tmp_path: Path) -> None:
    whole, broken = make(tmp_path / "1"), make(tmp_path / "2")
    (broken.path / "manifest.json").write_text("{")
    check_deletable([whole.path], [broken])
    check_deletable([broken.path], [whole])
