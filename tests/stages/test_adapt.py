"""luthier adapt: planned once, chosen on `choose`, claimed on `confirm`, under a budget."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import (
    done,
    json_lines,
    label_rows,
    luthier,
    manifest,
    page_text,
    refused,
    runs_in,
    status,
    write_rows,
)
from page_reader import Reader

from luthier import Run
from luthier.core.errors import GuardError
from luthier.core.files import read_json
from luthier.core.run import RunDirectory
from luthier.evaluation.answering import read_answers
from luthier.evaluation.comparison import adjust_for_claims, compare
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.opening import examples_of, open_answerer
from luthier.evaluation.statistics import Scores, against_target
from luthier.training.source import BatchConfig

CANDIDATES = [
    "most_frequent", "tfidf", "as_is", "told_format", "held_to_format", "few_shot_random", "few_shot_nearest",
    "lora_fewer", "lora", "tuned_held",
]  # fmt: skip
METRICS = ("exact_match", "json_field_f1", "json_validity", "empty", "cut")


def stored(run: Path, name: str) -> Scores:
    return Scores.from_json(read_json(run / "steps" / f"scores_{name}.json"))


def measured_again(run: Path, part: str, answers: Path) -> Scores:
    metrics = [build_metric(name) for name in METRICS]
    return Scores.measure("again", examples_of(RunDirectory(run), part), read_answers(answers), metrics)


def test_every_candidate_is_a_finished_run_of_its_own(adapted: Path) -> None:
    assert status(adapted) == "finished"
    plan = read_json(adapted / "steps" / "plan.json")
    assert [candidate["name"] for candidate in plan["candidates"]] == CANDIDATES
    assert plan["left_out"] == []
    assert runs_in(adapted / "children") == sorted(CANDIDATES)
    for name in CANDIDATES:
        child = adapted / "children" / name
        assert status(child) == "finished"
        assert len(read_answers(child / "evaluation" / "choose.jsonl")) == 14
    lora = manifest(adapted / "children" / "lora")
    titles = [candidate["title"] for candidate in plan["candidates"]]
    assert titles[-3:] == ["LoRA r16, 1 epoch", "LoRA r16, 3 epochs", "LoRA + schema"]
    assert lora["plan"]["iterations"] == 3 * math.ceil(36 / BatchConfig().size_for(36))


def test_candidates_scores_follow_from_their_answers(adapted: Path) -> None:
    for name in CANDIDATES:
        child = adapted / "children" / name
        found, again = stored(child, "choose"), measured_again(adapted, "choose", child / "evaluation" / "choose.jsonl")
        assert found.names == METRICS
        assert found.example_ids == again.example_ids
        for metric in METRICS:
            assert found.value(metric) == again.value(metric)


def test_the_winner_has_the_best_score_on_choose(adapted: Path) -> None:
    values = {name: stored(adapted / "children" / name, "choose").value("exact_match") for name in CANDIDATES}
    chosen = manifest(adapted)["chosen"].removeprefix("children/")
    assert values[chosen] == max(values.values())
    # Of equals the cheaper one, which comes first.
    assert chosen == next(name for name in CANDIDATES if values[name] == max(values.values()))


def test_confirm_is_answered_by_the_winner_and_its_rivals_alone_and_after_the_choice(adapted: Path) -> None:
    answered = {path.stem for path in (adapted / "evaluation").glob("*.jsonl")} - {"timings"}
    proved = {name.removeprefix("scores_") for name in (p.stem for p in (adapted / "steps").glob("scores_*"))}
    assert answered == proved
    winner = manifest(adapted)["chosen"].removeprefix("children/")
    assert f"confirm_{winner}" in answered
    assert 2 <= len(answered) <= 3
    kinds = {name.removeprefix("confirm_") in ("most_frequent", "tfidf") for name in answered}
    assert kinds == {True, False}  # one of each kind: the model is held against the best rival without one
    for child in (adapted / "children").iterdir():  # no candidate has seen a row of confirm
        assert runs_in(child / "evaluation") == ["answered_by.json", "choose.jsonl", "timings.jsonl"], child.name
    last_choice = max((child / "steps" / "scores_choose.json").stat().st_mtime_ns
                      for child in (adapted / "children").iterdir())  # fmt: skip
    first_proof = min((adapted / "evaluation" / f"{name}.jsonl").stat().st_mtime_ns for name in answered)
    assert last_choice < first_proof


def test_the_proof_follows_from_the_answers_on_confirm(adapted: Path) -> None:
    found = manifest(adapted)
    winner = found["chosen"].removeprefix("children/")
    base = stored(adapted, f"confirm_{winner}")
    again = measured_again(adapted, "confirm", adapted / "evaluation" / f"confirm_{winner}.jsonl")
    assert {m: base.value(m) for m in METRICS} == {m: again.value(m) for m in METRICS}
    claims = found["verdict"]["comparisons"]
    by_identity = {stored(adapted, p.stem.removeprefix("scores_")).answerer: p.stem.removeprefix("scores_")
                   for p in (adapted / "steps").glob("scores_confirm_*")}  # fmt: skip
    rivals = [stored(adapted, by_identity[claim["base"]]) for claim in claims]
    expected = adjust_for_claims([compare(rival, base, "exact_match") for rival in rivals])
    assert claims == json.loads(json.dumps([comparison.to_json() for comparison in expected]))
    assert {claim["claims"] for claim in claims} == {len(claims)}
    target = against_target(base.interval("exact_match"), 0.8)
    assert found["verdict"]["target"] == json.loads(json.dumps(target.to_json()))


def test_the_winner_answers_for_the_run(adapted: Path, files: Path) -> None:
    """TF-IDF wins on random weights; opened again it gives the answers that were confirmed."""
    winner = manifest(adapted)["chosen"].removeprefix("children/")
    examples = examples_of(RunDirectory(adapted), "confirm")
    answers = [answer.to_json() for answer in open_answerer(str(adapted)).answer(examples)]
    assert answers == json_lines(adapted / "evaluation" / f"confirm_{winner}.jsonl")


def test_the_data_figures_are_those_of_the_file(adapted: Path) -> None:
    found = manifest(adapted)
    assert found["data"]["parts"] == {"tune": 36, "choose": 14, "confirm": 14}
    assert found["task"]["kind"] == "extraction"
    assert list(found["task"]["schema"]["properties"]) == ["product", "issue", "urgency", "order_id", "wants_refund"]
    assert found["mapping"]["prompt"] == "{message}"


def test_the_report_says_what_the_screen_said(adapted: Path) -> None:
    page = page_text(adapted)
    for text in ("most frequent answer", "TF-IDF", "as it is", "told the format", "LoRA r16, 3 epochs", "0.8"):
        assert text in page
    assert "No language model tried here beats TF-IDF" in page


def test_the_python_interface_shows_all_candidates(adapted: Path) -> None:
    run = Run(RunDirectory(adapted))
    frame = run.scores()
    names = set(frame.evaluation)
    assert {f"{name}/choose" for name in CANDIDATES} <= names
    assert any(name.startswith("confirm_") for name in names)
    row = frame[(frame.evaluation == "tfidf/choose") & (frame.metric == "json_field_f1")].iloc[0]
    assert row.value == stored(adapted / "children" / "tfidf", "choose").value("json_field_f1")


def test_a_finished_run_is_not_run_again(adapted: Path, files: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in adapted.rglob("*")}
    called = done("resume", adapted)
    assert f"{adapted} (adapt) is finished: there is nothing left to do." in called.said.replace("` ", " ")
    assert {p: p.stat().st_mtime_ns for p in adapted.rglob("*")} == before


def test_the_next_commands_work_as_they_stand(files: Path, model: Path, place: Path) -> None:
    """The three commands at the end: the data is read as it was, and the run is gone on from with a larger budget."""
    data = place / "my rows.csv"
    data.write_bytes((files / "labels.csv").read_bytes())
    called = done("adapt", data, "-m", model, "--budget", "15s", "--answer", "label", "--kind", "classification")
    said = called.said.partition(" next ")[2]
    assert "luthier adapt runs/1 --budget 20m" in said
    assert f"luthier data check '{data}' --answer label --kind classification" in said
    assert "luthier answer runs/1 NEW_ROWS.csv" in said


def test_a_budget_too_small_for_the_model_keeps_the_rivals_without_one(files: Path, model: Path, place: Path) -> None:
    called = done("adapt", files / "labels.csv", "-m", model, "--budget", "15s")
    titles = ["as it is", "held to the labels", "4 examples + labels", "LoRA"]
    for title in titles:
        assert f"left out: {title} (15 s are too few to look at a model; try --budget 10m)" in called.said
    assert runs_in(place / "runs" / "1" / "children") == ["most_frequent", "tfidf"]
    assert "Only rivals without a model were tried" in called.said
    plan = read_json(place / "runs" / "1" / "steps" / "plan.json")
    assert [title for title, _ in plan["left_out"]] == titles
    assert "LoRA: 15 s are too few" in page_text(place / "runs" / "1")


def test_a_budget_too_small_for_anything(files: Path, model: Path, place: Path) -> None:
    text = refused("adapt", files / "labels.csv", "-m", model, "--budget", "2s")
    assert text == (
        "luthier: A budget of 2.0 s is too small for anything: the rivals without a model take about 3 s, "
        "a look at the model 20 s. Try --budget 10m."
    )
    assert runs_in(place) == []


def test_plan_shows_and_leaves_nothing(files: Path, model: Path, place: Path) -> None:
    called = done("adapt", files / "labels.csv", "-m", model, "--budget", "1h", "--plan", "--json")
    assert [candidate["name"] for candidate in called.json["candidates"]] == CANDIDATES
    assert called.json["left_out"] == []
    assert "10 candidates, about" in called.err
    assert "30 to tune | 15 to choose | 15 to confirm" in called.err
    assert runs_in(place) == []


def test_the_plan_is_frozen(files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is resumed keeps its plan, though the machine has become slower or faster."""
    from luthier.stages import adapt
    from luthier.stages.adapt import calibration

    done("adapt", files / "labels.csv", "-m", model, "--budget", "15s")
    run = place / "runs" / "1"
    plan = (run / "steps" / "plan.json").read_bytes()
    RunDirectory(run).update(status="paused")
    monkeypatch.setattr(calibration, "WITHOUT_MODEL_SECONDS", 0.0)
    monkeypatch.setattr(adapt, "make_plan", lambda *_: pytest.fail("planned again"))
    done("resume", run)
    assert (run / "steps" / "plan.json").read_bytes() == plan
    assert status(run) == "finished"


def test_time_is_cumulative_over_resumes(files: Path, model: Path, place: Path) -> None:
    done("adapt", files / "labels.csv", "-m", model, "--budget", "15s")
    run = RunDirectory(place / "runs" / "1")
    first = read_json(run.path / "spent.json")["seconds"]
    run.files.write_json("spent.json", {"seconds": first + 100})
    run.update(status="paused")
    done("resume", run.path)
    assert read_json(run.path / "spent.json")["seconds"] > first + 100


def test_a_candidate_that_comes_too_late_is_left_out_for_good(files: Path, model: Path, place: Path) -> None:
    """Spent time counts: with the budget used up, candidates that have not begun are left out, also after a resume."""
    called = done(
        "adapt", files / "labels.csv", "-m", model, "--budget", "1h", "--run", "run", "--try", "as_is,told_format,lora"
    )
    assert "--budget" not in called.said.partition(" next ")[2]  # all that was named has been tried
    run = place / "run"
    import shutil

    for name in ("told_format", "lora"):
        shutil.rmtree(run / "children" / name)
        for step in ("skipped", "problem"):
            (run / "steps" / f"{step}_{name}.json").unlink(missing_ok=True)
    for name in ("report.html", "card.md"):
        (run / name).unlink(missing_ok=True)
    RunDirectory(run).update(status="paused")
    RunDirectory(run).files.write_json("spent.json", {"seconds": 3599.0})
    called = done("resume", run)
    assert runs_in(run / "children") == ["as_is", "most_frequent", "tfidf"]
    text = "the candidates before it took longer than planned; 0 s were left"
    assert f"LoRA r16, 3 epochs: {text}" in page_text(run)
    assert "--budget 180m" in called.said.partition(" next ")[2]
    assert "told the format" not in called.out.partition("confirm")[0].partition("rows to choose")[2]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (GuardError("The loss is not finite (nan)."), "The loss is not finite (nan)."),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "there was not enough memory"),
    ],
    ids=["diverges", "no memory"],
)
def test_a_method_that_fails_does_not_take_the_others_with_it(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    from luthier.stages.tune.shared_training import Training

    def fails(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Training, "train", fails)
    called = done("adapt", files / "labels.csv", "-m", model, "--budget", "1h", "--try", "as_is,lora")
    assert f"LoRA r16, 3 epochs failed: {said}" in called.said
    run = place / "runs" / "1"
    assert status(run) == "finished"
    assert status(run / "children" / "lora") == "failed"
    assert f"LoRA r16, 3 epochs: failed: {said}" in page_text(run)


@pytest.fixture
def silly_rivals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rivals without a model that answer nonsense."""
    from luthier.core.types import Answer
    from luthier.evaluation import model_free

    for rival in (model_free.MostFrequent, model_free.Tfidf):
        monkeypatch.setattr(rival, "answer", lambda self, examples, *_: (Answer(e.id, "?", "stop") for e in examples))


@pytest.mark.usefixtures("silly_rivals")
def test_where_the_model_as_it_is_wins(files: Path, taught: Path, place: Path) -> None:
    called = done("adapt", files / "labels.csv", "-m", taught, "--budget", "1h", "--precision", "fp32",
                  "--try", "as_is,told_format")  # fmt: skip
    run = place / "runs" / "1"
    assert manifest(run)["chosen"] == "children/as_is"
    assert (
        "No adaptation helped: the model as it is is better than every rival, accuracy 100 % [80, 100] on 15 unseen"
    ) in called.said
    assert "luthier chat runs/1" in called.said
    card = (run / "card.md").read_text()
    assert f'AutoModelForCausalLM.from_pretrained("{taught / "model"}")' in card
    page = Reader((run / "report.html").read_text(encoding="utf-8"))
    assert page.problems() == []
    assert "15 of 15 answers to the unseen rows ended by themselves." in page.words
    assert "What was forgotten" not in page.words  # the winner was not tuned
    assert done("chat", run, stdin="big invoice red sour old 3\n").out == "billing\n"


@pytest.mark.usefixtures("silly_rivals")
def test_where_tuning_wins_the_run_is_the_tuned_model(
    files: Path, taught: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that knows other names for the labels learns the new ones; chat, answer, merge mean its adapter."""
    from luthier.adapters.lora import Lora
    from luthier.stages.adapt.candidates import Candidates

    lora = Candidates.lora
    monkeypatch.setattr(Lora, "default_learning_rate", 1e-2)
    monkeypatch.setattr(Candidates, "lora", lambda self, epochs, name="lora": lora(self, 10.0, name))
    renamed = {"billing": "money", "shipping": "post", "other": "else"}
    write_rows(place / "rows.csv", [row | {"label": renamed[row["label"]]} for row in label_rows()])
    called = done("adapt", "rows.csv", "-m", taught, "--budget", "1h", "--precision", "fp32", "--json",
                  "--try", "told_format,lora,tuned_held,retention")  # fmt: skip
    run = place / "runs" / "1"
    winner = called.json["chosen"].removeprefix("children/")
    assert winner in ("lora", "tuned_held")
    assert called.json["scores"][f"confirm_{winner}"]["accuracy"]["value"] > 0.9
    assert "Tuning helped: LoRA" in " ".join(called.err.split())
    assert "forgetting: no worse than 5 points: " in " ".join(called.err.split())
    claims = called.json["verdict"]["comparisons"]
    assert [claim["verdict"] for claim in claims] == ["better"] * len(claims)
    page = Reader((run / "report.html").read_text(encoding="utf-8"))
    assert page.problems() == []
    kept = called.json["verdict"]["forgetting"]["kinds"]
    before, after = (sum(kind[when] for kind in kept) for when in ("before", "after"))
    assert f"of 240 general questions it now answers {after} rightly, {before} before." in page.words
    assert f"all 240 {before} {after} perplexity of general text" in page.words
    assert '"children/lora/adapter")' in (run / "card.md").read_text()
    assert done("chat", run, stdin="big invoice red sour old 3\n").out == "money\n"
    assert done("merge", run, "--to", "plain").code == 0
    assert done("chat", "plain", stdin="big invoice red sour old 3\n").out == "money\n"


def test_thirty_rows_are_needed(place: Path, files: Path, model: Path) -> None:
    lines = (files / "labels.csv").read_text().splitlines()
    (place / "few.csv").write_text("\n".join(lines[:4]) + "\n")
    text = refused("adapt", "few.csv", "-m", model)
    assert "3 row(s) are too few" in text
    assert "at least 30 are needed" in text
    assert luthier("data", "check", "few.csv").code == 1
