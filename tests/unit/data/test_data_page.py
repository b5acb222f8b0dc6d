"""The code blocks of the docs page on data run, one after the other, and its table of tasks is the code's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from luthier.core.types import Example, user
from luthier.data.tasks import KINDS, guess_task

PAGE = Path(__file__).resolve().parents[3] / "docs" / "data.md"


def test_code_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 6
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)


def test_the_table_of_tasks_is_what_the_code_does() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for kind in KINDS:
        task = guess_task([Example("a", user("x"), ('{"a": 1}',))], kind=kind)
        secondary = ", ".join(f"`{name}`" for name in task.secondary)
        row = next(line for line in text.splitlines() if line.startswith(f"| {kind} |"))
        assert row.endswith(f"| `{task.metric}` | {secondary} | {task.recommended_examples:,} |")
