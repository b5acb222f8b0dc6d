from __future__ import annotations

from pathlib import Path

import pytest
from data_samples import Write


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a file (text as UTF-8, line ends as they are) and gives its path."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file
