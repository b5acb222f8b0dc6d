"""Input that is readable and yet not what it seems: one sentence says so and what to do, without a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import SETTINGS, done, label_rows, luthier, manifest, refused, runs_in, status, write_rows

from luthier import api
from luthier.core.errors import ConfigError
from luthier.core.run import RunDirectory
from luthier.core.stages import config_class
from luthier.evaluation.answering import read_answers

# ------------------------------------------------------------------------------- a schema that no answer fits


def prompt_recipe(rows: Path, model: Path, **values: Any) -> Any:
    return config_class("prompt").parse({"data": {"path": str(rows)}, "model": str(model), **values}, "prompt")


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "integer", "minimum": 5, "maximum": 3}, "minimum (5) is greater than maximum (3)"),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "incompatible types"),
        ({"type": "object", "properties": {"a": {"enum": []}}, "required": ["a"]}, "required property 'a' is "),
        ({"type": "object", "required": ["b"], "additionalProperties": False}, "required property 'b' is "),
        ({"type": "string", "minLength": 5, "maxLength": 2}, "minLength (5) is greater than maxLength (2)"),
    ],
)
def test_a_schema_that_no_answer_fits(
    files: Path, model: Path, place: Path, schema: dict[str, Any], reason: str
) -> None:
    strategy = {"strategy": "zero_shot", "constraint": {"schema": schema}}
    with pytest.raises(ConfigError) as caught:
        api.start("prompt", prompt_recipe(files / "labels.csv", model, strategy=strategy))
    assert str(caught.value).startswith(f"The schema allows no answer: {reason}")
    assert str(caught.value).endswith(". Correct what contradicts itself.")
    assert runs_in(place) == []


def test_a_run_with_such_a_schema_cannot_be_gone_on_with(files: Path, model: Path, place: Path) -> None:
    strategy = {"strategy": "zero_shot", "constraint": {"schema": {"enum": []}}}
    RunDirectory.create(place / "run", "prompt", prompt_recipe(files / "labels.csv", model, strategy=strategy))
    text = refused("resume", "run")
    assert "The schema allows no answer: anyOf is empty. Correct what contradicts itself." in text
    assert status(place / "run") == "failed"
    assert list((place / "run" / "evaluation").glob("*.jsonl")) == []


def test_tune_takes_no_schema(files: Path, model: Path, place: Path) -> None:
    text = refused("tune", files / "labels.csv", "-m", model, "strategy.constraint.schema.type=integer")
    assert "strategy" in text
    assert runs_in(place) == []


# ------------------------------------------------------------------------------- labels that are spelled differently


@pytest.fixture
def spelled(place: Path) -> Path:
    """Made-up messages of which every second "billing" is spelled in another way, with and without a space behind."""
    rows = label_rows()
    billing = [row for row in rows if row["label"] == "billing"]
    for number, row in enumerate(billing):
        row["label"] = ("billing", "Billing", "billing ", "BILLING.")[number % 4]
    assert len(billing) == 20
    return write_rows(place / "spelled.csv", rows)


NOTE = (
    "1 label is written in several ways: 'billing' 10 (lines 2, 8, 14, …), 'BILLING.' 5 (lines 11, 23, 35, …), "
    "'Billing' 5 (lines 5, 17, 29, …). They count as one when answers are scored, but each row is learned as it is "
    "written: write them alike."
)
"""A space behind a label is taken away when rows are read, so "billing " is "billing"."""


def test_data_check_names_labels_in_several_spellings(spelled: Path) -> None:
    called = done("data", "check", spelled, "--json")
    assert NOTE in called.said
    assert called.json["label_notes"] == [NOTE]
    assert called.json["task"]["labels"] == ["billing", "other", "shipping"]
    assert "3 short answers repeat over 30 rows (billing, other, shipping)" in called.said


def test_data_check_says_nothing_of_labels_that_are_alike(files: Path) -> None:
    called = done("data", "check", files / "labels.csv", "--json")
    assert called.json["label_notes"] == []
    assert "several ways" not in called.said


def test_adapt_scores_spellings_as_one_label(spelled: Path, model: Path, place: Path) -> None:
    """It used to end after its first candidate: macro-F1 took the spellings for labels that cannot be told apart."""
    called = done("adapt", spelled, "-m", model, "--budget", "15s", "--run", "run")
    assert NOTE in called.said
    assert status(place / "run") == "finished"
    answers = read_answers(place / "run" / "children" / "tfidf" / "evaluation" / "choose.jsonl")
    assert {answer.text for answer in answers} == {"billing", "other", "shipping"}
    # Five rows of each label; one is taken for another label, none is wrong for its spelling.
    scores = api.Run(RunDirectory(place / "run" / "children" / "tfidf")).scores_of()["choose"]
    assert scores.value("accuracy") == pytest.approx(14 / 15)
    assert scores.value("macro_f1") == pytest.approx((8 / 9 + 10 / 11 + 1) / 3)


def test_answers_are_held_to_one_spelling(spelled: Path, model: Path, place: Path) -> None:
    run = api.start("prompt", prompt_recipe(spelled, model, constrain=True, tell_format=True), run="run")
    strategy = manifest(run.path)["answering"]["strategy"]
    assert strategy["constraint"] == {"choices": ["billing", "other", "shipping"]}
    assert strategy["instruction"].endswith('nothing else: "billing", "other", "shipping".')


def test_a_label_that_no_row_to_learn_from_has(model: Path, place: Path) -> None:
    """It used to end the run when the row to confirm was scored, after all the time had been spent."""
    rows = label_rows()
    rows[50]["label"] = "rare"
    write_rows(place / "rows.csv", rows)
    note = (
        "No row to learn from has the label of 1 row(s) to choose or confirm: 'rare' 1 (line 52). They can hardly be "
        "answered right: add rows with it, or leave them out."
    )
    assert note in done("data", "check", "rows.csv").said
    called = done("adapt", "rows.csv", "-m", model, "--budget", "15s", "--run", "run")
    assert note in called.said
    scores = api.Run(RunDirectory(place / "run")).scores_of()["confirm_tfidf"]
    assert scores.value("accuracy") == pytest.approx(14 / 15)


# ------------------------------------------------------------------------------- a model without a chat template


@pytest.fixture
def base_model(model: Path, place: Path) -> Path:
    """A copy of the model as base models come: without a chat template."""
    folder = Path(shutil.copytree(model, place / "base"))
    (folder / "chat_template.jinja").unlink()
    settings = folder / "tokenizer_config.json"
    settings.write_text(json.dumps({k: v for k, v in json.loads(settings.read_text()).items() if k != "chat_template"}))
    return folder


PLAIN = (
    "base has no chat template (a base model?): prompts and answers are put together as plain text, with a blank line "
    "between."
)


def test_a_base_model_is_asked_in_plain_text_and_that_is_said(files: Path, base_model: Path, place: Path) -> None:
    rows = files / "labels.csv"
    assert PLAIN in done("evaluate", "base", rows).said
    assert PLAIN in done("tune", rows, "-m", "base", "--run", "run", *SETTINGS).said
    assert PLAIN in done("adapt", rows, "-m", "base", "--budget", "25s", "--plan").said
    assert PLAIN in done("chat", "run", "--max-tokens", "2", stdin="hello\n").said
    shown = done("data", "preview", rows, "-m", "base", "-n", "1", "--json").json[0]
    first = label_rows()[0]
    assert "".join(shown["tokens"]) == f"{first['text']}\n\n{first['label']}<|end|>"


def test_of_a_model_with_a_template_nothing_is_said(files: Path, model: Path, place: Path) -> None:
    assert "chat template" not in done("evaluate", model, files / "labels.csv").said


# ------------------------------------------------------------------------------- a context that is too short


@pytest.fixture
def short_model(model: Path, place: Path) -> Path:
    """A copy of the model that takes 64 tokens: a byte each, and 19 of a prompt are the template's."""
    folder = Path(shutil.copytree(model, place / "short"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 64}))
    return folder


@pytest.fixture
def one_long_row(place: Path) -> Path:
    """Rows of about 20 characters with answers of 4, and one of 45 (line 5)."""
    rows = label_rows()
    for number, row in enumerate(rows):
        row["text"] = f"{row['text'].split()[number % 5]}-{number:03} {row['label'][:4]} {number * 7919 % 99991}"
        row["label"] = row["label"][:4]
    rows[3]["text"] = "x" * 45
    return write_rows(place / "rows.csv", rows)


@pytest.mark.parametrize("verb", ["tune", "adapt"])
def test_a_row_longer_than_the_context_is_named_alone(
    short_model: Path, one_long_row: Path, place: Path, verb: str
) -> None:
    before = runs_in(place)
    assert refused(verb, "rows.csv", "-m", "short").removeprefix("luthier: ") == (
        "1 of 60 rows cannot be used with this model: line 5 has 69 tokens, the model takes 64. Shorten the row, or "
        "choose a model with a longer context; Luthier does not cut examples."
    )
    assert runs_in(place) == before


def test_the_other_rows_are_answered_and_the_failed_one_is_named(
    short_model: Path, one_long_row: Path, place: Path
) -> None:
    called = done("evaluate", "short", "rows.csv", "--run", "run")
    assert (
        "1 of 60 answers failed and count as wrong. The first: The prompt has 64 tokens; with an answer of up to 7 the "
        "model takes 57. Their rows: r3."
    ) in called.said
    answers = read_answers(place / "run" / "evaluation" / "answers.jsonl")
    assert [answer.example_id for answer in answers if answer.finish == "failed"] == ["r3"]
    assert len(answers) == 60


# ------------------------------------------------------------------------------- a run directory that vanishes

GONE = (
    "The run directory run is gone: it was moved or deleted while the run was at work, so its results could not be "
    "written. If it was moved, go on with it there: luthier resume NEW_PLACE. Else start again."
)
VERBS: dict[str, tuple[str, tuple[object, ...]]] = {
    "tune": ("luthier.stages.tune.examples", SETTINGS),
    "adapt": ("luthier.stages.adapt", ("--budget", "15s")),
}


@pytest.fixture
def before_the_report(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[Path], object]], None]:
    """Have something happen to the run directory `run`, once, when all is computed and the report is due."""

    def happen(stage: str, what: Callable[[Path], object]) -> None:
        import importlib

        module = importlib.import_module(stage)
        original = module.write_reports

        def write_reports(*arguments: Any) -> None:
            monkeypatch.setattr(module, "write_reports", original)  # once
            what(Path("run"))
            original(*arguments)

        monkeypatch.setattr(module, "write_reports", write_reports)

    return happen


@pytest.mark.parametrize("verb", VERBS)
def test_a_run_directory_that_is_deleted_meanwhile(
    files: Path, model: Path, place: Path, before_the_report: Callable[..., None], verb: str
) -> None:
    stage, flags = VERBS[verb]
    before_the_report(stage, shutil.rmtree)
    assert refused(verb, files / "labels.csv", "-m", model, "--run", "run", *flags) == f"luthier: {GONE}"
    assert runs_in(place) == []


def test_a_run_directory_that_is_moved_meanwhile_goes_on_there(
    files: Path, model: Path, place: Path, before_the_report: Callable[..., None]
) -> None:
    before_the_report("luthier.stages.tune.examples", lambda run: run.rename("moved"))
    text = refused("tune", files / "labels.csv", "-m", model, "--run", "run", *SETTINGS)
    assert text == f"luthier: {GONE}"
    assert runs_in(place) == ["moved"]
    assert done("resume", "moved").code == 0
    assert status(place / "moved") == "finished"
    assert (place / "moved" / "report.html").exists()


@pytest.mark.parametrize("verb", VERBS)
def test_a_report_that_cannot_be_written(
    files: Path, model: Path, place: Path, before_the_report: Callable[..., None], verb: str
) -> None:
    """A folder in its place stands for any reason the system has: rights, a full disk, a disk that is gone."""
    stage, flags = VERBS[verb]
    before_the_report(stage, lambda run: (run / "report.html").mkdir())
    called = luthier(verb, files / "labels.csv", "-m", model, "--run", "run", *flags)
    assert called.code == 2
    assert called.err.splitlines() == [
        "luthier: Cannot write the report run/report.html: Is a directory. Check that its folder exists, may be "
        "written to and has room.",
        "What was done is kept in run; luthier resume run goes on with it.",
    ]
    assert status(place / "run") == "failed"
    shutil.rmtree(place / "run" / "report.html")
    assert "report" in done("resume", "run").said
    assert status(place / "run") == "finished"


# ------------------------------------------------------------------------------- a budget that is gone at once


def test_rivals_without_a_model_run_also_when_the_look_at_the_model_took_all_the_time(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It used to end in a traceback: every candidate came too late, and there was none to choose from."""
    from luthier.core.budget import Stopwatch

    monkeypatch.setattr(Stopwatch, "seconds", lambda self: 3600.0)
    called = done("adapt", files / "labels.csv", "-m", model, "--budget", "30s", "--run", "run")
    assert "verdict Only rivals without a model were tried; " in called.said
    assert {child.path.name for child in RunDirectory(place / "run").children()} == {"most_frequent", "tfidf"}
