"""The quickstart's files are read as the page says, and its verdicts are those that adapt gives."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from pages import DOCS, ROOT, console_commands, text_of

from luthier.data import ReadOptions, read_examples
from luthier.evaluation.statistics import smallest_difference

PAGE = DOCS / "quickstart.md"
FILES = dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```', text_of(PAGE), re.DOTALL | re.MULTILINE))
CHECKS = {command.line.split()[3]: command for command in console_commands(PAGE) if command.printed}


def options(line: str) -> ReadOptions:
    words = shlex.split(line)[4:]
    return ReadOptions(**{name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)})


def test_every_file_is_checked_and_every_check_has_its_file() -> None:
    assert len(FILES) >= 4
    assert FILES.keys() == CHECKS.keys()


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_understood_as_shown(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    dataset = read_examples(tmp_path / name, options(CHECKS[name].line))
    assert [dataset.mapping.explain()] == CHECKS[name].printed
    assert len(dataset.bad_rows) == 0
    assert len(dataset) == len(FILES[name].splitlines()) - name.endswith(".csv")


def test_several_answers_and_clusters_arrive(tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    talk = read_examples(tmp_path / "talks.jsonl", options(CHECKS["talks.jsonl"].line)).examples[0]
    assert talk.references == ("Bob wants tea at four.", "Ann and Bob will have tea at four.")
    assert talk.prompt.startswith("Summarize this dialogue.\n\nAnn: Tea?\nBob")
    claims = read_examples(tmp_path / "claims.csv", options(CHECKS["claims.csv"].line)).examples
    assert [claim.cluster for claim in claims] == ["C17", "C17", "C20"]
    assert read_examples(tmp_path / "chats.jsonl").examples[1].reference == "First floor, left."


def test_the_figures_on_rows_are_the_codes() -> None:
    text = " ".join(text_of(PAGE).split())
    assert "46 rows can show a difference of about 17 points" in text
    assert "show differences of 6 to 9 points" in text
    assert [round(100 * (smallest_difference(rows) or 0)) for rows in (46, 500, 200)] == [17, 6, 9]


def test_the_verdicts_begin_as_the_page_says() -> None:
    folder = ROOT / "src" / "luthier" / "stages" / "adapt"
    source = (folder / "screen.py").read_text(encoding="utf-8")
    adaptations = (folder / "candidates.py").read_text(encoding="utf-8")
    begins = re.findall(r'^\| "([^"]+)" \|', text_of(PAGE), re.MULTILINE)
    assert len(begins) == 6
    assert "{winner.candidate.adaptation} helped: " in source
    for begin in begins:
        assert begin in source or f'"{begin.removesuffix(" helped")}"' in adaptations, begin
