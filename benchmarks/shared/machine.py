"""The card of the machine and the software that a result was measured with."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PROCESSOR = Path("/proc/cpuinfo")
_PACKAGES = ("torch", "transformers", "tokenizers", "peft")


def card() -> dict[str, Any]:
    """Describe the machine (cores, bf16, memory) and the versions, without any path."""
    from luthier.models.machine import describe_machine

    found = describe_machine()
    kept = ("luthier", "python", "cores", "threads", "memory", "device", "bf16", *_PACKAGES)
    return {name: found[name] for name in kept if name in found} | {
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "source": _source(),
    }


def _processor() -> str:
    if _PROCESSOR.is_file():
        for line in _PROCESSOR.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _source() -> str:
    """Return the commit that ran, with a plus if files differed from it; empty outside a checkout."""
    try:
        return _git("rev-parse", "--short", "HEAD") + "+" * bool(_git("status", "--porcelain", "../../src"))
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    here = Path(__file__).parent
    return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()


def sentence(found: Mapping[str, Any]) -> str:
    """Return a card in a sentence."""
    packages = ", ".join(f"{name} {found[name]}" for name in _PACKAGES if name in found)
    source = f" ({found['source']})" if found.get("source") else ""
    return (
        f"{found['cores']} cores ({found['processor']}, {found['system']}), bf16: {found['bf16']}; Luthier "
        f"{found['luthier']}{source}, Python {found['python']}, {packages}."
    )
