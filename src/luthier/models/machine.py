"""What this machine is and can compute."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch

from luthier.core.environment import environment
from luthier.core.files import cache_folder
from luthier.models.device import has_bf16, name_of, pick_device

_EXTRAS = ("trl", "deepspeed", "accelerate", "sentence_transformers", "fastapi")


def describe_machine() -> dict[str, Any]:
    """Return software, device, precision and cache folder, with a hint where torch does not fit the machine."""
    found = environment()
    device = pick_device("auto")
    facts: dict[str, Any] = {name: version for name, version in found["packages"].items() if version}
    facts |= {
        "python": found["python"],
        "platform": found["platform"],
        "cores": found["cores"],
        "memory": f"{(found['memory_bytes'] or 0) / 2**30:.1f} GiB",
        "device": name_of(device),
        "bf16": "yes" if has_bf16(device) else "no (fp32 is used)",
        "threads": torch.get_num_threads(),
        "cache": str(cache_folder()),
        "also installed": ", ".join(name for name in _EXTRAS if importlib.util.find_spec(name)) or "none of the extras",
    }
    if torch.version.cuda and not torch.cuda.is_available():
        facts["hint"] = (
            f"this torch is a CUDA {torch.version.cuda} build and no GPU is visible; a CPU build is several GB "
            "smaller: "
            "pip install torch --index-url https://download.pytorch.org/whl/cpu"
        )
    return facts
