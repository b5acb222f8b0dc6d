"""Faults that make a score say something else, planted, and seen to be stopped or said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import (
    SETTINGS,
    done,
    json_lines,
    label_rows,
    luthier,
    manifest,
    page_text,
    refused,
    write_rows,
)
from safetensors.torch import load_file, save_file

from luthier.core.types import Answer, Example, user
from luthier.data.render import Renderer
from luthier.models.load import load_model
from luthier.models.readout_model import ReadoutModel
from luthier.models.source import find_model


def test_06_answers_of_another_model_are_not_taken_for_this_ones(
    files: Path, copied: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 6: an evaluation is stopped half-way and gone on with after the weights in the folder were replaced."""
    from luthier.evaluation import answering

    monkeypatch.setattr(answering, "WAVE", 20)
    original = answering._answer_wave

    def stopping(answerer: Any, wave: Any, tick: Any) -> Any:
        answers = original(answerer, wave, tick)
        tick._run.stop.set()
        return answers

    with monkeypatch.context() as patch:
        patch.setattr(answering, "_answer_wave", stopping)
        assert luthier("evaluate", copied, files / "labels.csv", "--run", "run").code == 130
    weights = load_file(copied / "model.safetensors")
    save_file({n: t * 1.5 for n, t in weights.items()}, copied / "model.safetensors", metadata={"format": "pt"})
    text = refused("resume", "run")
    assert "holds answers of another model (identity" in text
    # Negative control: without the guard the two models' answers are scored as one's.
    with monkeypatch.context() as patch:
        patch.setattr(answering, "_require_same_answerer", lambda answerer, run, name: None)
        done("resume", "run")
    assert len(json_lines(place / "run" / "evaluation" / "answers.jsonl")) == 60


def test_07_a_prompt_is_answered_alike_alone_and_in_any_batch(model: Path) -> None:
    """Fault 7: the tokenizer says to pad left or right, or has no padding token; no answer follows from it."""
    from luthier.core.types import Decoding, Request
    from luthier.generation.local import LocalModel

    loaded = load_model(find_model(str(model)), precision="fp32")
    renderer = Renderer(loaded.tokenizer, loaded.facts.context)
    asked = LocalModel(ReadoutModel(loaded), renderer, None)
    requests = [Request(user("x" * n), Decoding(max_tokens=8)) for n in (1, 40, 7, 90, 3)]
    alone = [asked.complete([request])[0].text for request in requests]
    assert len(set(alone)) > 1
    for side, token in (("left", "<|pad|>"), ("right", "<|end|>")):
        loaded.tokenizer.padding_side, loaded.tokenizer.pad_token = side, token
        assert [found.text for found in asked.complete(requests)] == alone


def test_07_padding_at_the_wrong_side_is_another_answer(model: Path) -> None:
    """Fault 7 itself, with plain transformers: the same prompt in a batch padded on the right."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    plain = AutoModelForCausalLM.from_pretrained(model).eval()
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.padding_side = "right"
    texts = ["one", "a much longer prompt than that"]
    together = tokenizer(texts, return_tensors="pt", padding=True)
    alone = tokenizer(texts[:1], return_tensors="pt")
    settings = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    with torch.no_grad():
        first = plain.generate(**together, **settings)[0, together["input_ids"].shape[1] :]
        single = plain.generate(**alone, **settings)[0, alone["input_ids"].shape[1] :]
    assert not torch.equal(first[: len(single)], single[: len(first)])


def answers_of(texts: list[str]) -> list[Answer]:
    return [Answer(f"e{n}", text, "stop") for n, text in enumerate(texts)]


def test_22_a_score_that_is_about_form_raises_an_alarm(place: Path) -> None:
    """Fault 22: every answer is right, and none is the label alone."""
    rows = label_rows()
    write_rows(place / "rows.csv", rows)
    lines = [
        {"example_id": r["id"], "text": f"The label is {r['label'].upper()}, I think", "finish": "stop"} for r in rows
    ]
    write_rows(place / "answers.jsonl", lines)
    called = done("evaluate", "answers.jsonl", "rows.csv", "--id", "id", "--run", "run")
    assert "100.0 % of the answers have another form than asked for" in called.said
    assert "a patient reader would give 100.0 instead of 0.0" in called.said
    assert "the score is about form more than about ability" in called.said
    found = manifest(place / "run")["second_reading"]
    assert found == {"metric": "accuracy", "strict": 0.0, "patient": 1.0, "unparsed": 1.0, "same": 1 / 3}


def test_22_answers_in_the_form_asked_for_raise_none(place: Path) -> None:
    """Fault 22's negative control: labels, half of them wrong."""
    rows = label_rows()
    write_rows(place / "rows.csv", rows)
    lines = [{"example_id": r["id"], "text": ("billing", "other")[n % 2], "finish": "stop"} for n, r in enumerate(rows)]
    write_rows(place / "answers.jsonl", lines)
    called = done("evaluate", "answers.jsonl", "rows.csv", "--id", "id", "--run", "run")
    assert "patient" not in called.said
    assert manifest(place / "run")["second_reading"]["unparsed"] == 0.0


@pytest.mark.parametrize(("frequent", "alarming"), [(20, True), (52, True), (58, False)])
def test_22_one_answer_for_all_rows_raises_an_alarm(place: Path, frequent: int, alarming: bool) -> None:
    """Fault 22: a model that looks at nothing scores its answer's share; where nearly all rows are so, it may."""
    labels = ["billing"] * frequent + ["other"] * (60 - frequent)
    rows = [row | {"label": label} for row, label in zip(label_rows(), labels, strict=True)]
    write_rows(place / "rows.csv", rows)
    write_rows(place / "answers.jsonl", [{"example_id": r["id"], "text": "billing", "finish": "stop"} for r in rows])
    called = done("evaluate", "answers.jsonl", "rows.csv", "--id", "id", "--run", "run")
    found = f"100.0 % of the answers are one and the same, which is right for {frequent / 0.6:.1f} % of the rows"
    assert (found in called.said) == alarming
    assert manifest(place / "run")["second_reading"]["same"] == 1.0


def test_22_adapt_says_so_of_its_winner(files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 22, both kinds: what won says "billing" to every row, and to half of them in a sentence."""
    from luthier.evaluation import model_free
    from luthier.generation.local import LocalModel

    complete = LocalModel.complete

    def parrot(self: LocalModel, requests: Any) -> Any:
        odd = [request.messages[-1].content[-1] in "13579" for request in requests]
        texts = ["billing" if plain else "It is billing." for plain in odd]
        completed = zip(complete(self, requests), texts, strict=True)
        return [replace(completion, text=text, finish="stop") for completion, text in completed]

    for rival in (model_free.MostFrequent, model_free.Tfidf):
        monkeypatch.setattr(rival, "answer", lambda self, examples, *_: [Answer(e.id, "?", "stop") for e in examples])
    monkeypatch.setattr(LocalModel, "complete", parrot)
    called = done("adapt", files / "labels.csv", "-m", model, "--budget", "1h", "--try", "as_is")
    run = place / "runs" / "1"
    assert manifest(run)["chosen"] == "children/as_is"
    page = page_text(run)
    for said in (" ".join(called.said.replace("*", "").split()), page):
        assert "a patient reader would give 33.3 instead of 20.0: the score is about form more than" in said
        assert "100.0 % of the answers are one and the same, which is right for 33.3 % of the rows: the score" in said
    assert manifest(run)["verdict"]["form"]["same"] == 1.0


@pytest.mark.parametrize(
    ("reference", "text", "strict", "patient"),
    [
        ('{"a": 1}', 'Here it is:\n```json\n{"a": 1}\n```', 0.0, 1.0),
        ('{"a": 1}', '{"a": 2}', 0.0, 0.0),
        ("Paris", "Let me think.\nThe answer is: **Paris**.", 0.0, 1.0),
        ("Paris", "Paris", 1.0, 1.0),
    ],
)
def test_22_what_a_patient_reader_finds(reference: str, text: str, strict: float, patient: float) -> None:
    """Fault 22: JSON in a fence, an answer behind its reasoning."""
    from luthier.evaluation.metrics.exact_match import ExactMatch
    from luthier.evaluation.second_reading import read_again

    found = read_again([Example("e0", user("?"), (reference,))], answers_of([text]), ExactMatch())
    assert found is not None
    assert (found.strict, found.patient) == (strict, patient)


def test_23_tuning_that_did_nothing_is_not_called_better(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 23: updates far too small to matter; losses are logged as ever, and the verdict claims nothing."""
    done("tune", files / "labels.csv", "-m", model, "--run", "run", *SETTINGS, "training.learning_rate=1e-6",
         "precision=fp32")  # fmt: skip
    verdict = manifest(place / "run")["verdict"]
    assert verdict["verdict"] == "not shown"
    assert "No difference is shown between" in (place / "run" / "card.md").read_text()


def test_24_rows_that_were_learned_are_named_whatever_they_are_called(taught: Path, place: Path) -> None:
    """Fault 24: the rows to learn from come back under other ids, two of them with other spacing and case."""
    learned = [line for line in json_lines(taught / "parts.jsonl") if line["part"] == "tune"][:20]
    rows = [{"id": f"new{n}", "text": line["messages"][-1]["content"], "label": line["references"][0]}
            for n, line in enumerate(learned)]  # fmt: skip
    rows[0]["text"] = rows[0]["text"].upper()
    rows[1]["text"] = rows[1]["text"].replace(" ", "   ") + "!"
    rows += [{"id": f"r{n}", "text": f"something else entirely about {w}", "label": "other"}
             for n, w in enumerate(["apples", "submarines", "chess"])]  # fmt: skip
    write_rows(place / "rows.csv", rows)
    called = done("evaluate", taught, "rows.csv", "--run", "run")
    assert "20 of these 23 rows were learned from or chosen on" in called.said
    assert "its score on them is too good" in called.said
