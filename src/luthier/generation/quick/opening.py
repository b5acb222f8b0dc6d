"""Opening a model from what was kept of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luthier.core.errors import LuthierError
from luthier.core.files import sha256_file, sha256_text
from luthier.core.sealed import read_checked
from luthier.core.types import Completion, Request
from luthier.data.render import Renderer
from luthier.generation.engine import BatchEngine
from luthier.generation.lean.families import NotDescribedError, Source
from luthier.generation.quick.kept import FACTS, TOKENIZER, folder_of
from luthier.generation.quick.tokenizer import PlainTokenizer
from luthier.generation.readers import DecoderReader
from luthier.generation.writer import Writer
from luthier.models.arithmetic.low_rank import LowRankUpdate
from luthier.models.attention import PackedAttention
from luthier.models.device import pick_device, pick_precision, settle
from luthier.models.loaded import Precision
from luthier.models.output_layer import OutputLayer
from luthier.models.probe import ALLOWED_NATS
from luthier.models.source import ModelSource, require_saved
from luthier.models.weights import require_known, weight_files
from luthier.segments import Batch, PackedLayout, sequence_batch


class QuickModel(Writer):
    """Writes with a decoder alone; it cannot score."""

    def __init__(self, reader: DecoderReader, renderer: Renderer, vocabulary: int, identity: str) -> None:
        self.identity = identity
        super().__init__(renderer, vocabulary, lambda turns: BatchEngine(reader, turns))

    def _score(self, asked: Mapping[int, Request]) -> dict[int, Completion]:
        raise LuthierError("A model that was opened to write only cannot score answers; open it with open_local.")


def open_quickly(
    source: ModelSource, *, precision: str = "auto", device: str = "auto", half: bool = False
) -> QuickModel | None:
    """Open a model from what was kept of it; `half` as for `open_local`.

    Returns:
        The model; None where nothing usable was kept: it was not opened before, its files or the libraries have
        changed, or it does not say what it said then. `LUTHIER_NO_QUICK=1` says that nothing is.

    Raises:
        ModelError: if its files are broken.
    """
    if os.environ.get("LUTHIER_NO_QUICK", "") not in ("", "0"):
        return None
    place = pick_device(device)
    settle(place)
    chosen = pick_precision(precision, place)
    require_saved(source.folder)
    require_known(source.folder)
    folder = folder_of(source, chosen)
    try:
        facts = read_checked(folder / FACTS)
        if sha256_file(folder / TOKENIZER) != facts["tokenizer_sha256"]:
            return None
        reader = build_reader(base_weights(source, chosen, place), adapter_weights(source, place), facts, half)
    except (OSError, ValueError, KeyError, NotDescribedError):
        return None
    if not says_the_same(reader, facts):
        return None
    renderer = Renderer(_tokenizer(folder / TOKENIZER, facts["tokenizer"]), facts["context"])
    identity = sha256_text("quick", folder.name, *(["decodes in fp16"] if half else []))
    return QuickModel(reader, renderer, facts["vocabulary"], identity)


def _tokenizer(file: Path, facts: Mapping[str, Any]) -> PlainTokenizer:
    from tokenizers import Tokenizer

    return PlainTokenizer(Tokenizer.from_file(str(file)), **facts)


def base_weights(source: ModelSource, precision: Precision, device: torch.device) -> dict[str, Tensor]:
    """Read a base's weights, in the precision of its products."""
    return _read(weight_files(source.folder), torch.bfloat16 if precision == "bf16" else torch.float32, device)


def adapter_weights(source: ModelSource, device: torch.device) -> dict[str, Tensor]:
    """Read an adapter's weights; none without an adapter."""
    files = [] if source.adapter is None else [source.adapter / "adapter_model.safetensors"]
    return _read(files, torch.float32, device)


def _read(files: Sequence[Path], dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return {name: tensor.to(device, dtype) for file in files for name, tensor in load_file(file).items()}


_PEFT = "base_model.model."
"""What PEFT puts before the name of a module."""


def build_reader(
    base: Mapping[str, Tensor], added: Mapping[str, Tensor], facts: Mapping[str, Any], half: bool = False
) -> DecoderReader:
    """Put a decoder together.

    Args:
        base: Weights by name, as in the files.
        added: Those of the adapter.
        facts: What was kept: `config`, `output`, `updates`.
        half: See `DecoderReader`.

    Raises:
        KeyError: if a weight is missing.
        NotDescribedError: if a weight is missing, or the family is not described.
    """
    updates = {
        name: LowRankUpdate(added[f"{_PEFT}{name}.lora_A.weight"], added[f"{_PEFT}{name}.lora_B.weight"], scale)
        for name, scale in facts["updates"].items()
    }
    kept = facts["output"]
    weight, bias = base[kept["weight"]], None if kept["bias"] is None else base[kept["bias"]]
    described = Source(SimpleNamespace(**facts["config"]), base, weight.dtype, updates)
    return DecoderReader(described, OutputLayer(_product(weight, bias), kept["scale"], kept["softcap"]), half)


def _product(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Return a linear layer that holds a weight and a bias, without drawing others first."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        linear.bias = nn.Parameter(bias, requires_grad=False)
    return linear


@torch.no_grad()
def says_the_same(reader: DecoderReader, facts: Mapping[str, Any]) -> bool:
    """Whether what the probe's tokens are followed by is as probable as it was for the model itself."""
    probe = facts["probe"]
    found = _logps_after(reader, probe["ids"])[probe["tokens"]]
    return float((found - torch.tensor(probe["logps"])).abs().max()) <= ALLOWED_NATS[facts["precision"]]


def _logps_after(reader: DecoderReader, ids: Sequence[int]) -> Tensor:
    """Return the log-probabilities `[V]` of what follows some tokens."""
    tokens = np.asarray(ids, dtype=np.int64)
    batch: Batch = sequence_batch(tokens, np.r_[np.zeros(len(ids) - 1), 1.0].astype(np.float32))
    layout = PackedLayout(batch, reader.device)
    last = torch.tensor([len(ids) - 1], device=reader.device)
    logits = reader.logits(layout.input_ids[0], layout.position_ids[0], PackedAttention(layout.plan), last)
    return logits[0].float().log_softmax(-1).cpu()
