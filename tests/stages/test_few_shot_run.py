"""A run that answers with demonstrations: made by the prompt stage, opened again by every later command."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import done, json_lines, label_rows, manifest, refused, write_rows

from luthier.api import start
from luthier.core.files import read_json
from luthier.core.listener import SilentListener
from luthier.core.run import RunDirectory
from luthier.core.stages import config_class
from luthier.core.types import Request, user
from luthier.evaluation.opening import examples_of, open_answerer, open_chat


class Heard(SilentListener):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def prompted(data: Path, model: Path, run: Path, listener: Heard | None = None, **settings: Any) -> Path:
    """Run the prompt stage in fp32."""
    recipe = {"data": {"path": str(data)}, "model": str(model), "precision": "fp32", **settings}
    start("prompt", config_class("prompt").parse(recipe), run=run, listener=listener)
    return run


@pytest.fixture(scope="module")
def few(files: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the prompt stage with the two most similar rows and the format told; read only."""
    run = tmp_path_factory.mktemp("few") / "shot"
    strategy = {"strategy": "few_shot", "examples": 2, "selection": "nearest", "seed": 3}
    return prompted(files / "labels.csv", model, run, strategy=strategy, tell_format=True)


def test_the_run_records_how_it_asked(few: Path) -> None:
    found = manifest(few)
    settings = found["answering"]["strategy"]
    assert (settings["strategy"], settings["examples"], settings["selection"], settings["seed"]) == (
        "few_shot", 2, "nearest", 3
    )  # fmt: skip
    assert settings["max_tokens"] == 12
    assert settings["instruction"].startswith("Classify the following text.")
    assert settings["constraint"] == {}
    assert found["demonstrations"] == {"2": 15}
    assert found["verdict"]["metric"] == "accuracy"
    answers = json_lines(few / "evaluation" / "confirm.jsonl")
    assert len(answers) == 15
    assert {line["scores"]["demonstrations"] for line in answers} == {2.0}


def test_it_opens_again_as_the_same_answerer(few: Path) -> None:
    opened: Any = open_answerer(str(few), precision="fp32")
    assert opened.identity == read_json(few / "steps" / "scores_confirm.json")["answerer"]
    run = RunDirectory(few)
    confirm = examples_of(run, "confirm")
    stored = json_lines(few / "evaluation" / "confirm.jsonl")
    again = list(opened.answer(confirm))
    assert [answer.text for answer in again] == [line["text"] for line in stored]
    assert [answer.usage.prompt_tokens for answer in again] == [line["usage"]["prompt_tokens"] for line in stored]


def test_only_rows_to_tune_are_shown_and_the_most_similar_ones(few: Path) -> None:
    run = RunDirectory(few)
    tune = {example.id: example for example in examples_of(run, "tune")}
    strategy: Any = open_answerer(str(few), precision="fp32").strategy  # type: ignore[attr-defined]
    seen = 0
    for part in ("choose", "confirm"):
        for example in examples_of(run, part):
            rows = strategy.demonstrations(example)
            assert len(rows) == 2
            assert all(tune[row.id] == row for row in rows)
            seen += sum(row.reference == example.reference for row in rows)
    assert seen > 30  # of 60: a word of each row gives its label away, by chance it would be 20
    for row in tune.values():
        assert row.id not in {shown.id for shown in strategy.demonstrations(row)}


def test_new_rows_are_answered_with_demonstrations(few: Path, place: Path) -> None:
    write_rows(place / "new.jsonl", [{"text": f"{row['text']} now"} for row in label_rows()[:6]])
    done("answer", few, "new.jsonl")
    lines = json_lines(place / "runs" / "1" / "answers.jsonl")
    assert [line["scores"] for line in lines] == [{"demonstrations": 2.0}] * 6


def test_a_run_whose_rows_are_gone_says_what_is_missing(few: Path, place: Path) -> None:
    shutil.copytree(few, place / "copy")
    (place / "copy" / "parts.jsonl").unlink()
    write_rows(place / "new.jsonl", [{"text": "some parcel"}])
    text = refused("answer", "copy", "new.jsonl")
    assert "few_shot shows rows to learn from, and there are none." in text
    assert "a run keeps its own in parts.jsonl" in text


def test_one_chats_with_the_demonstrations(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from luthier.generation.writer import Writer

    asked: list[Request] = []
    monkeypatch.setattr(Writer, "stream", lambda self, request: (asked.append(request), iter(["billing"]))[1])
    called = done("chat", few, "--json", stdin="late parcel\n")
    assert [message["content"] for message in called.json] == ["late parcel", "billing"]
    (request,) = asked
    assert [message.role for message in request.messages] == ["user", "assistant"] * 2 + ["user"]
    assert request.messages[0].content.startswith("Classify the following text.")
    assert request.messages[-1].content == "late parcel"
    assert request.decoding.max_tokens == 12


def test_a_winner_with_an_instruction_and_a_constraint_is_chatted_with_by_both(
    files: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The constraint of the settings is stored and asked with again; here nothing is generated under it."""
    from luthier.generation.writer import Writer

    asked: list[Request] = []
    run = prompted(files / "labels.csv", model, tmp_path / "told", tell_format=True)
    RunDirectory(run).update(answering=_with_choices(manifest(run)["answering"]))
    monkeypatch.setattr(Writer, "stream", lambda self, request: (asked.append(request), iter(["x"]))[1])
    chat = open_chat(str(run), precision="fp32")
    list(chat.model.stream(Request(user("late parcel"))))
    assert chat.limit == 12
    assert asked[0].messages[0].content.endswith(".\n\nlate parcel")
    assert asked[0].decoding.constraint is not None
    assert asked[0].decoding.constraint.choices == ("billing", "other")


def _with_choices(answering: dict[str, Any]) -> dict[str, Any]:
    return answering | {"strategy": answering["strategy"] | {"constraint": {"choices": ["billing", "other"]}}}


def test_where_there_is_no_room_rows_are_asked_zero_shot_and_counted(files: Path, model: Path, tmp_path: Path) -> None:
    """The tiny model's tokens are bytes; 90 hold a question and its instruction-free turns, but no demonstration."""
    heard = Heard()
    strategy = {"strategy": "few_shot", "examples": 3, "prompt_tokens": 90}
    run = prompted(files / "labels.csv", model, tmp_path / "run", heard, strategy=strategy, prove_on="choose")
    counts = manifest(run)["demonstrations"]
    assert counts == {"0": 15}
    assert heard.said == ["**15 of 15 rows had no room for a demonstration** and were asked zero-shot."]
    zero = prompted(files / "labels.csv", model, tmp_path / "zero", prove_on="choose")
    texts = [[line["text"] for line in json_lines(r / "evaluation" / "choose.jsonl")] for r in (run, zero)]
    assert texts[0] == texts[1]
    assert "demonstrations" not in manifest(zero)


def test_a_constraint_follows_from_the_task_or_is_said_to_change_nothing(
    files: Path, model: Path, tmp_path: Path
) -> None:
    heard = Heard()
    prompted(files / "dialogues.jsonl", model, tmp_path / "run", heard, constrain=True, prove_on="choose")
    assert [text for text in heard.said if "constrain" in text] == [
        "`constrain` changes nothing: question answering has neither labels nor a schema."
    ]
    assert manifest(tmp_path / "run")["answering"]["strategy"]["constraint"] == {}
    prompted(files / "labels.csv", model, tmp_path / "labels", heard, constrain=True, prove_on="choose")
    assert manifest(tmp_path / "labels")["answering"]["strategy"]["constraint"] == {
        "choices": ["billing", "other", "shipping"]
    }
    assert len(heard.said) == 1


def test_an_unknown_selection_is_refused_before_anything_is_answered(files: Path, model: Path, tmp_path: Path) -> None:
    from luthier.core.errors import ConfigError

    with pytest.raises(ConfigError, match="Unknown selection of demonstrations 'closest'"):
        prompted(
            files / "labels.csv", model, tmp_path / "run", strategy={"strategy": "few_shot", "selection": "closest"}
        )
    assert not (tmp_path / "run").exists()
