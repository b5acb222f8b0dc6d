"""A model that reads text: packed windows are documents by themselves, and sums do not depend on how they are cut."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from luthier.core.errors import GuardError
from luthier.core.types import Example
from luthier.data import store as store_module
from luthier.data.corpus import find_corpus
from luthier.data.corpus.windows import Windows
from luthier.data.document_tokens import DocumentTokens
from luthier.data.render import Renderer
from luthier.data.store import TokenStore, open_store
from luthier.evaluation.reading import TextReader, text_examples
from luthier.generation.local import LocalModel
from luthier.models.readout_model import ReadoutModel, Work
from luthier.objectives.causal_lm import CausalLanguageModelling
from luthier.segments import join

TEXTS = ["Some words of a text.\n", "né " * 20, "x", "A longer one, in two sections.\n" * 120]


@pytest.fixture
def model(tiny: Callable[..., Any]) -> LocalModel:
    loaded = tiny()
    return LocalModel(ReadoutModel(loaded), Renderer(loaded.tokenizer, loaded.facts.context), None)


@pytest.fixture
def store(model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenStore:
    monkeypatch.setattr(store_module, "cache_folder", lambda: tmp_path / "cache")
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number, text in enumerate(TEXTS):
        (folder / f"{number}.txt").write_text(text)
    return open_store(find_corpus(str(folder)), DocumentTokens(model.renderer.tokenizer))


def by_itself(model: LocalModel, tokens: Any) -> torch.Tensor:
    """Log-probabilities of all tokens but the first, by the model's ordinary forward."""
    loaded = model.loaded
    ids = torch.from_numpy(np.asarray(tokens, dtype=np.int64))[None]
    with torch.no_grad(), loaded.attention(loaded.ordinary_attention):
        logits = loaded.module(input_ids=ids, use_cache=False).logits[0, :-1].double()
    return logits.log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]


def read(model: LocalModel, store: TokenStore, window: int, overlap: int) -> list[dict[str, float]]:
    examples = text_examples(store, np.arange(len(store.sections)))
    answers = list(TextReader(model, store, window, overlap).answer(examples))
    assert [answer.example_id for answer in answers] == [example.id for example in examples]
    return [dict(answer.scores) for answer in answers]


def document(store: TokenStore, number: int) -> Any:
    starts = store.starts[store.document_starts]
    return np.asarray(store.tokens[starts[number] : starts[number + 1]])


def test_packed_documents_are_documents_by_themselves(model: LocalModel, store: TokenStore) -> None:
    """The loss of packed windows is the sum over separate documents, each in the model's ordinary forward."""
    windows = Windows(store, np.arange(len(store.sections)), 2048)[:3]
    output = model.model(Work(CausalLanguageModelling(), join(windows), None))
    alone = [float(-by_itself(model, document(store, number)).sum()) for number in range(3)]
    assert float(output.totals["loss"]) == pytest.approx(sum(alone), rel=1e-6)
    assert CausalLanguageModelling().units(join(windows)) == {
        "loss": sum(len(document(store, n)) - 1 for n in range(3))
    }


def test_a_document_in_one_window_is_scored_as_by_itself(model: LocalModel, store: TokenStore) -> None:
    scores = read(model, store, 2048, 256)
    for number in range(3):
        logps = by_itself(model, document(store, number))[:-1]  # what ends the document is not of its text
        assert scores[number]["nats"] == pytest.approx(float(-logps.sum()), rel=1e-6)
        assert scores[number]["tokens"] == len(logps) == len(TEXTS[number].encode())
        assert scores[number]["bytes"] == len(TEXTS[number].encode())
        assert scores[number]["words"] == len(TEXTS[number].split())


@pytest.mark.parametrize(("window", "overlap"), [(40, 10), (64, 1), (300, 100)])
def test_windows_overlap_and_score_every_token_once(
    model: LocalModel, store: TokenStore, window: int, overlap: int
) -> None:
    scores = read(model, store, window, overlap)
    assert sum(s["tokens"] for s in scores) == sum(len(text.encode()) for text in TEXTS)
    long = document(store, 3)
    expected = 0.0
    starts = store.starts[store.document_starts[3] :]
    origin = int(starts[0])
    for begin, stop in itertools.pairwise(starts):
        begin = max(int(begin) - origin, 1)
        stop = int(stop) - origin - (int(stop) == len(store.tokens))
        for first in range(begin, stop, window - overlap):
            last = min(stop, first + window - overlap)
            start = max(0, first - overlap)
            expected -= float(by_itself(model, long[start:last])[first - start - 1 :].sum())
    assert sum(s["nats"] for s in scores[3:]) == pytest.approx(expected, rel=1e-5)


def test_hits_are_where_the_text_is_most_probable(model: LocalModel, store: TokenStore) -> None:
    ids = torch.from_numpy(document(store, 0).astype(np.int64))[None]
    with torch.no_grad(), model.loaded.attention(model.loaded.ordinary_attention):
        best = model.loaded.module(input_ids=ids, use_cache=False).logits[0, :-2].argmax(-1)
    assert read(model, store, 2048, 256)[0]["hits"] == float((best == ids[0, 1:-1]).sum())


def test_sections_of_few_documents_stand_for_themselves(store: TokenStore) -> None:
    examples = text_examples(store, np.arange(len(store.sections)))
    assert [example.cluster for example in examples] == [None] * len(examples)
    assert len({example.id for example in examples}) == len(examples)


def test_probabilities_that_are_no_numbers_stop_the_reading(model: LocalModel, store: TokenStore) -> None:
    weight = model.loaded.module.get_input_embeddings().weight
    kept = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.fill_(float("nan"))
        example = Example("0", (), fields={"section": 0})
        with pytest.raises(GuardError, match="probabilities that are not numbers"):
            list(TextReader(model, store, 64, 8).answer([example]))
    finally:
        with torch.no_grad():
            weight.copy_(kept)
