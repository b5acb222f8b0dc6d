"""The token store: it holds what tokenising in memory gives, is whole or made again, and memory is bounded."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luthier.core.errors import DataError, ModelError
from luthier.core.files import read_json
from luthier.data import store as store_module
from luthier.data.corpus import find_corpus
from luthier.data.document_tokens import DocumentTokens
from luthier.data.store import TokenStore, open_store
from luthier.testing.tiny import byte_tokenizer

TEXTS = ["First document.\nWith lines.\n" * 300, "ünï <|end|> text", "third"]
END = 2


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return byte_tokenizer()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus of three texts, and a cache of its own."""
    monkeypatch.setattr(store_module, "cache_folder", lambda: tmp_path / "cache")
    place = tmp_path / "corpus"
    place.mkdir()
    for number, text in enumerate(TEXTS):
        (place / f"{number}.txt").write_text(text, encoding="utf-8")
    return place


def opened(folder: Path, tokenizer: Any, **options: Any) -> TokenStore:
    return open_store(find_corpus(str(folder)), DocumentTokens(tokenizer), **options)


def plain(tokenizer: Any, text: str) -> list[int]:
    return [END, *tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"], END]


def test_the_store_holds_what_tokenising_in_memory_gives(folder: Path, tokenizer: Any) -> None:
    store = opened(folder, tokenizer)
    assert store.tokens.tolist() == [token for text in TEXTS for token in plain(tokenizer, text)]
    assert store.tokens.dtype == np.uint16
    assert isinstance(store.tokens, np.memmap)
    assert store.documents == 3
    assert store.document_starts.tolist() == [0, 3, 4, 5]
    assert store.document_tokens.tolist() == [len(plain(tokenizer, text)) for text in TEXTS]
    assert store.sections["bytes"].tolist()[3:] == [len(TEXTS[1].encode()), 5]
    assert int(store.sections["bytes"][:3].sum()) == len(TEXTS[0].encode())
    assert int(store.sections["words"][:3].sum()) == len(TEXTS[0].split()) == 1200
    assert store.starts[-1] == len(store.tokens)


def test_a_special_token_in_a_text_is_text(folder: Path, tokenizer: Any) -> None:
    store = opened(folder, tokenizer)
    of_second = store.tokens[store.starts[3] : store.starts[4]]
    assert np.flatnonzero(of_second == END).tolist() == [0, len(of_second) - 1]  # its two ends, not the middle
    assert tokenizer.decode(of_second[1:-1]) == TEXTS[1]


def test_pieces_are_the_tokens_of_the_whole(tmp_path: Path) -> None:
    """With a byte-level tokenizer that merges, and one that puts a space before whatever it is given."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    text = "the red door was open\n\nthe door: 12 red doors\n  open the doors " * 200
    as_sentencepiece = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    for normalizer, pre_tokenizer in (
        (normalizers.NFC(), pre_tokenizers.ByteLevel(add_prefix_space=False)),
        (as_sentencepiece, pre_tokenizers.Split("\n", "isolated")),
    ):
        backend = Tokenizer(models.BPE(unk_token="?"))
        backend.normalizer = normalizer
        backend.pre_tokenizer = pre_tokenizer
        trainer = trainers.BpeTrainer(
            vocab_size=400, special_tokens=["?", "<e>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        )
        backend.train_from_iterator([text], trainer)
        tokens = DocumentTokens(PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<e>"))
        (tmp_path / "a.txt").write_text(text)
        store = open_store(find_corpus(str(tmp_path / "a.txt")), tokens)
        assert len(store.sections) > 3
        whole = tokens.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert len(whole) < len(text) / 2
        assert store.tokens[1:-1].tolist() == whole


def test_a_store_is_found_again_and_made_again_if_it_is_broken(
    folder: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    original = store_module._write
    monkeypatch.setattr(store_module, "_write", lambda *a: (made.append(a[3]), original(*a))[1])
    store = opened(folder, tokenizer)
    assert opened(folder, tokenizer).key == store.key
    assert len(made) == 1
    expected = {file.name: file.read_bytes() for file in store.folder.iterdir()}
    tokens = store.folder / "tokens.bin"
    for spoil in (
        lambda: tokens.write_bytes(expected["tokens.bin"][:-2]),
        lambda: tokens.write_bytes(b"\x09" + expected["tokens.bin"][1:]),  # as long as it was
        (store.folder / "sections.bin").unlink,
        lambda: (store.folder / "store.json").write_text("{"),
    ):
        spoil()
        again = opened(folder, tokenizer)
        assert {file.name: file.read_bytes() for file in again.folder.iterdir()} == expected
    assert len(made) == 5


def test_another_text_tokenizer_or_column_is_another_store(folder: Path, tokenizer: Any) -> None:
    keys = {opened(folder, tokenizer).key}
    other = byte_tokenizer()
    other.add_tokens(["First"])
    keys.add(opened(folder, other).key)
    (folder / "2.txt").write_text("other")
    keys.add(opened(folder, tokenizer).key)
    assert len(keys) == 3


def test_nothing_is_left_of_a_store_that_could_not_be_finished(folder: Path, tokenizer: Any, tmp_path: Path) -> None:
    (folder / "3.txt").write_bytes(b"\x00\x01binary")
    with pytest.raises(DataError, match="binary file"):
        opened(folder, tokenizer)
    assert list((tmp_path / "cache" / "tokens").iterdir()) == []


def test_bad_documents_stop_the_reading_or_are_left_out_by_choice(folder: Path, tokenizer: Any) -> None:
    (folder / "1.txt").write_bytes(b"begins well\n" * 5000 + b"\xff\n")
    with pytest.raises(DataError, match=r"1 of 3 documents cannot be used. .*--skip-bad") as caught:
        opened(folder, tokenizer)
    assert f"{folder / '1.txt'}:5001: the text holds bytes" in str(caught.value)
    store = opened(folder, tokenizer, skip_bad=True)
    assert store.tokens.tolist() == [token for text in TEXTS[::2] for token in plain(tokenizer, text)]
    assert (store.documents, store.unusable) == (2, 1)
    assert set(store.sections["file"].tolist()) == {0, 2}
    assert read_json(store.folder / "store.json")["unusable"] == 1


def test_a_corpus_without_text_is_refused(tmp_path: Path, tokenizer: Any) -> None:
    (tmp_path / "a.txt").write_text(" \n ")
    with pytest.raises(DataError, match=r"holds no text \(1 documents are empty\)"):
        open_store(find_corpus(str(tmp_path / "a.txt")), DocumentTokens(tokenizer))


def test_what_begins_and_ends_documents() -> None:
    from types import SimpleNamespace

    def asked(names: dict[str, int], eos: int | None, bos: int | None, adds: bool) -> DocumentTokens:
        class Fake(SimpleNamespace):
            def __call__(self, text: str) -> dict[str, list[int]]:
                return {"input_ids": [bos, 9] if adds and bos is not None else [9]}

        special = {i: SimpleNamespace(content=name, special=True) for name, i in names.items()}
        return DocumentTokens(
            Fake(get_vocab=lambda: names, added_tokens_decoder=special, eos_token_id=eos, bos_token_id=bos)
        )

    chat = asked({"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2}, 2, 1, False)
    assert (chat.beginning, chat.ending) == ((0,), (0,))  # not the end of a turn
    llama = asked({"<|begin_of_text|>": 5, "<|end_of_text|>": 6, "<|eot_id|>": 7}, 7, 5, True)
    assert (llama.beginning, llama.ending) == ((5,), (6,))
    plain_one = asked({"</s>": 3}, 3, None, False)
    assert (plain_one.beginning, plain_one.ending) == ((3,), (3,))
    with pytest.raises(ModelError, match="no token that ends a document"):
        _ = asked({}, None, None, False).end


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One text and one table, each larger than what is ever allocated by Python and NumPy together."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    monkeypatch.setattr(store_module, "_BATCH_CHARACTERS", 1 << 14)
    backend = Tokenizer(models.WordLevel({"?": 0, "<e>": 1, "lorem": 2, "ipsum": 3}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens = DocumentTokens(PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<e>"))
    (tmp_path / "book.txt").write_text("lorem ipsum dolor sit amet\n" * 60_000)  # 1.6 MB
    (tmp_path / "rows.jsonl").write_text('{"text": "' + "lorem ipsum dolor " * 100 + '"}\n', newline="")
    line = (tmp_path / "rows.jsonl").read_text()
    (tmp_path / "rows.jsonl").write_text(line * 750)  # 1.4 MB
    corpus = find_corpus(str(tmp_path))
    size = sum(Path(str(file)).stat().st_size for file in corpus.files)
    assert size > 2_800_000
    tracemalloc.start()
    try:
        store = open_store(corpus, tokens)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert store.documents == 751
    assert len(store.tokens) == 60_000 * 5 + 2 + 750 * 302
    assert peak < 2_500_000 < size  # what it is does not depend on the size: blocks of files, batches of sections
