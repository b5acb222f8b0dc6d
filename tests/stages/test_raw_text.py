"""luthier tune --objective causal_lm, from documents to a proof; what the other verbs make of such a run; resuming."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from command_line import (
    _WORDS,
    done,
    json_lines,
    manifest,
    page_text,
    refused,
    require_equal_runs,
    runs_in,
    status,
    write_rows,
)
from interrupting import Forks

from luthier.core.files import read_json
from luthier.evaluation.retention import base, questions, retained
from luthier.evaluation.statistics import Scores

SETTINGS = ("--objective", "causal_lm", "corpus.window_tokens=128", "corpus.overlap_tokens=32", "training.epochs=2",
            "training.learning_rate=3e-3", "batch.sequences=4", "training.validations=2",
            "training.checkpoint_every=3", "precision=fp32")  # fmt: skip

pytestmark = pytest.mark.usefixtures("same_waves")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty short documents of a few words; never written to."""
    folder = tmp_path_factory.mktemp("corpus")
    draw = random.Random(3)
    for number in range(40):
        text = " ".join(draw.choice(_WORDS) for _ in range(12 if number else 60))
        (folder / f"{number:02}.txt").write_text(f"{text}.\n")
    (folder / "40.txt").write_text((folder / "01.txt").read_text())
    (folder / "empty.md").write_text("\n")
    return folder


@pytest.fixture(scope="module")
def lora(corpus: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("raw") / "lora"
    done("tune", corpus, "-m", model, "--run", run, *SETTINGS, "retention=false")
    return run


def test_a_run_learns_the_text_and_proves_it(lora: Path) -> None:
    assert status(lora) == "finished"
    assert {"recipe.yaml", "metrics.jsonl", "adapter", "evaluation", "report.html", "card.md", "learned.safetensors",
            "steps", "tensorboard"} <= set(runs_in(lora))  # fmt: skip
    found = manifest(lora)
    assert found["task"] == {"kind": "corpus", "reason": "raw text"}
    assert found["answering"] == {"kind": "reading"}
    assert found["data"]["rows"] == 41
    verdict = found["verdict"]
    assert (verdict["metric"], verdict["verdict"]) == ("bits_per_byte", "better")
    losses = [line["eval_total_loss"] for line in json_lines(lora / "metrics.jsonl") if "eval_total_loss" in line]
    assert losses[-1] < losses[0]
    before, after = (
        Scores.from_json(read_json(lora / "steps" / f"scores_{n}.json")) for n in ("before_confirm", "confirm")
    )
    assert after.value("bits_per_byte") < before.value("bits_per_byte")
    assert after.value("byte_perplexity") == pytest.approx(2 ** after.value("bits_per_byte"))
    assert after.value("token_perplexity") == pytest.approx(after.value("byte_perplexity"))  # a token is a byte
    assert after.value("next_token_accuracy") > before.value("next_token_accuracy")


def test_every_token_of_tune_is_learned_once_an_epoch(lora: Path) -> None:
    found = manifest(lora)
    assert found["training_tokens"]["trained"] == found["corpus"]["tokens"]["tune"] - found["data"]["parts"]["tune"]
    steps = json_lines(lora / "metrics.jsonl")
    assert sum(line["train_num_predictions"] for line in steps) == 2 * found["training_tokens"]["trained"]
    read = json_lines(lora / "evaluation" / "confirm.jsonl")
    ends = 2 * found["data"]["parts"]["confirm"]
    assert sum(line["scores"]["tokens"] for line in read) == found["corpus"]["tokens"]["confirm"] - ends


def test_the_report_and_the_card_say_what_was_done(lora: Path) -> None:
    page = page_text(lora)
    for text in ("perplexity per word", "next-token accuracy", "How it learned", "to tune",
                 "1 empty documents left out", "repeat an earlier one word for word"):  # fmt: skip
        assert text in page, text
    card = (lora / "card.md").read_text()
    assert "go on with plain text, without a chat template" in card
    assert "41 documents" in card


def test_full_tuning_asks_general_questions_before_and_after(
    corpus: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = questions()[:12]  # of 240: the words matter here, not the verdict
    for module in (base, retained):
        monkeypatch.setattr(module, "questions", lambda: few)
    called = done("tune", corpus, "-m", model, "--run", "run", *SETTINGS, "adapter.method=full", "training.epochs=1")
    assert (place / "run" / "model" / "model.safetensors").exists()
    assert "forgetting" in called.said
    assert {"retention_before.json", "forgetting.json"} <= set(runs_in(place / "run" / "steps"))
    assert "What was forgotten" in page_text(place / "run")
    assert "luthier merge" not in called.said
    done("evaluate", "run", corpus, "--run", "again")


def test_evaluate_and_compare_read_text(lora: Path, corpus: Path, model: Path, place: Path) -> None:
    called = done("evaluate", lora, corpus, "--run", "run", "--export", "csv")
    assert "41 documents are the units of intervals and tests" in called.said
    assert "sections of text were learned from or chosen on" in called.said
    assert len((place / "run" / "rows.csv").read_text().splitlines()) == 42
    (place / "new").mkdir()
    for number in range(12):
        (place / "new" / f"{number}.txt").write_text(f"red blue late early {number} broken new old.\n")
    called = done("compare", model, lora, "--data", "new", "--kind", "corpus", "--json")
    assert called.json[0]["metric"] == "bits_per_byte"
    assert called.json[0]["verdict"] == "better"
    assert "learned from" not in called.err
    called = done("compare", model, lora, "--data", "new", "--kind", "corpus", "--metrics", "word_perplexity", "--json")
    assert called.json[0]["metric"] == "word_perplexity"
    assert "exact_match does not measure raw text" in refused("evaluate", lora, "new", "--metrics", "exact_match")
    text = refused("evaluate", lora, "new", "--samples", "2", "--temperature", "1")
    assert "sampling has no effect" in text
    assert done("compare", lora, lora).said.count("difference of 0.000") == 1


def test_other_verbs_refuse_in_a_sentence(lora: Path, place: Path) -> None:
    rows = write_rows(place / "rows.csv", [{"text": "x", "label": "y"}])
    for verb in (("chat", lora), ("answer", lora, rows)):
        text = refused(*verb)
        assert "was tuned on raw text: it goes on with text and was not taught to answer" in text
    for view in ("failures", "answers"):
        assert "raw text is read and not answered" in refused("show", lora, view)
    done("show", lora, "curves")
    done("merge", lora, "--to", "merged")
    assert (place / "merged" / "model.safetensors").exists()


def test_settings_without_effect_are_refused(corpus: Path, model: Path, files: Path, place: Path) -> None:
    text = refused("tune", corpus, "-m", model, "--objective", "causal_lm", "--prompt", "{text}", "data.thoughts=mask")
    assert "these settings have no effect: data.read.prompt, data.thoughts" in text
    text = refused("tune", files / "labels.csv", "-m", model, "corpus.window_tokens=64")
    assert "corpus.* and the kind corpus have no effect with objective=sft" in text
    text = refused("tune", corpus, "-m", model)
    assert f"If this is raw text: luthier tune {corpus} --objective causal_lm" in text
    text = refused("tune", corpus, "-m", model, "--objective", "causal_lm", "corpus.overlap_tokens=2000")
    assert "overlap_tokens 2000 is not below window_tokens 1024" in text
    assert runs_in(place) == []


def test_bad_documents_are_named_before_a_model_is_read(corpus: Path, model: Path, place: Path) -> None:
    import shutil

    shutil.copytree(corpus, "corpus")
    (place / "corpus" / "07.txt").write_bytes(b"fine\n\xff\n")
    text = refused("tune", "corpus", "-m", model, *SETTINGS)
    assert "corpus/07.txt:2: the text holds bytes or escapes that are no character" in text
    assert "1 of 41 documents cannot be used" in text
    (place / "corpus" / "07.txt").write_text("other words now")
    done("tune", "corpus", "-m", model, "--run", "run", *SETTINGS, "retention=false", "training.epochs=0.2")
    (place / "corpus" / "07.txt").write_text("changed since")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_interrupted_and_resumed_equals_uninterrupted(corpus: Path, model: Path, lora: Path, place: Path) -> None:
    """Killed in the middle of its steps: the same bytes in the end."""
    forks = Forks()
    command = ("tune", corpus, "-m", model, "--run", "run", *SETTINGS, "retention=false")
    try:
        killed = forks.call("update", 5, "SIGKILL", *command, folder=place)
        assert killed.code == -9, killed
    finally:
        forks.close()
    assert "Going on after step 3 of" in done("resume", "run").said
    found = require_equal_runs(place / "run", lora)
    assert any(name.endswith("adapter_model.safetensors") for name in found)
