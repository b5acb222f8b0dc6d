"""The memory of this process: what it has taken at most, and giving back what is no longer used."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from pathlib import Path

import torch

_STATUS, _CLEAR_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def release_memory() -> None:
    """Give memory that is no longer used back to the system.

    glibc keeps freed blocks: after a model was dropped the process would still hold its gigabytes, and the next one
    would come on top.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def forget_peak_memory() -> None:
    """Let `peak_memory_bytes` count from now on; where the system cannot, it counts from the process's start."""
    release_memory()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):  # not Linux
        _CLEAR_PEAK.write_text("5")


def peak_memory_bytes() -> int:
    """Return the highest resident memory of this process (on CUDA: of the device) since `forget_peak_memory`."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
