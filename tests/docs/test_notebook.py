"""The notebook's cells run, in order, on an extract of the tickets and a budget for rivals without a model only."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

from pages import DOCS

from luthier.core.run import RunDirectory

FILE = DOCS / "notebooks" / "adapt_in_a_notebook.ipynb"
SHORT = 'data, budget, folder = "tickets.csv", "15s", "runs"'


def notebook() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Run a cell as a notebook does; returns the value of its last line if that is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, FILE.name, "exec"), names)
    return eval(compile(ast.Expression(last.value), FILE.name, "eval"), names) if isinstance(last, ast.Expr) else None


def test_the_cells_run(workplace: Path, capsys: Any) -> None:
    names: dict[str, Any] = {}
    shown = []
    injected = 0
    for cell in notebook()["cells"]:
        if cell["cell_type"] != "code":
            continue
        shown.append(run_cell("".join(cell["source"]), names))
        if "parameters" in cell["metadata"].get("tags", []):
            run_cell(SHORT, names)  # as papermill puts parameters in: behind the cell with this tag
            injected += 1
    assert injected == 1
    printed = capsys.readouterr().out
    assert "prompt <- message, answer <- json (JSON)" in printed
    assert "60 rows" in printed
    assert "Only rivals without a model were tried" in printed
    assert "instead of" in printed
    assert "rank 8, one epoch" in printed
    runs = sorted(path.name for path in (workplace / "runs").iterdir())
    assert runs == ["adapted", "answered", "rank8"]
    assert {RunDirectory.open(workplace / "runs" / name).status for name in runs} == {"finished"}
    assert shown[-2] in ("defect", "delivery", "billing")
    assert list(names["answers"].example_id) == ["n1", "n2"]
    assert set(names["primary"].metric) == {"exact_match"}


def test_it_is_kept_without_outputs() -> None:
    found = notebook()
    assert (found["nbformat"], found["metadata"]["kernelspec"]["language"]) == (4, "python")
    cells = found["cells"]
    assert len(cells) >= 15
    assert len({cell["id"] for cell in cells}) == len(cells)
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 8
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
