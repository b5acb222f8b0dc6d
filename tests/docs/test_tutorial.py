"""The tutorial's commands run as they stand on the page, and print what it shows."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pages import DOCS, ROOT, Command, blocks, console_commands, text_of, write_extract
from typer.testing import CliRunner

from luthier.cli.main import app
from luthier.core.files import read_lines
from luthier.core.run import RunDirectory
from luthier.stages import adapt
from luthier.stages.adapt.choosing import Choice, Entry

PAGE = DOCS / "tutorial.md"


@pytest.fixture
def lora_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose LoRA, as on the real model: a random one of 30,000 parameters would win nothing in seconds."""

    def choose(entries: Sequence[Entry], metric: str) -> Choice:
        by_name = {entry.candidate.name: entry for entry in entries}
        return Choice(by_name["lora"], (by_name["told_format"], by_name["tfidf"]))

    monkeypatch.setattr(adapt, "choose", choose)


def run(command: Command, folder: Path) -> str:
    """Run one line of the page; returns what it prints."""
    program, *arguments = shlex.split(command.line)
    if program == "cp":
        assert arguments == ["examples/data/support_tickets/tickets.csv", "."]
        shutil.copy(ROOT / arguments[0], folder)
        return ""
    assert program == "luthier", f"the test cannot run: {command.line}"
    result = CliRunner().invoke(app, arguments, input="".join(f"{line}\n" for line in command.typed))
    assert result.exit_code == 0, f"{command.line}\n{result.output}\n{result.exception!r}"
    return result.stdout


def words(text: str) -> str:
    """Even out line breaks, which depend on the terminal's width."""
    return " ".join(text.split())


@pytest.mark.usefixtures("lora_wins")
def test_every_command_runs_and_prints_what_is_shown(workplace: Path) -> None:
    commands = console_commands(PAGE)
    assert len(commands) >= 11
    (new_rows,) = blocks(PAGE, "csv")
    (workplace / "new.csv").write_text(new_rows, encoding="utf-8")
    printed: dict[str, str] = {}
    for command in commands:
        printed[command.line] = run(command, workplace)
        assert words("\n".join(command.printed)) in words(printed[command.line])
        if command.line == "luthier data check tickets.csv":  # on all rows, as shown; the rest on an extract
            assert command.printed
            write_extract(workplace / "tickets.csv")

    assert not (workplace / "runs" / "3").exists(), "--plan left a run, or the page's numbers are wrong"
    answers = list(read_lines(workplace / "runs" / "2" / "answers.jsonl"))
    assert [answer["example_id"] for answer in answers] == ["n1", "n2"]
    assert {"text", "finish"} <= answers[0].keys()
    adapted = RunDirectory.open(workplace / "runs" / "1")
    assert adapted.manifest["chosen"] == str(Path("children", "lora"))
    assert (workplace / "runs" / "1" / "report.html").exists()
    assert (workplace / "runs" / "rank32" / "adapter" / "adapter_config.json").exists()
    assert (workplace / "runs" / "rank32" / "card.md").exists()
    assert (workplace / "models" / "tickets" / "model.safetensors").exists()
    rows = re.findall(r"^\| `(\w+)` \|", text_of(PAGE), re.MULTILINE)
    screen = next(text for line, text in printed.items() if line.startswith("luthier adapt") and "--plan" not in line)
    assert len(rows) >= 7
    assert [row for row in rows if not re.search(rf"^{row}\s", screen, re.MULTILINE)] == []


def test_the_page_names_the_verbs_of_a_first_day() -> None:
    lines = [command.line for command in console_commands(PAGE)]
    for verb in ("data check", "data preview", "adapt", "answer", "chat", "tune", "compare", "resume", "merge"):
        assert any(line.startswith(f"luthier {verb} ") for line in lines), verb


def test_the_sample_of_the_preview_is_the_first_row(workplace: Path) -> None:
    from luthier.data.sources import read_examples

    example: Any = read_examples(workplace / "tickets.csv").examples[0]
    shown = next(words(block) for block in blocks(PAGE, "text") if block.startswith("line 2:"))
    assert words(example.prompt) in shown
    assert f"[[{example.reference}<|im_end|>]]" in shown
