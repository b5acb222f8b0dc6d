"""The table of uses on the docs page on data: its example of each shape of rows is read for each use, or refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from luthier.core.errors import DataError
from luthier.data import read_examples
from luthier.data.dialects import DIALECTS
from luthier.data.options import ReadOptions
from luthier.data.rankings import read_rankings
from luthier.data.render import Renderer
from luthier.testing.tiny import byte_tokenizer

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("## Which rows serve which use") : PAGE.index("## Bad rows")]
FILES = dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```', SECTION, re.DOTALL | re.MULTILINE))
ROWS = {cells[1].strip("`"): cells for cells in (
    [cell.strip() for cell in line.strip("|").split("|")] for line in SECTION.splitlines() if line.startswith("| ")
) if cells[1].startswith("`")}  # fmt: skip
_ANSWERS = ("label", "summaries", "completion", "output", "answers", "chosen", "rejected", "completions", "ranks")


def written(name: str, folder: Path, content: str | None = None) -> Path:
    (folder / name).write_text(FILES[name] if content is None else content, encoding="utf-8")
    return folder / name


def unlabelled(name: str) -> str:
    """Return a file's row without its answer: no such column, or no last turn."""
    if name.endswith(".csv"):
        return "\n".join(line.rpartition(",")[0] for line in FILES[name].splitlines())
    row: dict[str, Any] = json.loads(FILES[name])
    kept = {column: value for column, value in row.items() if column not in _ANSWERS}
    turns = {column: kept[column][:-1] for column in ("messages", "conversations", "contents") if column in kept}
    return json.dumps(kept | turns)


def test_every_shape_has_an_example_and_every_dialect_is_there() -> None:
    assert ROWS.keys() == FILES.keys()
    assert len(ROWS) >= 11
    names = " ".join(cells[0] for cells in ROWS.values())
    assert [name for name in DIALECTS if DIALECTS.get(name).title not in names] == []


@pytest.mark.parametrize("name", FILES)
def test_what_is_learned_and_scored_is_what_the_table_says(name: str, tmp_path: Path) -> None:
    _, _, learned, scored, _, _ = ROWS[name]
    (example,) = read_examples(written(name, tmp_path)).examples
    turns = Renderer(byte_tokenizer(), 2048).render_turns(example)
    assert len(example.references) == (2 if scored == "the best of all" else 1)
    several = [m for m in example.messages if m.role == "assistant"]
    assert bool(several) == (name in ("messages.jsonl", "sharegpt.jsonl"))
    if several:
        assert learned == "every assistant turn"
        assert turns[-1].trained > len(example.reference.encode()) + 1
    else:
        assert turns[-1].trained == len(example.reference.encode()) + 1  # with its end of turn
    if "parcel" in FILES[name] and name not in ("columns.csv", "alpaca.jsonl"):
        assert example.reference == "It arrives tomorrow."


@pytest.mark.parametrize("name", FILES)
def test_rows_without_answers_are_read_as_the_table_says(name: str, tmp_path: Path) -> None:
    labelled = read_examples(written(name, tmp_path)).examples[0]
    dataset = read_examples(written(name, tmp_path, unlabelled(name)), need_answers=False)
    (example,) = dataset.examples
    alike = dataset.mapping.dialect == read_examples(written(name, tmp_path)).mapping.dialect
    assert ROWS[name][4] == ("yes" if alike else "as columns")
    assert example.references == ()
    assert example.messages == labelled.messages


@pytest.mark.parametrize("name", FILES)
def test_preferences_are_what_the_table_says(name: str, tmp_path: Path) -> None:
    path = written(name, tmp_path)
    if ROWS[name][5] == "–":
        with pytest.raises(DataError, match="holds no preferences"):
            read_rankings(path)
    else:
        (ranking,) = read_rankings(path)
        assert ranking.completions[ranking.ranks.index(1)] == "It arrives tomorrow."


def test_a_completion_marked_as_bad_is_not_learned(tmp_path: Path) -> None:
    good = FILES["marked.jsonl"]
    both = good + good.replace("true", "false").replace("It arrives tomorrow.", "No idea.")
    dataset = read_examples(written("marked.jsonl", tmp_path, both), ReadOptions(skip_bad=True))
    assert [example.reference for example in dataset.examples] == ["It arrives tomorrow."]
