"""Which device computes, and what is asked of it."""

from __future__ import annotations

import pytest
import torch

from luthier.core.errors import ConfigError, OutOfMemoryError
from luthier.models.arithmetic.precision import in_fp32
from luthier.models.device import (
    memory_bytes,
    name_of,
    pick_device,
    ran_out_of_memory,
    random_apart,
    random_state,
    wait_for,
)
from luthier.training.rehearsal import _in_memory

CPU = torch.device("cpu")


def test_the_variable_says_what_auto_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("LUTHIER_DEVICE", raising=False)
    assert pick_device() == torch.device("cuda")
    monkeypatch.setenv("LUTHIER_DEVICE", "cpu")
    assert pick_device() == CPU
    assert pick_device("cuda:1") == torch.device("cuda:1")
    monkeypatch.setenv("LUTHIER_DEVICE", "tpu")
    with pytest.raises(ConfigError, match=r"Device 'tpu' is not available here. Available: cuda, .*cpu"):
        pick_device()


def test_a_cpu_has_the_memory_of_the_machine_and_no_random_numbers_of_its_own() -> None:
    found = memory_bytes(CPU)
    assert found is not None
    assert found > 2**28
    assert name_of(CPU) == "cpu"
    assert random_state(CPU) is None
    wait_for(CPU)


def test_what_is_drawn_apart_is_not_noticed_afterwards() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    with random_apart(CPU):
        torch.manual_seed(8)
        torch.rand(9)
    assert torch.equal(torch.rand(4), wanted)


@pytest.mark.parametrize(
    "said",
    [
        "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
        "MPS backend out of memory (MPS allocated: 1 GB)",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_running_out_of_memory_is_recognised(said: str) -> None:
    assert ran_out_of_memory(RuntimeError(said))
    assert ran_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert ran_out_of_memory(MemoryError())
    assert not ran_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not ran_out_of_memory(ValueError(said))
    with pytest.raises(OutOfMemoryError, match="longest micro-batch"), _in_memory(512):
        raise RuntimeError(said)


def test_fp32_for_a_while_is_not_tf32() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with in_fp32(torch.nn.Linear(2, 2)):
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
