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
from luthier.generation.lean.families import NotDescribedError, Source, describe
from luthier.generation.quick.kept import FACTS, TOKENIZER, folder_of
from luthier.generation.quick.tokenizer import PlainTokenizer
from luthier.generation.readers import DecoderReader
from luthier.generation.writer import Writer
from luthier.models.arithmetic.low_rank import LowRankUpdate
from luthier.models.attention import PackedAttention
from luthier.models.load import pick_device, pick_precision
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


def open_quickly(source: ModelSource, *, precision: str = "auto", device: str = "auto") -> QuickModel | None:
    """Open a model from what was kept of it.

    Returns:
        The model; None where nothing usable was kept: it was not opened before, its files or the libraries have
        changed, or it does not say what it said then. `LUTHIER_NO_QUICK=1` says that nothing is.

    Raises:
        ModelError: if its files are broken.
    """
    if os.environ.get("LUTHIER_NO_QUICK", "") not in ("", "0"):
        return None
    place = pick_device(device)
    chosen = pick_precision(precision, place)
    require_saved(source.folder)
    require_known(source.folder)
    folder = folder_of(source, chosen)
    try:
        facts = read_checked(folder / FACTS)
        if sha256_file(folder / TOKENIZER) != facts["tokenizer_sha256"]:
            return None
    except (OSError, ValueError, KeyError):
        return None
    try:
        reader = build_reader(source, facts, torch.bfloat16 if chosen == "bf16" else torch.float32, place)
    except NotDescribedError:
        return None
    if not says_the_same(reader, facts):
        return None
    renderer = Renderer(_tokenizer(folder / TOKENIZER, facts["tokenizer"]), facts["context"])
    return QuickModel(reader, renderer, facts["vocabulary"], sha256_text("quick", folder.name))


def _tokenizer(file: Path, facts: Mapping[str, Any]) -> PlainTokenizer:
    from tokenizers import Tokenizer

    return PlainTokenizer(Tokenizer.from_file(str(file)), **facts)


def build_reader(
    source: ModelSource, facts: Mapping[str, Any], dtype: torch.dtype, device: torch.device
) -> DecoderReader:
    """Put a decoder together from the weights' files.

    Args:
        source: Where the files are.
        facts: What was kept: `config`, `output`, `updates`.
        dtype: Precision of the products.
        device: Where to compute.

    Raises:
        NotDescribedError: if a weight is missing, or the family is not described.
    """
    weights = read_weights(weight_files(source.folder), dtype, device)
    updates = {}
    if source.adapter is not None:
        added = read_weights([source.adapter / "adapter_model.safetensors"], torch.float32, device)
        updates = {
            name: LowRankUpdate(added[f"{_PEFT}{name}.lora_A.weight"], added[f"{_PEFT}{name}.lora_B.weight"], scale)
            for name, scale in facts["updates"].items()
        }
    decoder = describe(Source(SimpleNamespace(**facts["config"]), weights, dtype, updates))
    kept = facts["output"]
    for name in (kept["weight"], kept["bias"]):
        if name is not None and name not in weights:
            raise NotDescribedError(f"it has no weight {name}")
    linear = _product(weights[kept["weight"]], weights[kept["bias"]] if kept["bias"] else None)
    return DecoderReader(decoder, OutputLayer(linear, kept["scale"], kept["softcap"]))


_PEFT = "base_model.model."
"""What PEFT puts before the name of a module."""


def read_weights(files: Sequence[Path], dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    """Return all tensors of some safetensors files."""
    from safetensors.torch import load_file

    return {name: tensor.to(device, dtype) for file in files for name, tensor in load_file(file).items()}


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
