"""The list of mutants does not rot: every change can still be made, and the tests that should notice are there."""

from __future__ import annotations

import ast
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

import luthier

ROOT = Path(__file__).resolve().parents[2]


def load() -> ModuleType:
    path = ROOT / "benchmarks" / "mutants" / "mutants.py"
    spec = importlib.util.spec_from_file_location("mutants_of_the_code", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


MUTANTS = load().MUTANTS


def test_every_change_can_still_be_made_and_changes_what_the_code_does() -> None:
    checked = 0
    for mutant in MUTANTS:
        assert "\n" not in mutant.old + mutant.new, mutant.name
        assert (Path(luthier.__file__).parents[1] / mutant.file.removeprefix("src/")).is_file(), mutant.name
        before = (ROOT / mutant.file).read_text(encoding="utf-8")
        assert ast.dump(ast.parse(mutant.applied(ROOT))) != ast.dump(ast.parse(before)), mutant.name
        compile(mutant.applied(ROOT), mutant.file, "exec")
        checked += 1
    assert checked >= 12
    assert len({mutant.name for mutant in MUTANTS}) == checked


def test_the_tests_that_should_notice_are_there() -> None:
    checked = 0
    for mutant in MUTANTS:
        for test in mutant.tests:
            file, _, name = test.partition("::")
            functions = {node.name for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body
                         if isinstance(node, ast.FunctionDef)}  # fmt: skip
            assert not name or name in functions, f"{mutant.name}: {test}"
            checked += 1
    assert checked >= len(MUTANTS)


@pytest.mark.parametrize(("old", "found"), [("no such text", 0), ("import", 13)])
def test_a_change_that_cannot_be_made_is_named(tmp_path: Path, old: str, found: int) -> None:
    (tmp_path / "a.py").write_text("import os\n" * 13)
    mutant = replace(MUTANTS[0], name="shift", file="a.py", old=old)
    with pytest.raises(ValueError, match=rf"Mutant shift: a\.py holds its old text {found} times, not once: '{old}'"):
        mutant.applied(tmp_path)
