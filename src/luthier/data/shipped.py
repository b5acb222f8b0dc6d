"""The example data that comes with Luthier."""

from __future__ import annotations

from pathlib import Path

from luthier.core.errors import DataError


def shipped_data(name: str) -> Path:
    """Return the folder of a shipped data set: in the installed package, or in the repository.

    Raises:
        DataError: if it is in neither.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "examples" / name, package.parents[1] / "examples" / "data" / name):
        if folder.is_dir():
            return folder
    raise DataError(
        f"The example data '{name}' is not installed. Install Luthier again: pip install --force-reinstall luthier."
    )
