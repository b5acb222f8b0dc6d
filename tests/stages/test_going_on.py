"""luthier adapt RUN --budget 30m: what the earlier run has finished is taken over, what was seen of it is said."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import done, label_rows, manifest, refused, runs_in, status, write_rows

from luthier.api import start
from luthier.core.files import read_json
from luthier.core.run import RunDirectory
from luthier.core.stages import config_class, recipe_of
from luthier.evaluation.answerers import Prompted
from luthier.evaluation.retention import Forgetting
from luthier.stages.adapt import choosing

Limit = Callable[..., None]
SECOND_LOOK = (
    "The rows to confirm were already looked at in run, whose verdict could be seen: this is the second look at them."
)


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Limit:
    """Plan nothing but some candidates; `retention` says whether forgetting is looked at."""
    from luthier.stages import adapt

    make_plan = adapt.make_plan

    def limit(*names: str, retention: bool = False) -> None:
        def planned(*arguments: Any) -> Any:
            plan = make_plan(*arguments)
            kept = tuple(candidate for candidate in plan.candidates if candidate.name in names)
            assert len(kept) == len(names)
            return replace(plan, candidates=kept, retention=retention)

        monkeypatch.setattr(adapt, "make_plan", planned)

    return limit


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows models are asked, call by call."""
    counts: list[int] = []
    answer = Prompted.answer

    def counted(self: Prompted, examples: Any, *more: Any) -> Any:
        counts.append(len(examples))
        return answer(self, examples, *more)

    monkeypatch.setattr(Prompted, "answer", counted)
    return counts


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return each file's time and bytes; locks are no content."""
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes())
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


def test_what_is_finished_is_taken_over_as_it_is(
    files: Path, model: Path, place: Path, only: Limit, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TF-IDF wins: the model as it is is not asked again, LoRA is trained again, since its weights are gone."""
    from luthier.stages.adapt.candidates import Candidates

    lora = Candidates.lora
    monkeypatch.setattr(Candidates, "lora", lambda self, epochs, name="lora": lora(self, 0.5, name))
    only("most_frequent", "tfidf", "as_is", "lora")
    done("adapt", files / "labels.csv", "-m", model, "--budget", "1h", "--run", "run", "--target", "0.5")
    first = state(place / "run")
    assert manifest(place / "run" / "children" / "lora")["forgotten_bytes"] > 0
    asked.clear()
    only("most_frequent", "tfidf", "as_is", "told_format", "lora")
    monkeypatch.setattr("luthier.stages.adapt.earlier.calibrate", lambda *_: pytest.fail("measured again"))
    called = done("adapt", "run", "--budget", "2h", "--json")
    run = place / "runs" / "1"
    assert state(place / "run") == first  # the earlier run is only read

    taken = ["most_frequent", "tfidf", "as_is"]
    for name in taken:
        copy, original = state(run / "children" / name), state(place / "run" / "children" / name)
        assert copy.keys() == original.keys()
        assert [file for file in copy if copy[file] != original[file]] == ["checksums.jsonl", "manifest.json"]
        found, before = (manifest(folder / "children" / name) for folder in (run, place / "run"))
        assert found == before | {"taken_from": f"run/children/{name}"}
    assert "as it is: taken over from run" in called.said
    assert all("taken_from" not in manifest(run / "children" / name) for name in ("told_format", "lora"))
    assert (run / "children" / "lora" / "metrics.jsonl").exists()
    # 15 rows to choose for each of the two that are new; on confirm TF-IDF was proved before, and so was the prompted
    # rival if it is the same again; the tuned one was trained again, and is asked again.
    assert [count for count in asked if count > 1] == [15] * (3 if _rivals(run) == _rivals(place / "run") else 4)
    name = "steps/scores_confirm_tfidf.json"
    assert read_json(run / name) == read_json(place / "run" / name)
    plans = [read_json(folder / "steps" / "plan.json") for folder in (run, place / "run")]
    assert plans[0]["calibration"] == plans[1]["calibration"]
    assert manifest(run)["data"] == manifest(place / "run")["data"]  # the same file, divided alike
    recipe, before = RunDirectory(run).recipe, RunDirectory(place / "run").recipe
    assert recipe == before | {"budget_seconds": 7200.0, "continues": "run"}

    assert SECOND_LOOK in called.said
    assert called.json["verdict"]["earlier_looks"] == 1
    third = done("adapt", "runs/1", "--budget", "3h", "--plan")
    assert "already looked at in runs/1, whose verdict could be seen: this is the third look at them." in third.said
    assert runs_in(place / "runs") == ["1"]


def test_a_tuned_model_is_taken_over_under_another_name_with_all_that_rests_on_it(
    files: Path, model: Path, place: Path, only: Limit, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One epoch was "lora" and is "lora_fewer" beside three; the same adapter held to the labels is not asked again."""
    from luthier.core.types import Answer
    from luthier.evaluation import model_free
    from luthier.stages.adapt.candidates import Candidates

    for rival in (model_free.MostFrequent, model_free.Tfidf):
        monkeypatch.setattr(rival, "answer", lambda self, examples, *_: (Answer(e.id, "?", "stop") for e in examples))
    lora = Candidates.lora
    monkeypatch.setattr(Candidates, "lora", lambda self, epochs, name="lora": lora(self, 1.0, name))
    only("tfidf", "lora", "tuned_held", retention=True)
    data = {"path": str(files / "labels.csv")}
    recipe = {"data": data, "model": str(model), "budget_seconds": "1h", "precision": "fp32", "keep": "all"}
    start("adapt", config_class("adapt").parse(recipe, "adapt"), run="run")
    chosen = manifest(place / "run")["chosen"]
    assert chosen == "children/tuned_held"
    assert (place / "run" / "steps" / "forgetting.json").exists()

    def fewer_and_more(self: Candidates, epochs: float, name: str = "lora") -> Any:
        return lora(self, 1.0 if name == "lora_fewer" else 2.0, name)

    monkeypatch.setattr(Candidates, "lora", fewer_and_more)
    # Two epochs have the same right answers, none: of equals the first counts, which is that of one epoch.
    monkeypatch.setattr("luthier.stages.adapt.best_tuned", _first_tuned)
    monkeypatch.setattr(choosing, "best_tuned", _first_tuned)
    only("tfidf", "lora_fewer", "lora", "tuned_held", retention=True)
    asked.clear()
    done("adapt", "run", "--budget", "2h")
    run = place / "runs" / "1"
    assert manifest(run)["chosen"] == "children/tuned_held"
    fewer, held = run / "children" / "lora_fewer", run / "children" / "tuned_held"
    assert manifest(fewer)["taken_from"] == "run/children/lora"
    assert (fewer / "adapter" / "adapter_model.safetensors").read_bytes() == (
        place / "run" / "children" / "lora" / "adapter" / "adapter_model.safetensors"
    ).read_bytes()
    assert manifest(held)["taken_from"] == "run/children/tuned_held"
    assert RunDirectory(held).recipe["model"] == manifest(held)["answering"]["model"] == "children/lora_fewer"
    assert manifest(held)["config_digest"] == recipe_of(RunDirectory(held)).digest()
    assert "taken_from" not in manifest(run / "children" / "lora")
    # Two epochs of LoRA answer 15 rows to choose, and three alone. What confirms and what was forgotten is known.
    assert [count for count in asked if count > 1] == [15]
    for name in ("scores_confirm_tuned_held", "scores_confirm_tfidf", "forgetting"):
        assert read_json(run / "steps" / f"{name}.json") == read_json(place / "run" / "steps" / f"{name}.json")
    assert Forgetting.from_json(read_json(run / "steps" / "forgetting.json"))
    shutil.rmtree(place / "run")  # nothing of it is needed any more
    assert done("answer", run, files / "labels.csv", "--run", "out", "--precision", "fp32").code == 0


def _rivals(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "steps").glob("scores_confirm_*"))


def _first_tuned(entries: Any, metric: str) -> Any:
    return next((entry for entry in entries if entry.candidate.stage == "tune"), None)


def test_an_unfinished_run_without_a_verdict_is_no_look(files: Path, model: Path, place: Path, only: Limit) -> None:
    only("most_frequent", "tfidf", "as_is")
    done("adapt", files / "labels.csv", "-m", model, "--budget", "1h", "--run", "run")
    for path in [*(place / "run" / "steps").glob("scores_confirm_*"), *(place / "run" / "evaluation").iterdir()]:
        path.unlink()
    shutil.rmtree(place / "run" / "children" / "as_is" / "evaluation")
    RunDirectory(place / "run" / "children" / "as_is").update(status="paused")
    RunDirectory(place / "run").update(status="paused", chosen=None, verdict=None)
    called = done("adapt", "run", "--budget", "2h", "--json")
    assert called.json["verdict"]["earlier_looks"] == 0
    assert "looked at" not in called.said
    run = place / "runs" / "1"
    taken = {name: "taken_from" in manifest(run / "children" / name) for name in runs_in(run / "children")}
    assert taken == {"most_frequent": True, "tfidf": True, "as_is": False}  # unfinished ones are not taken over


def test_a_cross_validation_is_gone_on_from_fold_by_fold(model: Path, place: Path) -> None:
    rows = [{key: row[key] for key in ("id", "text", "label")} for row in label_rows(40, 0, 0)]
    write_rows(place / "rows.csv", rows)
    done("adapt", "rows.csv", "-m", model, "--budget", "19s", "--folds", 2, "--run", "run")
    called = done("adapt", "run", "--budget", "19.5s", "--json")
    run = place / "runs" / "1"
    copies = sorted(path.parent.relative_to(run) for path in run.rglob("manifest.json")
                    if "taken_from" in read_json(path))  # fmt: skip
    assert [str(path) for path in copies] == [
        "children/final", *(f"children/fold_{n}/children/{name}" for n in (1, 2) for name in ("most_frequent", "tfidf"))
    ]  # fmt: skip
    assert called.json["verdict"]["earlier_looks"] == 1
    assert SECOND_LOOK in called.said
    for name in ("confirm_final", "confirm_only_most_frequent"):
        assert (run / "evaluation" / f"{name}.jsonl").read_bytes() == (
            place / "run" / "evaluation" / f"{name}.jsonl"
        ).read_bytes()


def test_what_cannot_be_gone_on_from(
    files: Path, model: Path, tuned: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = place / "rows.csv"
    data.write_bytes((files / "labels.csv").read_bytes())
    done("adapt", "rows.csv", "-m", model, "--budget", "15s", "--run", "runs/1")
    text = refused("adapt", tuned, "--budget", "30m")
    assert f"{tuned} is a run of tune. adapt takes a file of examples, or a run of adapt to go on from" in text
    text = refused("adapt", "runs/1", "--budget", "15s")
    assert text == (
        "luthier: runs/1 had a budget of 15 s: with 15 s nothing more would be tried. Give it more, such as --budget "
        "1m."
    )
    text = refused("adapt", "runs/1", "-m", model, "--seed", 3, "--cross-validate", "--answer", "label")
    assert text == (
        "luthier: runs/1 says itself what is adapted, and how; only its budget can be changed, not: model, seed, "
        "cross-validate, read. For other settings begin anew: luthier adapt rows.csv."
    )
    with RunDirectory(place / "runs" / "1").working():
        text = refused("adapt", "runs/1", "--budget", "30m")
        assert text == ("luthier: Another process is at work on runs/1. Wait until it has ended, or stop it.")
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    text = refused("adapt", os.path.join("..", "runs", "1"), "--budget", "30m")
    assert "There is no file or folder rows.csv." in text
    assert f"The run was begun in {place}: the paths in its recipe are seen from there." in text
    monkeypatch.chdir(place)
    with open(data, "a") as file:
        file.write("r999,new row,other,train\n")
    text = refused("adapt", "runs/1", "--budget", "30m")
    assert "rows.csv has changed since runs/1 began" in text
    assert runs_in(place / "runs") == ["1"]
    assert status(place / "runs" / "1") == "finished"
