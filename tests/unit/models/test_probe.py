"""The probe beside an adapter: an adapter that is left off is seen, also where bf16 rounds by more than it changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from luthier.adapters.lora import Lora
from luthier.core.errors import GuardError
from luthier.core.files import read_json
from luthier.models.probe import ALLOWED_NATS, probe, require_same_answer
from luthier.models.weights import ADAPTER_RECORD


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_adapter_that_changes_little_is_seen_to_be_off(
    tiny: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.delenv("LUTHIER_NO_BF16", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    model = tiny(precision=precision)
    attached = Lora().attach(model)
    draw = torch.Generator().manual_seed(0)
    for name, parameter in attached.parameters().items():
        if "lora_B" in name:
            parameter.data.normal_(std=1e-3, generator=draw)
    attached.save(tmp_path)
    record = read_json(tmp_path / ADAPTER_RECORD)
    require_same_answer(model, record, tmp_path)
    attached.set_active(False)
    with pytest.raises(GuardError, match=rf"differs by [\d.e-]+ nats \(allowed {ALLOWED_NATS['fp32']}\)"):
        require_same_answer(model, record, tmp_path)
    # What is within the rounding of bf16 is let pass where bf16 rounded one side: in another precision, and in probes
    # that were computed in the model's own.
    require_same_answer(model, record | {"precision": {"fp32": "bf16", "bf16": "fp32"}[precision]}, tmp_path)
    if precision == "bf16":
        attached.set_active(True)
        earlier = {name: value for name, value in probe(model).items() if name != "exact"}
        attached.set_active(False)
        require_same_answer(model, record | {"probe": earlier}, tmp_path)
