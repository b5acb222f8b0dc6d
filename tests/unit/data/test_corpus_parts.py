"""Three parts of a corpus, and windows of it: who is where, and every token a target once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luthier.core.errors import DataError
from luthier.data import store as store_module
from luthier.data.corpus import find_corpus
from luthier.data.corpus.parts import CorpusParts, divide
from luthier.data.corpus.windows import Windows, spans
from luthier.data.document_tokens import DocumentTokens
from luthier.data.store import TokenStore, open_store
from luthier.testing.tiny import byte_tokenizer

NAMES = ("tune", "choose", "confirm")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return byte_tokenizer()


@pytest.fixture
def make(tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a store of some texts; those of a dictionary are files by name."""
    monkeypatch.setattr(store_module, "cache_folder", lambda: tmp_path / "cache")

    def made(texts: list[str] | dict[str, str]) -> TokenStore:
        folder = tmp_path / f"corpus{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        named = texts if isinstance(texts, dict) else {f"{n:04}.txt": text for n, text in enumerate(texts)}
        for name, text in named.items():
            (folder / name).write_text(text)
        return open_store(find_corpus(str(folder)), DocumentTokens(tokenizer))

    return made


def texts_in(store: TokenStore, parts: CorpusParts, name: Any, tokenizer: Any) -> list[str]:
    sections = parts[name]
    first, stop = spans(store, sections)
    return [tokenizer.decode(store.tokens[a:b], skip_special_tokens=True) for a, b in zip(first, stop, strict=True)]


def test_documents_are_drawn_and_stay_where_they_are(make: Any, tokenizer: Any) -> None:
    texts = [f"document {n}" for n in range(200)]
    store = make(texts)
    parts = divide(store)
    sizes = [len(parts[name]) for name in NAMES]
    assert sum(sizes) == 200
    assert [abs(size - share) < 30 for size, share in zip(sizes, (107, 53, 40), strict=True)] == [True] * 3
    where = {text: name for name in NAMES for text in texts_in(store, parts, name, tokenizer)}
    assert len(where) == 200
    more = make([*texts, *(f"later {n}" for n in range(50))])
    again = {text: name for name in NAMES for text in texts_in(more, divide(more), name, tokenizer)}
    assert {text: again[text] for text in where} == where
    other = divide(store, seed=1)
    assert other.tune.tolist() != parts.tune.tolist()
    assert parts.notes == ()


def test_copies_never_stand_on_both_sides(make: Any, tokenizer: Any) -> None:
    store = make([f"document {n % 60}" for n in range(120)])
    parts = divide(store)
    texts = {name: texts_in(store, parts, name, tokenizer) for name in NAMES}
    for name in ("choose", "confirm"):
        assert len(texts[name]) == len(set(texts[name]))
    assert len(texts["tune"]) == 2 * len(set(texts["tune"]))  # what is learned from keeps its copies
    sets = [set(texts[name]) for name in NAMES]
    assert not (sets[0] & sets[1])
    assert not (sets[0] & sets[2])
    assert not (sets[1] & sets[2])
    held = len(texts["choose"]) + len(texts["confirm"])
    assert parts.notes[0].startswith("60 document(s) repeat an earlier one word for word")
    assert f"{held} of them are left out" in parts.notes[0]


def test_the_same_sections_in_another_order_are_another_document(make: Any) -> None:
    first, second = "a" * 2999 + "\n", "b" * 2999 + "\n"
    store = make([first + second + "c", second + first + "c", first + second + "c"])
    digests = store.document_digests
    assert len(store.sections) == 9
    assert digests[0] == digests[2] != digests[1]


def test_held_out_parts_need_not_grow(make: Any) -> None:
    store = make([f"document {n:03}" for n in range(200)])  # 14 tokens each
    parts = divide(store, held_out_tokens=140)
    assert (parts.documents["choose"], parts.documents["confirm"]) == (10, 10)
    assert parts.documents["tune"] == 180
    assert "documents beyond 140 tokens of confirm are learned from (corpus.held_out_tokens)" in parts.notes[1]
    whole = divide(store)
    assert set(parts.confirm.tolist()) < set(whole.confirm.tolist())


def test_few_documents_are_divided_by_position(make: Any, tokenizer: Any) -> None:
    book = "".join(f"line {n:05}\n" for n in range(6000))
    store = make([book])
    parts = divide(store)
    assert parts.tune[-1] < parts.choose[0] < parts.choose[-1] < parts.confirm[0]
    assert parts.confirm[-1] == len(store.sections) - 1
    sizes = np.diff(store.starts)
    shares = [sizes[parts[name]].sum() / sizes.sum() for name in NAMES]
    assert shares == pytest.approx([8 / 15, 4 / 15, 3 / 15], abs=0.04)
    assert "With 1 document(s) the text is divided by position" in parts.notes[0]
    twice = divide(make([book, "other words\n" * 900, book]))
    assert "1 document(s) repeat an earlier one word for word and are left out." in twice.notes
    assert sum(len(twice[name]) for name in NAMES) < len(store.sections) + 10
    with pytest.raises(DataError, match="too little text for three parts"):
        divide(make(["a few words"]))


def test_given_parts_are_taken_and_what_repeats_is_left_out(make: Any, tokenizer: Any) -> None:
    rows = {
        "train": [*(f"train {n}" for n in range(20)), "shared", "both"],
        "validation": ["choose 1", "choose 2", "choose 2", "both", "choose 3"],
        "test": ["confirm 1", "shared", "both", "confirm 2"],
    }
    store = make({f"{k}.jsonl": "".join(f'{{"text": "{t}"}}\n' for t in v) for k, v in rows.items()})
    parts = divide(store, given={0: "confirm", 1: "tune", 2: "choose"})  # the files' order is that of their names
    assert texts_in(store, parts, "confirm", tokenizer) == rows["test"]
    assert texts_in(store, parts, "choose", tokenizer) == ["choose 1", "choose 2", "choose 3"]
    assert texts_in(store, parts, "tune", tokenizer) == rows["train"][:20]
    assert set(parts.notes) == {
        "1 document(s) of choose repeat another of it and are left out.",
        "1 document(s) of choose repeat a held-out one and are left out.",
        "2 document(s) of tune repeat a held-out one and are left out.",
    }


def test_one_given_held_out_part_confirms(make: Any) -> None:
    rows = {"train": [f"train {n}" for n in range(90)], "test": [f"test {n}" for n in range(20)]}
    store = make({f"{k}.jsonl": "".join(f'{{"text": "{t}"}}\n' for t in v) for k, v in rows.items()})
    parts = divide(store, given={0: "confirm", 1: "tune"})
    assert parts.documents["confirm"] == 20
    assert parts.documents["tune"] + parts.documents["choose"] == 90
    assert 15 <= parts.documents["choose"] <= 45
    with pytest.raises(DataError, match="none of them is there to learn from"):
        divide(store, given={0: "confirm", 1: "choose"})


# ------------------------------------------------------------------------------------------------------------ windows


def test_every_token_is_a_target_once(make: Any) -> None:
    store = make(["a" * 50, "bc" * 3500, "d"])
    windows = Windows(store, np.arange(len(store.sections)), 33)
    seen = np.zeros(len(store.tokens), dtype=int)
    for place, batch in enumerate(windows[:]):
        (segment,) = batch.segments
        start = int(windows._first[place])
        assert segment.tokens.tolist() == store.tokens[start : start + len(segment.tokens)].tolist()
        assert 2 <= len(segment.tokens) == windows.lengths[place] <= 33
        seen[start + batch.targets.read_at.numpy() + 1] += 1
        assert batch.targets.token.tolist() == segment.tokens[1:].tolist()
    begins = store.starts[store.document_starts[:-1]]
    assert np.flatnonzero(seen != 1).tolist() == begins.tolist()  # nothing predicts what begins a document
    assert seen[begins].tolist() == [0, 0, 0]
    assert windows.targets == len(store.tokens) - 3
    assert windows.cut == 2
    assert len(Windows(store, np.arange(len(store.sections)), 8000)) == 3


def test_a_stretch_within_a_document_begins_one_token_early(make: Any) -> None:
    store = make(["ab" * 6000])
    first, stop = spans(store, np.array([1, 3]))
    assert first.tolist() == [store.starts[1] - 1, store.starts[3] - 1]
    assert stop.tolist() == [store.starts[2], store.starts[4]]
    first, stop = spans(store, np.array([0, 1]))
    assert (first.tolist(), stop.tolist()) == ([0], [store.starts[2]])


def test_sequences_are_named_by_what_they_are(make: Any) -> None:
    store = make(["a" * 50, "b" * 80])
    all_of_it = np.arange(2)
    names = {Windows(store, sections, window).digest for sections in (all_of_it, all_of_it[:1]) for window in (20, 30)}
    assert len(names) == 4
    assert Windows(store, all_of_it, 20).digest in names
