"""The described output layer against each family's own logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from luthier.testing import FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_the_familys_own(tiny: Callable[..., Any], tiny_folder: Callable[..., Path], family: str) -> None:
    own = AutoModelForCausalLM.from_pretrained(tiny_folder(family), attn_implementation="eager").eval()
    ids = torch.randint(3, 259, (2, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = own(input_ids=ids, use_cache=False).logits
        hidden = own.base_model(input_ids=ids, use_cache=False).last_hidden_state
        described = tiny(family).output(hidden)
    assert tiny(family).output.verified
    assert described.dtype == torch.float32
    assert torch.allclose(described, logits, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("family", "wrong"), [("granite", 1.0), ("cohere", 1.0)])
def test_the_scaled_families_are_scaled(tiny: Callable[..., Any], family: str, wrong: float) -> None:
    assert tiny(family).output.scale != wrong
    assert tiny("gemma2").output.softcap == 30.0
