"""The decoder of a loaded model, once it has been seen to compute what the model computes."""

from __future__ import annotations

import torch

from luthier.generation.lean.decoder import Decoder
from luthier.generation.lean.families import NotDescribedError, Source, describe
from luthier.generation.lean.packing import Packing
from luthier.models.arithmetic.watching import is_watched
from luthier.models.attention import PackedAttention
from luthier.models.load import probe_batch
from luthier.models.loaded import LoadedModel
from luthier.models.readout_model import ReadoutModel
from luthier.segments import PackedLayout

_TOLERANCE = 1e-4
"""Relative to the largest hidden state, in fp32; another arithmetic differs by tenths."""


def open_decoder(model: ReadoutModel, adapter: str | None, packing: Packing | None = None) -> Decoder:
    """Return the decoder of a model read through an adapter, with packed weights if there are any.

    Raises:
        NotDescribedError: if there is none, or it does not compute what the model does.
    """
    loaded = model.loaded
    dtype = decoding_dtype(loaded)
    if adapter not in loaded.checked_decoders:
        with loaded.in_fp32():
            _check(model, adapter, _describe(model, adapter, dtype if loaded.precision == "fp32" else torch.float32))
        loaded.checked_decoders.add(adapter)
    return _describe(model, adapter, dtype, packing)


def decoding_dtype(model: LoadedModel) -> torch.dtype:
    """Return the precision of a decoder's products."""
    return torch.bfloat16 if model.precision == "bf16" else next(model.module.parameters()).dtype


def _describe(model: ReadoutModel, adapter: str | None, dtype: torch.dtype, packing: Packing | None = None) -> Decoder:
    if any(map(is_watched, model.module.modules())):
        raise NotDescribedError("somebody watches the calls of its modules")
    updates = {} if adapter is None else model.adapters[adapter].low_rank_updates()
    if updates is None:
        raise NotDescribedError("its adapter is more than low-rank updates")
    tensors = {name.replace(".base_layer.", "."): parameter for name, parameter in model.module.named_parameters()}
    return describe(Source(model.module.config, tensors, dtype, updates, packing))


@torch.no_grad()
def _check(model: ReadoutModel, adapter: str | None, decoder: Decoder) -> None:
    """Read two short sequences both ways."""
    batch = probe_batch(model.loaded)
    layout = PackedLayout(batch, model.loaded.device)
    with model.reading(adapter, autocast=False):
        ordinary = model.hidden_states(batch)
    own = layout.gather(decoder(layout.input_ids[0], layout.position_ids[0], PackedAttention(layout.plan))[None])
    worst = float((own - ordinary).abs().max() / ordinary.abs().max())
    if not worst < _TOLERANCE:
        raise NotDescribedError(f"its decoder differs from the model by {worst:.0e}")
