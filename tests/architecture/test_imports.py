"""Every module imports, and what must stay light stays light."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import luthier

HEAVY = ("torch", "transformers", "peft", "sklearn", "scipy", "pandas", "pyarrow", "numpy", "tensorboard")


def test_every_module_imports() -> None:
    names = [module.name for module in pkgutil.walk_packages(luthier.__path__, "luthier.")]
    assert len(names) >= 130
    for name in names:
        assert importlib.import_module(name).__doc__, f"{name} does not say what it is"


def test_public_names_are_there() -> None:
    assert sorted(dir(luthier)) == sorted(luthier.__all__)
    assert len(luthier.__all__) >= 9
    for name in luthier.__all__:
        assert getattr(luthier, name) is not None


def loaded_by(code: str) -> set[str]:
    """Return which heavy packages a fresh interpreter has loaded after running some code."""
    report = f"\nimport sys\nprint('LOADED', *(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_importing_luthier_loads_nothing_heavy() -> None:
    assert loaded_by("import luthier; luthier.__version__; dir(luthier)") == set()


def test_help_and_version_load_nothing_heavy() -> None:
    for arguments in (["--help"], ["adapt", "--help"], ["data", "check", "--help"], ["--version"]):
        code = (
            f"import sys\nsys.argv = ['luthier', *{arguments!r}]\nfrom luthier.cli.main import main\n"
            "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
        )
        assert loaded_by(code) == set(), arguments


def test_core_and_reporting_load_no_torch() -> None:
    for package in ("core", "reporting"):
        folder = importlib.import_module(f"luthier.{package}").__path__
        modules = [module.name for module in pkgutil.iter_modules(folder, f"luthier.{package}.")]
        assert len(modules) >= 10
        assert not loaded_by(f"import {', '.join(modules)}") & {"torch", "transformers", "peft"}


def test_a_heavy_import_would_be_noticed() -> None:
    assert "numpy" in loaded_by("import luthier.core.seeding")
