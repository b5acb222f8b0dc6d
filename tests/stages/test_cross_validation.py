"""luthier adapt --cross-validate: every row is confirmed once by what never saw it, and pooled."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import (
    Called,
    done,
    json_lines,
    label_rows,
    manifest,
    page_text,
    refused,
    require_equal_runs,
    runs_in,
    status,
    write_rows,
)
from interrupting import Forks

from luthier import Run
from luthier.core.files import read_json
from luthier.core.run import RunDirectory
from luthier.core.types import Answer
from luthier.data.splits import split
from luthier.evaluation.comparison import adjust_for_claims, compare
from luthier.evaluation.opening import examples_of
from luthier.evaluation.statistics import Scores, against_target
from luthier.stages.adapt import folds
from luthier.stages.adapt.plan import NO_TIME
from luthier.stages.material import DataConfig, read_material

FOLDS = (1, 2, 3)
CHEAP = ("--budget", "19s")
"""Too little to look at a model: the rivals without one are tried, in a second a fold."""


def plain_rows(count: int = 48) -> list[dict[str, Any]]:
    """Rows without given parts."""
    return [{key: row[key] for key in ("id", "text", "label")} for row in label_rows(count, 0, 0)]


def stored(run: Path, name: str) -> Scores:
    return Scores.from_json(read_json(run / "steps" / f"scores_{name}.json"))


def ids(run: Path, part: str) -> set[str]:
    return {example.id for example in examples_of(RunDirectory(run), part)}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "few.csv", plain_rows())


Folded = tuple[Path, Called]


@contextmanager
def never_too_late() -> Iterator[None]:
    """On a busy machine the last training would not be begun within so small a budget."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folds, "_too_late", lambda *_: "")
        yield


@pytest.fixture(scope="module")
def folded(rows: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Folded:
    """A finished cross-validation in three folds, without models; read only."""
    run = tmp_path_factory.mktemp("folded") / "run"
    settings = ("--cross-validate", "--folds", 3, "--target", "0.5", "--json")
    with never_too_late():
        return run, done("adapt", rows, "-m", model, "--run", run, *CHEAP, *settings)


def test_every_row_is_confirmed_once_by_the_fold_that_set_it_aside(folded: Folded, rows: Path) -> None:
    run, _ = folded
    examples = read_material(DataConfig(path=str(rows), fold=[0, 3])).dataset.examples
    assert len(examples) == 48
    answers = json_lines(run / "evaluation" / "confirm_final.jsonl")
    assert [answer["example_id"] for answer in answers] == [example.id for example in examples]
    by_fold = []
    for number in FOLDS:
        fold = run / "children" / f"fold_{number}"
        chosen = manifest(fold)["chosen"].removeprefix("children/")
        own = json_lines(fold / "evaluation" / f"confirm_{chosen}.jsonl")
        assert {answer["example_id"] for answer in own} == {e.id for e in split(examples, 0, fold=(number, 3)).confirm}
        by_fold += own
    assert sorted(map(json.dumps, by_fold)) == sorted(map(json.dumps, answers))


def test_no_candidate_of_a_fold_sees_what_the_fold_confirms(folded: Folded) -> None:
    run, _ = folded
    seen = 0
    for number in FOLDS:
        fold = run / "children" / f"fold_{number}"
        confirmed = ids(fold, "confirm")
        assert len(confirmed) == 16
        for child in sorted((fold / "children").iterdir()):
            assert not confirmed & (ids(child, "tune") | ids(child, "choose"))
            assert ids(child, "confirm") == confirmed
            assert runs_in(child / "evaluation") == ["answered_by.json", "choose.jsonl", "timings.jsonl"]
            assert {answer["example_id"] for answer in json_lines(child / "evaluation" / "choose.jsonl")} == ids(
                child, "choose"
            )
            seen += 1
    assert seen == 6


def test_one_plan_serves_all_folds(folded: Folded) -> None:
    run, _ = folded
    plan = read_json(run / "steps" / "plan.json")
    assert [candidate["name"] for candidate in plan["candidates"]] == ["most_frequent", "tfidf"]
    for number in FOLDS:
        own = read_json(run / "children" / f"fold_{number}" / "steps" / "plan.json")
        assert [c["recipe"]["data"].pop("fold") for c in own["candidates"]] == [[number, 3]] * 2
        assert [c["recipe"]["data"]["kind"] for c in own["candidates"]] == ["classification"] * 2
        assert own["calibration"] == plan["calibration"]
        recipe = RunDirectory(run / "children" / f"fold_{number}").recipe
        assert recipe["budget_seconds"] == 2 * 19 / 4  # three folds and one more training; nothing is late before twice
        assert recipe["cross_validate"] is None


def test_pooled_scores_and_verdict_follow_from_the_folds_answers(folded: Folded) -> None:
    """Of two rivals without a model one is chosen in each fold; the other is what it is held against."""
    run, called = folded
    labels = {f"r{n}": row["label"] for n, row in enumerate(plain_rows())}
    pooled = stored(run, "confirm_final")
    answers = json_lines(run / "evaluation" / "confirm_final.jsonl")
    right = sum(answer["text"] == labels[answer["example_id"]] for answer in answers)
    assert pooled.value("accuracy") == right / 48
    folds = called.json["verdict"]["folds"]
    assert [fold["parts"]["confirm"] for fold in folds] == [16, 16, 16]
    assert sum(fold["confirm"] for fold in folds) / 3 == pytest.approx(right / 48)
    assert [fold["chosen"] for fold in folds] == ["tfidf"] * 3
    assert called.json["verdict"]["value"] == right / 48

    rival = stored(run, "confirm_only_most_frequent")
    (claim,) = called.json["verdict"]["comparisons"]
    (expected,) = adjust_for_claims([compare(rival, pooled, "accuracy")])
    over = {"generalises_over": "examples and trainings"}
    assert claim == json.loads(json.dumps(expected.to_json())) | over
    assert claim["verdict"] == "better"
    target = against_target(pooled.interval("accuracy"), 0.5)
    assert called.json["verdict"]["target"] == json.loads(json.dumps(target.to_json()))
    assert called.json["verdict"]["evaluations"] == {
        "final": ["tfidf"] * 3,
        "only_most_frequent": ["most_frequent"] * 3,
    }
    assert called.json["verdict"]["earlier_looks"] == 0


def test_the_model_that_answers_is_made_from_all_rows(folded: Folded, rows: Path, place: Path) -> None:
    run, called = folded
    assert called.json["chosen"] == "children/final"
    final = run / "children" / "final"
    assert (ids(final, "tune") | ids(final, "choose")) == {f"r{n}" for n in range(48)}
    assert ids(final, "confirm") == set()
    write_rows(place / "new.csv", [{"id": "n1", "text": "a red invoice late"}, {"id": "n2", "text": "soft parcel old"}])
    done("answer", run, "new.csv", "--run", "out")
    assert [line["text"] for line in json_lines(place / "out" / "answers.jsonl")] == ["billing", "shipping"]


def test_what_is_said(folded: Folded) -> None:
    run, called = folded
    value = called.json["verdict"]["value"]
    page = page_text(run)
    for text in (
        "3 folds: each time 17 to 20 to tune | 12 to 15 to choose | 16 to confirm; every row is confirmed once",
        "48 rows can show a difference of about 17 points",
        "48 rows, each unseen",
        "what adapt chooses",
        f"{100 * value:.0f} % [",
        "TF-IDF in 3 of 3 folds",
        "That holds for what adapt does with such rows, over 3 choices and trainings; one model alone may differ.",
        "Only rivals without a model were tried; the best of them (TF-IDF in 3 of 3 folds)",
        "children/final: TF-IDF, chosen in 3 of 3 folds, made once more with no fold set aside (28 to tune | 20 to "
        "choose), answers for this run.",
        "It has no score of its own",
    ):
        assert text in called.said, text
        assert text in page, text
    assert "2 candidates in each of 3 folds, about 21 s of a budget of 19 s" in called.said
    assert f"luthier adapt {run} --budget 20m" in called.said.replace(" - ", "-")
    assert "two models" not in called.said + page
    assert "Each fold chose by these scores; they flatter what they chose." in page


def test_the_run_is_looked_into_compared_and_listed_like_any_other(folded: Folded, place: Path) -> None:
    run, called = folded
    value = called.json["verdict"]["value"]
    (listed,) = [e for e in done("show", run, "failures", "--json").json["evaluations"] if e["part"] == "confirm"]
    assert (listed["candidate"], listed["rows"]) == ("final", 48)
    assert listed["counts"] == called.json["verdict"]["failures"]
    (claim,) = done("compare", run, run, "--json").json
    assert (claim["base_value"], claim["rows"]) == (value, 48)
    frame = Run(RunDirectory(run)).scores()
    assert {"confirm_final", "confirm_only_most_frequent"} <= set(frame.evaluation)
    (line,) = done("runs", "--in", run.parent, "--json").json
    assert f"accuracy {100 * value:.0f} %, better than its rival, target reached" in line["verdict"]


# ------------------------------------------------------------------------------------------------------ interrupted


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_killed_and_resumed_it_is_the_same(rows: Path, model: Path, folded: Folded, place: Path, forks: Forks) -> None:
    """Killed while a file of the second fold is about to be safe; what was finished stays."""
    arguments = ("adapt", rows, "-m", model, "--run", "run", *CHEAP, "--folds", 3, "--target", "0.5")
    assert (
        forks.call("sync after run/children/fold_2/manifest.json", 60, "SIGKILL", *arguments, folder=place).code == -9
    )
    run = place / "run"
    finished = {p: p.stat().st_mtime_ns for p in run.glob("children/fold_*/children/*/manifest.json")
                if json.loads(p.read_text())["status"] == "finished"}  # fmt: skip
    assert [status(run / "children" / f"fold_{n}") for n in (1, 2)] == ["finished", "running"]
    assert status(run) == "running"
    assert len(finished) >= 2
    with never_too_late():
        done("resume", run)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert status(run) == "finished"
    found = require_equal_runs(run, folded[0])
    answers = [name for name in found if "evaluation/" in name and name.endswith(".jsonl")]
    assert len(answers) == 15  # 2 + 2 a fold, 1, 2


@pytest.fixture(scope="module")
def forks() -> Any:
    found = Forks()
    yield found
    found.close()


def test_without_time_for_a_last_training_the_best_fold_answers(folded: Folded, place: Path) -> None:
    run = place / "run"
    shutil.copytree(folded[0], run)
    shutil.rmtree(run / "children" / "final")
    for path in [*(run / "steps").glob("*final*"), *(run / "evaluation").iterdir()]:
        path.unlink()
    RunDirectory(run).files.write_json("spent.json", {"seconds": 18.5})  # two are needed, more than half of one a step
    RunDirectory(run).update(status="paused", chosen=None)
    called = done("resume", run)
    values = [stored(run / "children" / f"fold_{n}" / "children" / "tfidf", "choose").value("accuracy") for n in FOLDS]
    best = 1 + values.index(max(values))
    assert manifest(run)["chosen"] == f"children/fold_{best}/children/tfidf"
    assert f"TF-IDF, the winner of fold {best}, answers for this run: the folds took longer than planned" in called.said
    assert stored(run, "confirm_tfidf").value("accuracy") == stored(folded[0], "confirm_final").value("accuracy")
    write_rows(place / "new.csv", [{"id": "n1", "text": "a red invoice late"}])
    done("answer", run, "new.csv", "--run", "out")
    assert [line["text"] for line in json_lines(place / "out" / "answers.jsonl")] == ["billing"]


# ------------------------------------------------------------------------------------------------------------ errors


def test_what_cannot_be_cross_validated(rows: Path, model: Path, place: Path) -> None:
    few = write_rows(place / "few.csv", plain_rows(19))
    text = refused("adapt", few, "-m", model, "--cross-validate")
    assert "19 row(s) are too few to learn from and to prove anything on, also by cross-validation" in text
    text = refused("adapt", rows, "-m", model, "--folds", 25)
    assert "48 rows are too few for 25 folds: each needs at least 2. Take 24 folds or fewer" in text
    assert runs_in(place) == ["few.csv"]


def test_few_rows_to_confirm_bring_the_hint(rows: Path, model: Path, place: Path) -> None:
    called = done("adapt", rows, "-m", model, *CHEAP, "--plan")
    assert "--cross-validate shows more with few rows" in called.said
    many = write_rows(place / "many.csv", label_rows(30, 15, 40))
    assert "--cross-validate" not in done("adapt", many, "-m", model, *CHEAP, "--plan").said


def test_the_plan_of_the_folds_is_shown_and_leaves_nothing(rows: Path, model: Path, place: Path) -> None:
    called = done("adapt", rows, "-m", model, "--budget", "21s", "--folds", 3, "--plan", "--json")
    assert [candidate["name"] for candidate in called.json["candidates"]][:2] == ["most_frequent", "tfidf"]
    assert "in each of 3 folds" in called.said
    assert any(reason.startswith(NO_TIME) for _, reason in called.json["left_out"])
    for title, reason in called.json["left_out"]:
        if reason.startswith(NO_TIME):  # a fold has a quarter of the budget: what fits it is told for the whole
            assert int(reason.split("--budget ")[1].split("m")[0]) % 4 == 0, title
    assert runs_in(place) == []


# ------------------------------------------------------------------------------------------------------- with a model


@pytest.fixture
def silly_rivals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the rivals without a model answer nonsense."""
    from luthier.evaluation import model_free

    for rival in (model_free.MostFrequent, model_free.Tfidf):
        monkeypatch.setattr(rival, "answer", lambda self, examples, *_: (Answer(e.id, "?", "stop") for e in examples))


@pytest.mark.usefixtures("silly_rivals")
def test_a_tuned_model_is_trained_once_more_on_all_rows(
    taught: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every fold's LoRA learns new names for the labels; the one that answers has learned them from all rows."""
    from luthier.adapters.lora import Lora
    from luthier.stages.adapt.candidates import Candidates

    lora = Candidates.lora
    monkeypatch.setattr(Lora, "default_learning_rate", 1e-2)
    monkeypatch.setattr(Candidates, "lora", lambda self, epochs, name="lora": lora(self, 10.0, name))
    renamed = {"billing": "money", "shipping": "post", "other": "else"}
    rows = write_rows(place / "rows.csv", [row | {"label": renamed[row["label"]]} for row in plain_rows(40)])
    called = done("adapt", rows, "-m", taught, "--budget", "1h", "--precision", "fp32", "--folds", 2, "--json",
                  "--try", "told_format,lora,retention")  # fmt: skip
    run = place / "runs" / "1"
    verdict = called.json["verdict"]
    assert [fold["chosen"] for fold in verdict["folds"]] == ["lora", "lora"]
    assert verdict["evaluations"] == {
        "final": ["lora"] * 2, "best_prompted": ["told_format"] * 2, "best_without_a_model": ["most_frequent"] * 2
    }  # fmt: skip
    assert verdict["value"] > 0.6
    assert [claim["verdict"] for claim in verdict["comparisons"]] == ["better", "better"]
    assert {claim["claims"] for claim in verdict["comparisons"]} == {2}
    assert (
        "Tuning helps on such rows: what adapt chooses (LoRA r16, 10 epochs in 2 of 2 folds) is better" in called.said
    )
    assert verdict["ended"][1] == 40
    assert "forgetting: " in called.said
    assert verdict["forgetting"] is not None
    assert not (run / "children" / "fold_1" / "steps" / "forgetting.json").exists()  # asked once, of the last training

    final = manifest(run / "children" / "final")
    assert final["stage"] == "tune"
    assert final["data"]["parts"]["tune"] + final["data"]["parts"]["choose"] == 40
    for fold in ("fold_1", "fold_2"):  # their weights served to confirm, and are not needed any more
        assert manifest(run / "children" / fold / "children" / "lora")["forgotten_bytes"] > 0
    assert (run / "children" / "final" / "adapter" / "adapter_model.safetensors").exists()
    assert '"children/final/adapter")' in (run / "card.md").read_text()
    assert done("chat", run, stdin="big invoice red sour old 3\n").out == "money\n"
