"""The page on judges: its commands run, on small files and with a tiny model, and its rubrics are rubrics."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pages import DOCS, blocks, console_commands, text_of

from luthier.cli.main import app
from luthier.evaluation.judges.rubric import Rubric, read_rubric

PAGE = DOCS / "judge.md"


def write(path: Path, rows: Sequence[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the page speaks of."""
    monkeypatch.chdir(tmp_path)
    labels = ("tie", 1, 2)
    write(
        Path("pairs.jsonl"),
        [
            {"instruction": f"Question {i}?", "response1": f"one {i}", "response2": "two", "label": labels[i % 3]}
            for i in range(6)
        ],
    )
    write(Path("questions.jsonl"), [{"id": f"q{i}", "prompt": f"Question {i}?"} for i in range(4)])
    for name in ("before", "after"):
        write(Path(f"{name}.jsonl"), [{"example_id": f"q{i}", "text": f"{name} {i}"} for i in range(4)])
    Path("rubric.yaml").write_text(blocks(PAGE, "yaml")[0], encoding="utf-8")
    Path("rubric.md").write_text(blocks(PAGE, "markdown")[0], encoding="utf-8")
    return tmp_path


def test_the_pages_commands_run(
    place: Path, tiny_folder: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    commands = console_commands(PAGE)
    assert len(commands) == 3
    for command in commands:
        words = shlex.split(command.line.replace("smollm2-135m-instruct", str(tiny_folder("llama"))))
        with pytest.raises(SystemExit) as end:
            app(words[1:])
        assert end.value.code in (0, None), capsys.readouterr().err
    assert "This judge agrees with people no better than chance: do not decide by it" in " ".join(
        capsys.readouterr().out.split()
    )


def test_the_pages_rubrics_can_be_read(place: Path) -> None:
    in_yaml, in_markdown = read_rubric(Path("rubric.yaml")), read_rubric(Path("rubric.md"))
    assert [c.name for c in in_yaml.criteria] == [c.name for c in in_markdown.criteria] == ["tone", "next step"]
    assert in_markdown.instructions == in_yaml.instructions
    assert in_yaml.criteria[1].weight == 2
    assert [key for key in Rubric.model_fields if f"| `{key}` |" not in text_of(PAGE)] == []
