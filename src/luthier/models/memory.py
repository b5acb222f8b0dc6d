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
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
    with suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def forget_peak_memory() -> None:
    """Let `peak_memory_bytes` count from now on; where the system cannot, it counts from the process's start."""
    release_memory()
    for device in _used():
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):  # not Linux
        _CLEAR_PEAK.write_text("5")


def peak_memory_bytes() -> int:
    """Return the most memory that this process had since `forget_peak_memory`.

    On CUDA devices, if anything was put there, what torch took of them; else the process's resident memory.
    """
    if there := sum(torch.cuda.max_memory_reserved(device) for device in _used()):
        return there
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


def _used() -> range:
    """The CUDA devices that this process may have put something on; asking does not start CUDA."""
    return range(torch.cuda.device_count()) if torch.cuda.is_initialized() else range(0)
