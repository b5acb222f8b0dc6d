"""What the batch engine reads rows of tokens with: a model in memory, or a decoder alone.

Shape letters: T tokens of a row, n of them read, V vocabulary.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from luthier.generation.lean import Decoder, NotDescribedError, decoding_dtype, open_decoder
from luthier.generation.lean.decoder import Linear
from luthier.generation.lean.families import Source, describe
from luthier.generation.lean.packing import Pace, Packing
from luthier.models.arithmetic.watching import is_watched
from luthier.models.attention import ATTENTION_NAME, Attend
from luthier.models.output_layer import OutputLayer
from luthier.models.readout_model import ReadoutModel


class Reader(Protocol):
    """Reads a row of tokens."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    def open(self) -> None:
        """Take up the weights as they are now: they may have been trained since."""
        ...

    def prepare(self, rows: int) -> None:
        """Prepare for a step of so many rows or the reading of so many tokens, and for more of their kind."""
        ...

    def logits(self, ids: Tensor, positions: Tensor, attend: Attend, read_at: Tensor | None) -> Tensor:
        """Return the logits `[n, V]` of a row of tokens `[T]` at the places `read_at`, or at all."""
        ...


class ModelReader:
    """A model in memory: through its decoder where that was seen to compute the same, else through its own forward.

    Args:
        model: The model.
        adapter: The adapter that is on; None for none.
        half: Hold the weights that steps of few rows read in fp16, once there are many of them.

    Attributes:
        decoder: Its own, once it was opened; None if there is none.
        why_ordinary: Why the model's own forward is called, if it is.
    """

    def __init__(self, model: ReadoutModel, adapter: str | None, half: bool = False) -> None:
        self._model = model
        self._adapter = adapter
        self.decoder: Decoder | None = None
        self.why_ordinary = ""
        self._half = half
        self._pace = Pace(half, decoding_dtype(model.loaded), self.device, model.loaded.facts.parameters)
        self._packing: Packing | None = None
        self._output: OutputLayer = model.loaded.output

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._model.loaded.device

    def open(self) -> None:
        """See `Reader.open`."""
        try:
            self.decoder, self.why_ordinary = open_decoder(self._model, self._adapter, self._packing), ""
        except NotDescribedError as reason:
            self.decoder, self.why_ordinary = None, str(reason)
        self._output = self._model.loaded.output
        if self._packing is not None and self.decoder is not None:
            self._output = packed_output(self._output, self._packing)

    def prepare(self, rows: int) -> None:
        """See `Reader.prepare`."""
        if self._pace.is_time(rows):
            self._packing = Packing(self._half)
            self.open()

    def logits(self, ids: Tensor, positions: Tensor, attend: Attend, read_at: Tensor | None) -> Tensor:
        """See `Reader.logits`."""
        with self._model.reading(self._adapter, ATTENTION_NAME):
            if self.decoder is not None:
                with torch.autocast(ids.device.type, enabled=False):  # a decoder says itself what is in which precision
                    states = self.decoder(ids, positions, attend, read_at)
                return self._output(states)
            hidden = self._model.module.base_model(
                input_ids=ids[None], position_ids=positions[None], use_cache=False, attend=attend
            ).last_hidden_state[0]
            return self._model.loaded.output(hidden if read_at is None else hidden[read_at])


class DecoderReader:
    """A decoder with its output layer, and no model around them.

    Args:
        source: What the decoder is put together from.
        output: The output layer.
        half: Hold the weights that steps of few rows read in fp16, once there are many of them.

    Raises:
        NotDescribedError: if its family is not described.
    """

    def __init__(self, source: Source, output: OutputLayer, half: bool = False) -> None:
        self._source, self._output, self._half = source, output, half
        self._decoder = describe(source)
        numbers = sum(tensor.numel() for tensor in source.tensors.values())
        self._pace = Pace(half, source.dtype, self.device, numbers)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._decoder.embedding.device

    def open(self) -> None:
        """Nothing to do: its weights do not change."""

    def prepare(self, rows: int) -> None:
        """See `Reader.prepare`."""
        if self._pace.is_time(rows):
            packing = Packing(self._half)
            self._decoder = describe(replace(self._source, packing=packing))
            self._output = packed_output(self._output, packing)

    def logits(self, ids: Tensor, positions: Tensor, attend: Attend, read_at: Tensor | None) -> Tensor:
        """See `Reader.logits`."""
        return self._output(self._decoder(ids, positions, attend, read_at))


def packed_output(output: OutputLayer, packing: Packing) -> OutputLayer:
    """Return an output layer whose product of few rows is with the packed weight, where it is a plain product."""
    linear = output.linear
    if type(linear) is not nn.Linear or is_watched(linear):
        return output
    bias = None if linear.bias is None else linear.bias.detach()
    weight = linear.weight.detach()
    return replace(output, linear=Linear(weight, bias, packed=packing.of(weight, weight)))
