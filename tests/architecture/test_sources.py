"""Rules that hold for every source file."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import luthier

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(luthier.__file__).parent
TESTS = ROOT / "tests"
UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}


def trees(folder: Path, pattern: str = "*.py") -> Iterator[tuple[Path, ast.Module]]:
    """Yield the parsed files below a folder."""
    for path in sorted(folder.rglob(pattern)):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the modules that a file imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


# ------------------------------------------------------------------------------------------------------ safe loading


def unsafe(tree: ast.Module) -> list[str]:
    """Return what in a file could run code that comes with data."""
    found = [name for name in imported(tree) if name.split(".")[0] in UNSAFE_MODULES]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found += [f"{node.value.id}.{node.attr}"] if (node.value.id, node.attr) in _UNSAFE_CALLS else []
        if isinstance(node, ast.keyword) and node.arg in ("trust_remote_code", "allow_pickle"):
            value = node.value.value if isinstance(node.value, ast.Constant) else None
            found += [] if value is False else [f"{node.arg}={ast.unparse(node.value)}"]
    return found


_UNSAFE_CALLS = {("torch", "load"), ("torch", "save"), ("yaml", "load"), ("yaml", "unsafe_load"), ("yaml", "full_load")}


def test_nothing_unpickles_or_runs_code_of_a_model() -> None:
    checked = 0
    for path, tree in trees(SOURCE):
        assert unsafe(tree) == [], path
        checked += 1
    assert checked >= 130


def test_unsafe_loading_would_be_noticed() -> None:
    lines = [
        "import pickle",
        "from joblib import load",
        "x = torch.load(y)",
        "f(trust_remote_code=True)",
        "yaml.load(z)",
    ]
    assert [len(unsafe(ast.parse(line))) for line in lines] == [1] * len(lines)


# ------------------------------------------------------------------------------------------------- paths of a machine

# Written in pieces, so that this file is not among what it finds.
_MACHINE = re.compile(
    r"(?<![\w.:/~$}*-])/" + r"(?:root|work|home/[a-z][\w-]*|Users/[A-Za-z][\w-]*)(?=[/\s\"'`)\],:;]|$)"
)


def repository_files() -> list[Path]:
    """Return the files that are, or would be, committed."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    skipped = {".git", ".venv", "venv", "runs", "site", "__pycache__"}
    return [p for p in ROOT.rglob("*") if p.is_file() and not skipped & set(p.relative_to(ROOT).parts)]


def test_no_file_holds_a_path_of_somebodys_machine() -> None:
    checked, found = 0, []
    for path in repository_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in _MACHINE.finditer(text)]
        checked += 1
    assert found == []
    assert checked >= 200


def test_a_path_of_a_machine_would_be_noticed() -> None:
    for start in ("root/.cache", "work/main", "home/ada/luthier", "Users/ada/x"):
        assert _MACHINE.search(f'"/{start}"')
    for harmless in ("https://example.org/home/ada", "benchmarks/adapt/work/", "/usr/lib", "its/work"):
        assert not _MACHINE.search(harmless)


# -------------------------------------------------------------------------------------------------------------- tests


def _test_files() -> list[tuple[Path, ast.Module]]:
    found = list(trees(TESTS, "test_*.py"))
    assert len(found) >= 50
    return found


def loose_tolerances(tree: ast.Module) -> list[str]:
    """Return relative tolerances that nearly everything would pass."""
    return [
        f"{node.arg}={node.value.value}"
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword)
        and node.arg in ("rtol", "rel", "rel_tol")
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, int | float)
        and node.value.value >= 0.1
    ]


APART_BY_NATURE = {
    "test_comparison.py rel=0.15": "widths of two intervals found by different methods (Tango's, bootstrap by cluster)",
    "test_intervals.py rel=0.1": "a bootstrap interval's width against the normal formula",
}
"""Wide tolerances that are meant, with the reason."""


def test_no_test_compares_with_a_tolerance_that_everything_passes() -> None:
    found = {f"{path.name} {tolerance}" for path, tree in _test_files() for tolerance in loose_tolerances(tree)}
    assert found == APART_BY_NATURE.keys()


def test_a_loose_tolerance_would_be_noticed() -> None:
    assert loose_tolerances(ast.parse("assert_close(a, b, rtol=1e6)"))
    assert loose_tolerances(ast.parse("assert a == approx(b, rel=0.1)"))
    assert not loose_tolerances(ast.parse("assert_close(a, b, rtol=1e-5)"))


def uses_luthier(path: Path, tree: ast.Module) -> bool:
    """Say whether a test imports Luthier or runs its command line, itself or through a module beside it."""
    for name in imported(tree):
        beside = path.parent / f"{name}.py"
        if name.split(".")[0] == "luthier":
            return True
        if beside.is_file() and uses_luthier(beside, ast.parse(beside.read_text(encoding="utf-8"))):
            return True
    programs = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return any(text in ("luthier", "luthier.cli.main") for text in programs)


def test_every_test_module_uses_luthier() -> None:
    assert [path.name for path, tree in _test_files() if not uses_luthier(path, tree)] == []


def test_a_test_of_nothing_would_be_noticed() -> None:
    assert not uses_luthier(Path(__file__), ast.parse("import numpy\nassert numpy.ones(1) == 1"))
    assert uses_luthier(Path(__file__), ast.parse("run(['luthier', 'adapt'])"))


def test_test_modules_have_names_of_their_own() -> None:
    names = [path.name for path, _ in _test_files()]
    assert sorted(set(names)) == sorted(names)
