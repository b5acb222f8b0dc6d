"""Rows on disk: the examples that reading in memory gives, parts of bounded size, memory that does not grow."""

from __future__ import annotations

import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luthier.core.errors import DataError
from luthier.core.types import Example, user
from luthier.data import read_examples, row_parts
from luthier.data.cached import cached
from luthier.data.formats import pieces
from luthier.data.held_out import HeldOutRows
from luthier.data.mapping import PartName
from luthier.data.options import ReadOptions
from luthier.data.overlap import remove_overlap
from luthier.data.render import Renderer
from luthier.data.rendered_store import RenderedStore, open_rendered
from luthier.data.row_parts import divide_rows
from luthier.data.row_store import RowStore, StoredExamples, is_large, open_rows, stored_dataset
from luthier.testing.tiny import byte_tokenizer
from luthier.training.source import InMemory

WORDS = [f"{a}{b}" for a in ("ka", "lo", "mi", "nu", "pe", "ri") for b in ("ba", "do", "fe", "gi", "hu", "sa", "to")]


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pieces, "PIECE_BYTES", 2000)


def rows(count: int = 200, words: int = 12, seed: int = 1) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [
        {"text": " ".join(draw.choice(WORDS) for _ in range(words)), "label": draw.choice("abc"), "n": number}
        for number in range(count)
    ]


def write(path: Path, values: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


def test_examples_are_those_of_memory(tmp_path: Path) -> None:
    values = rows(60) + [{"text": "the same", "label": label, "n": 1} for label in "bcab"]
    file = write(tmp_path / "rows.jsonl", values)
    memory, store = read_examples(file), open_rows(file)
    dataset = stored_dataset(store, str(file))
    assert list(dataset.examples) == list(memory.examples)
    assert [example.id.partition("-")[2] for example in dataset.examples[60:]] == ["2", "4", "", "3"]
    assert dataset.samples == memory.samples
    assert (dataset.digest, dataset.description) == (memory.digest, memory.description)
    assert dataset.mapping == memory.mapping
    with open(file, "rb") as opened:
        assert len(list(pieces.read_pieces(file, opened))) > 2
    assert store.rows.take(np.array([3, 1]))[0] == memory.examples[3]
    assert store.rows.evenly(3) == tuple(memory.examples[i] for i in (0, 32, 63))


def test_bad_rows_are_those_of_memory_and_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = rows(90)
    for number in (4, 50, 80):
        values[number]["label"] = ""
    file = write(tmp_path / "rows.jsonl", values)
    with pytest.raises(DataError, match="3 of 90 rows cannot be used") as caught:
        open_rows(file)
    memory = read_examples(file, ReadOptions(skip_bad=True))
    assert caught.value.rows == memory.bad_rows
    store = open_rows(file, ReadOptions(skip_bad=True))
    assert list(store.rows) == list(memory.examples)
    monkeypatch.setattr("luthier.data.row_store.MOST_BAD_ROWS", 2)
    file.write_text(file.read_text() + "{\n")
    dataset = stored_dataset(open_rows(file, ReadOptions(skip_bad=True)), str(file))
    assert (len(dataset.bad_rows), dataset.more_bad_rows) == (2, 2)


def test_an_id_that_comes_again_is_a_bad_row_wherever_it_stands(tmp_path: Path) -> None:
    values = [{"id": f"r{n}", **row} for n, row in enumerate(rows(90))]
    values[70]["id"] = values[80]["id"] = "r5"
    file = write(tmp_path / "rows.jsonl", values)
    options = ReadOptions(id="id", skip_bad=True)
    memory, store = read_examples(file, options), open_rows(file, options)
    assert store.bad == memory.bad_rows
    assert list(store.rows) == list(memory.examples)
    assert open_rows(file).mapping.id is None  # a later row may repeat one: no column is taken for an id unasked


def test_a_folder_comes_in_parts(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for seed, name in enumerate(("train", "validation", "test")):
        write(folder / f"{name}.jsonl", rows(60 if name == "train" else 10, seed=seed))
    memory, store = read_examples(folder), open_rows(folder)
    assert (store.digest, store.description) == (memory.digest, memory.description)
    parts = divide_rows(store)
    names: tuple[PartName, ...] = ("tune", "choose", "confirm")
    for name in names:
        assert [e.id for e in parts[name]] == [e.id for e in memory.examples if memory.given[e.id] == name]


def test_a_column_split_of_a_file_in_order_is_seen(tmp_path: Path) -> None:
    values = [{**row, "split": "train" if n < 100 else "dev" if n < 120 else "test"} for n, row in enumerate(rows(140))]
    parts = divide_rows(open_rows(write(tmp_path / "rows.jsonl", values)))
    assert parts.sizes == {"tune": 100, "choose": 20, "confirm": 20}


def test_parts_are_bounded_and_what_is_beyond_is_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "rows.jsonl", rows(600))
    store = open_rows(file)
    free = divide_rows(store).sizes
    assert free["tune"] == pytest.approx(320, abs=50)
    assert free["choose"] == pytest.approx(160, abs=40)
    monkeypatch.setattr(row_parts, "MOST_HELD_OUT", 40)
    parts = divide_rows(store)
    assert parts.sizes == {"tune": 520, "choose": 40, "confirm": 40}
    assert len({e.id for e in parts.all_rows}) == 600
    assert {e.id for e in divide_rows(store, seed=1).confirm} != {e.id for e in parts.confirm}
    assert [e.line for e in parts.tune] == sorted(e.line for e in parts.tune)


def test_clusters_stay_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_parts, "MOST_HELD_OUT", 40)
    values = [{**row, "who": f"c{n % 50}"} for n, row in enumerate(rows(500))]
    parts = divide_rows(open_rows(write(tmp_path / "rows.jsonl", values), ReadOptions(cluster="who")))
    found = [{e.cluster for e in part} for part in (parts.tune, parts.choose, parts.confirm)]
    assert sum(map(len, found)) == len(set.union(*found)) == 50
    assert parts.sizes["confirm"] == parts.sizes["choose"] == 40


def test_a_given_part_that_is_too_large_is_drawn_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_parts, "MOST_HELD_OUT", 15)
    values = [{**row, "split": "train" if n < 100 else "test"} for n, row in enumerate(rows(140))]
    parts = divide_rows(open_rows(write(tmp_path / "rows.jsonl", values)))
    assert parts.sizes["confirm"] == 15
    assert all(e.line > 100 for e in parts.confirm)
    assert all(e.line <= 100 for e in (*parts.tune, *parts.choose))
    assert any("Of 40 rows to confirm, 15 were drawn; the others are left out." in note for note in parts.notes)
    assert any("are set aside to choose on; test confirms." in note for note in parts.notes)


def test_rows_that_repeat_held_out_rows_are_found_as_in_memory() -> None:
    draw = random.Random(4)
    held = [row["text"] for row in rows(80, words=10, seed=2)]
    tune = [row["text"] for row in rows(200, words=10, seed=3)] + ["", "x"]
    for text in held:
        words = text.split()
        for changes in (0, 1, 1, 2, 3):
            changed = list(words)
            for _ in range(changes):
                changed[draw.randrange(len(changed))] = draw.choice(WORDS)
            tune.append(" ".join(changed))
    held_out = [Example(f"h{n}", user(text)) for n, text in enumerate(held)]
    learned = [Example(f"t{n}", user(text)) for n, text in enumerate(tune)]
    index = HeldOutRows(held_out)
    found = {example.id for example in learned if index.repeated_by(example)}
    assert found == {row.id for row, _ in remove_overlap(learned, held_out).removed}
    assert 80 < len(found) < 400


def test_the_size_of_all_files_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    sizes = [len(write(folder / f"{n}.jsonl", rows(10, seed=n)).read_bytes()) for n in range(2)]
    assert not is_large(folder)
    monkeypatch.setattr("luthier.data.row_store.LARGE_BYTES", sum(sizes))
    assert is_large(folder)
    assert not is_large(folder / "0.jsonl")


def test_a_folder_of_the_cache_is_made_again_if_it_is_broken(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.jsonl", rows(50))
    store = open_rows(file)
    expected = {path.name: path.read_bytes() for path in store.folder.iterdir()}
    assert set(expected) == {"rows.jsonl", "index.bin", "store.json"}
    for name in expected:
        (store.folder / name).write_bytes(expected[name][:-3] + b"xyz")
        assert {path.name: path.read_bytes() for path in open_rows(file).folder.iterdir()} == expected
    with pytest.raises(DataError):
        cached(tmp_path / "other" / "key", lambda folder: (_ for _ in ()).throw(DataError("x")))
    assert list((tmp_path / "other").iterdir()) == []


# ------------------------------------------------------------------------------------------------------- rendered


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(byte_tokenizer(), 512)


def rendered(store: RowStore, renderer: Renderer) -> RenderedStore:
    return open_rendered(store.rows, renderer)


def test_rendered_rows_are_those_of_memory(tmp_path: Path, renderer: Renderer) -> None:
    values = rows(40)
    values[3]["label"] = "a long label"
    store = open_rows(write(tmp_path / "rows.jsonl", values))
    found = rendered(store, renderer)
    memory = [sequence for example in store.rows for sequence in renderer.render_turns(example)]
    assert isinstance(found.tokens, np.memmap)
    assert InMemory(found[:]).digest == InMemory([row.batch() for row in memory]).digest
    assert found.lengths.tolist() == [len(row) for row in memory]
    assert (found.trained, found.ends) == (sum(row.trained for row in memory), 40)
    assert [found.name_of(n) for n in range(40)] == [row.example_id for row in memory]
    assert all((a == b.tokens).all() for a, b in zip(found.token_rows(), memory, strict=True))
    assert found.longest_answer == len("a long label") + 1
    other = Renderer(renderer.tokenizer, 511)
    digests = {found.digest, rendered(store, other).digest, open_rendered(store.rows[:39], renderer).digest}
    assert len(digests) == 3


def test_rows_that_the_model_cannot_take_are_counted(tmp_path: Path, renderer: Renderer) -> None:
    values = rows(40)
    values[2]["text"] = values[30]["text"] = "x" * 600
    store = open_rows(write(tmp_path / "rows.jsonl", values))
    with pytest.raises(DataError, match="2 of 40 rows cannot be used with this model:\n  line 3 has 6") as caught:
        rendered(store, renderer)
    assert "line 31" in str(caught.value)
    assert list((tmp_path / "cache" / "rendered").iterdir()) == []


def test_memory_does_not_grow_with_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renderer: Renderer
) -> None:
    """Four times as many rows take hardly more: their index, but neither their text nor their tokens."""
    monkeypatch.setattr(pieces, "PIECE_BYTES", 1 << 14)
    monkeypatch.setattr(row_parts, "MOST_HELD_OUT", 15)
    monkeypatch.setattr("luthier.data.cached.sha256_file", lambda path: "as it was")  # reads blocks of a MiB
    monkeypatch.setattr("luthier.data.places._BLOCK_BYTES", 1 << 14)

    def peak(count: int) -> tuple[int, int]:
        values = [{"text": f"{n} {WORDS[n % 42] * 200}", "label": "ab"[n % 2]} for n in range(count)]
        file = write(tmp_path / f"{count}.jsonl", values)
        tracemalloc.start()
        parts = divide_rows(open_rows(file))
        assert isinstance(parts.tune, StoredExamples)
        found = open_rendered(parts.tune, Renderer(renderer.tokenizer, 2048))
        assert len(found) > count / 2
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most, file.stat().st_size

    peak(100)  # what is imported and kept once
    (small, _), (large, size) = peak(120), peak(480)
    assert size > 350_000
    assert large - small < 100_000
