"""The Python blocks of the pages run, in order."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import DOCS, README, all_pages, blocks

from luthier.core.run import RunDirectory

PAGES = {"python.md": (DOCS / "python.md", 10), "README.md": (README, 1)}
RUN_ELSEWHERE = {"data.md", "notebook.md", "terms.md"}  # in tests/unit/data, test_notebook.py, test_terms.py


@pytest.mark.parametrize("name", PAGES)
def test_python_blocks_run(name: str, workplace: Path) -> None:
    page, fewest = PAGES[name]
    found = blocks(page, "python")
    assert len(found) >= fewest
    (workplace / "new.csv").write_text("id,message\nn1,My kettle leaks.\n", encoding="utf-8")
    names: dict[str, object] = {"__name__": "__main__"}
    for number, block in enumerate(found, start=1):
        exec(compile(block, f"{page.name}, block {number}", "exec"), names)
    runs = [path for path in (workplace / "runs").iterdir() if RunDirectory.is_run(path)]
    assert len(runs) >= 3
    assert {RunDirectory.open(path).status for path in runs} == {"finished"}


def test_no_page_has_python_that_nothing_runs() -> None:
    with_python = {page.name for page in all_pages() if blocks(page, "python")}
    assert with_python == PAGES.keys() | RUN_ELSEWHERE


def test_the_readme_shows_ten_lines() -> None:
    (block,) = blocks(README, "python")
    assert len(block.strip().splitlines()) <= 10
