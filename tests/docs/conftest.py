"""A folder in which the documents' commands run as they stand, in seconds.

The built-in model is replaced in its documented place: `LUTHIER_CACHE` points to a cache folder whose
`models/smollm2-135m-instruct` holds a tiny random model.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import write_extract

from luthier.core.files import write_json
from luthier.models.builtin import CONVERSION_VERSION, builtin_model
from luthier.models.source import DEFAULT_MODEL
from luthier.testing import tiny_model


@pytest.fixture(scope="session")
def stand_in_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache folder in which a tiny model stands under the built-in model's name."""
    cache = tmp_path_factory.mktemp("luthier-cache")
    folder = tiny_model(cache / "models" / DEFAULT_MODEL)
    made_from = builtin_model(DEFAULT_MODEL).gguf_sha256
    write_json(folder / "manifest.json", {"conversion": CONVERSION_VERSION, "gguf_sha256": made_from, "files": {}})
    return cache


@pytest.fixture
def workplace(stand_in_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder: `tickets.csv` is a 60-row extract, the built-in model a tiny one."""
    monkeypatch.setenv("LUTHIER_CACHE", str(stand_in_cache))
    monkeypatch.setenv("LUTHIER_NO_BF16", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    write_extract(tmp_path / "tickets.csv")
    return tmp_path
