"""The device that computes: which one, in which precision, how much memory it has, and waiting until it is done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from luthier.core.environment import environment
from luthier.core.errors import ConfigError
from luthier.models.loaded import Precision


def pick_device(device: str = "auto") -> torch.device:
    """Choose CUDA, then MPS, then CPU, or what is asked for; `LUTHIER_DEVICE` says what "auto" means.

    Raises:
        ConfigError: if it is asked for and not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        device = os.environ.get("LUTHIER_DEVICE", "") or next(name for name, there in available.items() if there)
    if not available.get(device.partition(":")[0], False):
        there = ", ".join(name for name, ok in available.items() if ok)
        raise ConfigError(f"Device '{device}' is not available here. Available: {there}.")
    return torch.device(device)


def has_bf16(device: torch.device) -> bool:
    """Whether the machine computes in bf16 natively. `LUTHIER_NO_BF16=1` says no."""
    if os.environ.get("LUTHIER_NO_BF16", "") not in ("", "0"):
        return False
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(bool(getattr(torch.cpu, probe, lambda: False)()) for probe in probes)
    return False


def pick_precision(precision: str, device: torch.device) -> Precision:
    """Choose bf16 where the machine has it, or what is asked for.

    Raises:
        ConfigError: if the name is unknown, or bf16 is asked for and the machine lacks it.
    """
    if precision == "auto":
        return "bf16" if has_bf16(device) else "fp32"
    if precision == "fp32":
        return "fp32"
    if precision != "bf16":
        raise ConfigError(f"Precision '{precision}' is unknown. Known: auto, fp32, bf16.")
    if not has_bf16(device):
        raise ConfigError(
            "This machine does not compute in bf16 natively (it would be slower than fp32). Use precision fp32."
        )
    return "bf16"


def memory_bytes(device: torch.device) -> int | None:
    """Return the memory that models can have there: the GPU's own, else the machine's; None if it is not known."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    found: int | None = environment()["memory_bytes"]
    return found


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was no memory left, on the machine or on a device."""
    said = ("allocate memory", "out of memory", "ALLOC_FAILED")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in said)
    )


def wait_for(device: torch.device) -> None:
    """Wait until all that was asked of a device is done; clocks are read after that."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def random_state(device: torch.device) -> torch.Tensor | None:
    """Return the state of a device's own random numbers; None for the CPU, whose state is torch's."""
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.mps.get_rng_state() if device.type == "mps" else None


def set_random_state(device: torch.device, state: torch.Tensor) -> None:
    """Put it back."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    elif device.type == "mps":
        torch.mps.set_rng_state(state)


@contextmanager
def random_apart(device: torch.device) -> Iterator[None]:
    """Draw random numbers for a while, on the CPU and on a device, that those after it do not notice."""
    before = random_state(device)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        if before is not None:
            set_random_state(device, before)


def name_of(device: torch.device) -> str:
    """Return its name, for people to read."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def settle(device: torch.device) -> None:
    """Set what torch gets wrong by default for rows of many lengths.

    cuDNN's attention, which torch tries first on Hopper and later, makes a plan for every new shape (tens of
    milliseconds each); packed rows and growing answers have a new one nearly every call.
    """
    if device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)
