"""What the batch engine reads rows of tokens with: a model in memory, or a decoder alone.

Shape letters: T tokens of a row, n of them read, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from luthier.generation.lean import Decoder, NotDescribedError, open_decoder
from luthier.generation.lean.decoder import Linear
from luthier.generation.lean.packing import Packing, is_worth_it
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

    def pack(self) -> None:
        """Prepare for many more steps of several rows; done twice it changes nothing."""
        ...

    def logits(self, ids: Tensor, positions: Tensor, attend: Attend, read_at: Tensor | None) -> Tensor:
        """Return the logits `[n, V]` of a row of tokens `[T]` at the places `read_at`, or at all."""
        ...


class ModelReader:
    """A model in memory: through its decoder where that was seen to compute the same, else through its own forward.

    Attributes:
        decoder: Its own, once it was opened; None if there is none.
        why_ordinary: Why the model's own forward is called, if it is.
    """

    def __init__(self, model: ReadoutModel, adapter: str | None) -> None:
        self._model = model
        self._adapter = adapter
        self.decoder: Decoder | None = None
        self.why_ordinary = ""
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

    def pack(self) -> None:
        """See `Reader.pack`."""
        if self._packing is None and is_worth_it(self.device, self._model.loaded.facts.parameters):
            self._packing = Packing()
            self.open()

    def logits(self, ids: Tensor, positions: Tensor, attend: Attend, read_at: Tensor | None) -> Tensor:
        """See `Reader.logits`."""
        with self._model.reading(self._adapter, ATTENTION_NAME):
            if self.decoder is not None:
                return self._output(self.decoder(ids, positions, attend, read_at))
            hidden = self._model.module.base_model(
                input_ids=ids[None], position_ids=positions[None], use_cache=False, attend=attend
            ).last_hidden_state[0]
            return self._model.loaded.output(hidden if read_at is None else hidden[read_at])


@dataclass(frozen=True)
class DecoderReader:
    """A decoder with its output layer, and no model around them."""

    decoder: Decoder
    output: OutputLayer

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.decoder.embedding.device

    def open(self) -> None:
        """Nothing to do: its weights do not change."""

    def pack(self) -> None:
        """Nothing to do: it talks with one person at a time."""

    def logits(self, ids: Tensor, positions: Tensor, attend: Attend, read_at: Tensor | None) -> Tensor:
        """See `Reader.logits`."""
        return self.output(self.decoder(ids, positions, attend, read_at))


def packed_output(output: OutputLayer, packing: Packing) -> OutputLayer:
    """Return an output layer whose product of few rows is with the packed weight, where it is a plain product."""
    linear = output.linear
    if type(linear) is not nn.Linear or is_watched(linear):
        return output
    bias = None if linear.bias is None else linear.bias.detach()
    weight = linear.weight.detach()
    return replace(output, linear=Linear(weight, bias, packed=packing.of(weight, weight)))
