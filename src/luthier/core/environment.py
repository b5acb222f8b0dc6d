"""The software and the machine that a run is made with, as far as core can tell without torch."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

_PACKAGES = ("luthier", "torch", "transformers", "tokenizers", "peft", "safetensors", "numpy", "scipy", "scikit-learn")


def environment() -> dict[str, Any]:
    """Return versions of Python and packages, platform, cores and memory."""
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "packages": versions,
    }


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
