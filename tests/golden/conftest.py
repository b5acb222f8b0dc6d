"""A copy of each version's golden runs; and the command line as the end-to-end tests call it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

VERSIONS = sorted(path.parent.name for path in Path(__file__).parent.glob("*/expected.json"))


@pytest.fixture(params=VERSIONS)
def golden(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory is a copy of one version's golden folder."""
    place = tmp_path / "golden"
    shutil.copytree(Path(__file__).parent / request.param, place)
    monkeypatch.chdir(place)
    return place
