"""The list of mutants does not rot: every change can still be made, and the tests that should notice are there."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from benchmark_files import load

import luthier

ROOT = Path(__file__).resolve().parents[2]
MUTANTS = load("mutants", "mutants").MUTANTS


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


# ------------------------------------------------------------------------------------------------------- the program


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository of two functions with a test of each."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # a pytest starts within half a second, not in four
    (tmp_path / "src").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "src" / "sums.py").write_text("def one():\n    return 1\n\n\ndef two():\n    return 2\n")
    (tmp_path / "tests" / "test_one.py").write_text("from sums import *\n\ndef test_one():\n    assert one() == 1\n")
    (tmp_path / "tests" / "test_two.py").write_text("from sums import *\n\ndef test_two():\n    assert two() > 0\n")
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "outcome", "by", "likely"),
    [
        ("return 1", "return 3", "killed", "tests/test_one.py::test_one", True),
        ("return 2", "return -2", "killed", "tests/test_two.py::test_two", False),
        ("return 2", "return 4", "SURVIVED", "", False),
    ],
)
def test_a_mutant_is_noticed_by_the_likely_tests_or_the_others_or_survives(
    small: Path, old: str, new: str, outcome: str, by: str, likely: bool
) -> None:
    before = (small / "src" / "sums.py").read_text()
    mutant = replace(MUTANTS[0], file="src/sums.py", old=old, new=new, tests=("tests/test_one.py",))
    found = load("mutants", "run").attempt(mutant, small, workers=1)
    assert (found["outcome"], found["by"], found["likely"]) == (outcome, by, likely)
    assert (small / "src" / "sums.py").read_text() == before


def test_a_module_that_cannot_be_imported_is_no_judgement(small: Path) -> None:
    mutant = replace(MUTANTS[0], file="src/sums.py", old="def one():", new="def one(:", tests=("tests/test_one.py",))
    with pytest.raises(SystemExit, match=r"(?s)pytest ended with status \d:.*SyntaxError"):
        load("mutants", "run").attempt(mutant, small, workers=1)


def test_a_test_that_fails_anyway_notices_nothing(small: Path) -> None:
    (small / "tests" / "test_broken.py").write_text("def test_broken():\n    assert False\n")
    mutant = replace(MUTANTS[0], name="four", file="src/sums.py", old="return 2", new="return 4")
    with pytest.raises(SystemExit, match=r"test_broken\.py::test_broken fails without four, too\. Mend it first"):
        load("mutants", "run").attempt(replace(mutant, tests=("tests/test_one.py",)), small, workers=1)
