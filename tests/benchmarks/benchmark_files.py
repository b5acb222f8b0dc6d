"""Files of a benchmark as modules, so that what they count and write can be tried on small inputs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load(benchmark: str, name: str) -> ModuleType:
    """Load a file of a benchmark; other benchmarks have files of the same names, which it must not be taken for."""
    folder = BENCHMARKS / benchmark
    before = {file.stem: sys.modules.pop(file.stem, None) for file in folder.glob("*.py")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(folder), str(folder.parent), *sys.path])
        spec = importlib.util.spec_from_file_location(f"{benchmark}_{name}", folder / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    for other, found in before.items():
        sys.modules.pop(other, None)
        if found is not None:
            sys.modules[other] = found
    return module
