"""Measuring retention with tiny models: perplexity against transformers, resuming, and the remembered base."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from luthier.adapters.lora import Lora
from luthier.core.config import Config
from luthier.core.errors import GuardError
from luthier.core.files import read_json
from luthier.core.run import RunDirectory
from luthier.core.stopping import Paused
from luthier.core.types import Completion, Request
from luthier.data.render import Renderer
from luthier.evaluation.answering import read_answers
from luthier.evaluation.retention import passages, questions, retention, retention_of_base
from luthier.evaluation.retention.perplexity import perplexity
from luthier.generation.local import LocalModel
from luthier.models.loaded import LoadedModel
from luthier.models.readout_model import ReadoutModel

TEXTS = ["Snow fell for three days.", "A key opens a door, and nothing else.", "x" * 1500, "Yes"]


class Counting(LocalModel):
    """A local model that answers from its number of calls, at once, and counts them."""

    calls = 0

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        self.calls += 1
        assert all(request.decoding.max_tokens == 32 for request in requests)
        return [Completion("fence", "stop") for _ in requests]


Make = Callable[..., Counting]


@pytest.fixture
def counting(tiny: Callable[..., LoadedModel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Make:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))

    def make(adapter: bool = False) -> Counting:
        model = tiny()
        attached = [Lora().attach(model, "default", seed=0)] if adapter else []
        return Counting(ReadoutModel(model, attached), Renderer(model.tokenizer, 2048), "default" if adapter else None)

    return make


def new_run(folder: Path) -> RunDirectory:
    return RunDirectory.create(folder, "tune", Config())


@pytest.mark.parametrize("family", ["llama", "bloom"])
def test_perplexity_is_that_of_transformers(family: str, tiny: Callable[..., LoadedModel]) -> None:
    loaded = tiny(family)
    model = LocalModel(ReadoutModel(loaded), Renderer(loaded.tokenizer, 2048), None)
    rows = perplexity(model, TEXTS)
    expected: list[tuple[Any, int]] = []
    for text in TEXTS:
        ids = torch.tensor([loaded.tokenizer(text)["input_ids"]])
        with torch.no_grad(), loaded.attention("eager"):
            loss = loaded.module(input_ids=ids, labels=ids).loss  # mean over all but the first token
        expected.append((pytest.approx(float(loss) * (ids.shape[1] - 1), rel=1e-5), ids.shape[1] - 1))
    assert rows == expected
    assert rows[-1][1] == len("Yes") - 1


def test_a_beginning_of_sequence_token_makes_the_first_word_count(tiny: Callable[..., LoadedModel]) -> None:
    loaded = tiny()
    model = LocalModel(ReadoutModel(loaded), Renderer(loaded.tokenizer, 2048), None)
    tokenizer = loaded.tokenizer
    with_start = perplexity(model, ["Yes"])

    class Opening:
        def __call__(self, text: str) -> dict[str, list[int]]:
            return {"input_ids": [1, *tokenizer(text)["input_ids"]]}

    model.renderer.tokenizer = Opening()
    assert [n for _, n in perplexity(model, ["Yes"])] == [3]
    assert [n for _, n in with_start] == [2]


def test_broken_weights_are_seen(tiny: Callable[..., LoadedModel]) -> None:
    loaded = tiny()
    model = LocalModel(ReadoutModel(loaded), Renderer(loaded.tokenizer, 2048), None)
    with torch.no_grad():
        next(loaded.module.parameters()).fill_(math.nan)
    with pytest.raises(GuardError, match=r"probabilities that are not numbers.*precision=fp32"):
        perplexity(model, TEXTS)


def test_answers_are_kept_and_gone_on_with(counting: Make, tmp_path: Path) -> None:
    run, model = new_run(tmp_path / "run"), counting()
    found = retention(model, run, "retention_after")
    assert model.calls == 1  # 240 questions are one wave of 256
    assert found.scores.example_ids == tuple(q.id for q in questions())
    # "fence" is right for the first question only
    assert found.right_by_kind()["reading"] == (1, 48)
    assert found.share == pytest.approx(1 / 240)
    assert len(found.passages) == len(passages())
    assert len(read_answers(run.path / "evaluation" / "retention_after.jsonl")) == 240
    again = retention(model, RunDirectory.open(run.path), "retention_after")
    assert model.calls == 1
    assert again.to_json() == found.to_json()
    run.stop.set()
    with pytest.raises(Paused):
        retention(model, run, "another")


def test_the_base_is_measured_once(counting: Make, tmp_path: Path) -> None:
    first, second = new_run(tmp_path / "1"), new_run(tmp_path / "2")
    model = counting()
    found = retention_of_base(model, first)
    assert model.calls == 1
    other = counting()
    again = retention_of_base(other, second)
    assert other.calls == 0
    assert again.to_json() == found.to_json()
    answers = [(run.path / "evaluation" / "retention_before.jsonl").read_bytes() for run in (first, second)]
    assert answers[0] == answers[1]


def test_another_model_or_a_damaged_memory_is_measured_again(counting: Make, tmp_path: Path) -> None:
    found = retention_of_base(counting(), new_run(tmp_path / "1"))
    (record,) = (tmp_path / "cache" / "retention").glob("*.json")
    changed = counting()
    changed.identity = "other weights"
    retention_of_base(changed, new_run(tmp_path / "2"))
    assert changed.calls == 1
    assert len(list(record.parent.glob("*.json"))) == 2
    whole = record.read_bytes()
    cut = read_json(record)
    cut["answers"].pop()
    for number, damaged in enumerate((whole[:100], json.dumps(cut).encode()), 3):
        record.write_bytes(damaged)
        model = counting()
        again = retention_of_base(model, new_run(tmp_path / str(number)))
        assert model.calls == 1
        assert again.to_json() == found.to_json()
        assert record.read_bytes() == whole


def test_only_the_model_without_an_adapter_is_remembered(counting: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="for the model without an adapter; 'default' is on"):
        retention_of_base(counting(adapter=True), new_run(tmp_path / "run"))


def test_a_cache_that_cannot_be_written_costs_nothing(
    counting: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "file"))
    assert len(retention_of_base(counting(), new_run(tmp_path / "run")).passages) == 24
