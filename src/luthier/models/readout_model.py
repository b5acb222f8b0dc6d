"""The one module that is wrapped, compiled and called, by training and by every scoring pass.

Everything that touches weights happens inside its forward: backbone, output layer in chunks, loss. Wrappers (DDP,
FSDP) act on a module's `forward`; a path that called the backbone beside it would silently skip them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from luthier.core.errors import unknown_name
from luthier.models.arithmetic.low_rank import LowRankUpdate
from luthier.models.attention import ATTENTION_NAME, PackedAttention
from luthier.models.loaded import LoadedModel
from luthier.models.readouts import Readout, read_chunks
from luthier.segments import Batch, PackedLayout, RowsLayout


class LossOutput(NamedTuple):
    """What an objective returns: named sums, to be divided by the step's units, and (sum, count) for the log."""

    totals: Mapping[str, Tensor]
    metrics: Mapping[str, tuple[Tensor, Tensor]]


class Objective(Protocol):
    """A loss as arithmetic on readouts. It returns sums; the step divides them by the units of the whole step."""

    name: str
    needs: frozenset[str]
    readouts: tuple[Readout, ...]
    coefficients: Mapping[str, float]

    def units(self, batch: Batch) -> Mapping[str, float]:
        """Count the units of each total from the batch alone, before any forward."""
        ...

    def __call__(self, read: Mapping[str, Tensor], batch: Batch) -> LossOutput:
        """Compute the totals from `[P]` readouts."""
        ...


@dataclass(frozen=True)
class Work:
    """One forward and backward: an objective on a batch, read through one adapter (None: the model without any)."""

    objective: Objective
    batch: Batch
    adapter: str | None = "default"
    coefficient: float = 1.0


class Attached(Protocol):
    """An adapter attached to a model under a name."""

    name: str

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return what it trains, by name."""
        ...

    def set_active(self, on: bool) -> None:
        """Switch it on or off for the forwards that follow, without touching what is trainable."""
        ...

    def after_update(self, step: int) -> None:
        """Act after an optimizer update."""
        ...

    def low_rank_updates(self) -> Mapping[str, LowRankUpdate] | None:
        """Return what it adds to linear layers, by the module's name; None if it does anything else besides."""
        ...

    def save(self, folder: Path) -> None:
        """Write it in the format that others read."""
        ...


class ReadoutModel(nn.Module):
    """A loaded model with its attached adapters.

    Args:
        model: The model; it is held, not copied.
        adapters: What may be named in a `Work` or a read.
        layout: "packed" where the model allows it, else "rows"; the reference path of tests is "rows".
        recompute: Keep only the layers' inputs and recompute the rest in the backward (gradient checkpointing).
    """

    def __init__(
        self,
        model: LoadedModel,
        adapters: Sequence[Attached] = (),
        *,
        layout: str | None = None,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.module = model.module
        self.loaded = model
        self.adapters = {adapter.name: adapter for adapter in adapters}
        self.layout = layout or ("packed" if model.packs else "rows")
        if recompute:
            self.module.gradient_checkpointing_enable({"use_reentrant": False, "context_fn": self._recompute_contexts})
        self._active: str | None = None
        self._reading = False
        self.attention_calls = 0

    def forward(self, work: Work) -> LossOutput:
        """Compute an objective's totals."""
        read = self._read(work.batch, work.objective.readouts, work.adapter)
        return work.objective(read, work.batch.to(self.loaded.device))

    @torch.no_grad()
    def read(
        self, batch: Batch, readouts: Sequence[Readout], adapter: str | None = "default", *, exact: bool = False
    ) -> Mapping[str, Tensor]:
        """Read without gradient, in evaluation mode.

        Args:
            batch: What to read.
            readouts: What to take out.
            adapter: Which adapter is on; None for the model without any.
            exact: Compute in fp32 whatever the model's compute precision is (weights as they are).
        """
        training = self.module.training
        self.module.eval()
        try:
            if not exact or self.loaded.precision == "fp32":
                return self._read(batch, readouts, adapter)
            with self.loaded.in_fp32():
                return self._read(batch, readouts, adapter, autocast=False)
        finally:
            self.module.train(training)

    def _read(
        self, batch: Batch, readouts: Sequence[Readout], adapter: str | None, autocast: bool = True
    ) -> Mapping[str, Tensor]:
        device = self.loaded.device
        with self.reading(adapter, autocast=autocast):
            hidden = self.hidden_states(batch)
            output = self.loaded.output
            if not output.verified:  # hidden states came out of the ordinary forward as logits
                output = replace(output, linear=nn.Identity(), scale=1.0, softcap=None)
            token = batch.targets.token.to(device)
            return read_chunks(hidden, token, output, readouts, contexts=self._recompute_contexts)

    def hidden_states(self, batch: Batch) -> Tensor:
        """Run the backbone and take the hidden states at the targets, `[P, D]`; within `reading`.

        Where the output layer could not be described, logits `[P, V]` take their place.
        """
        device = self.loaded.device
        arguments: dict[str, Any] = {"use_cache": False}
        layout: PackedLayout | RowsLayout
        attend: PackedAttention | None = None
        if self.layout == "packed":
            layout = PackedLayout(batch, device)
            implementation = ATTENTION_NAME
            arguments["attend"] = attend = PackedAttention(layout.plan)
        else:
            layout = RowsLayout(batch, self.loaded.pad_id, device)
            implementation = self.loaded.ordinary_attention
            arguments["attention_mask"] = layout.attention_mask
        arguments |= {"input_ids": layout.input_ids, "position_ids": layout.position_ids}
        with self.loaded.attention(implementation):
            if self.loaded.output.verified:
                states = self.module.base_model(**arguments).last_hidden_state
            else:
                states = self.module(**arguments).logits
        self.attention_calls = attend.calls if attend else 0
        return layout.gather(states)

    @contextmanager
    def reading(self, adapter: str | None, implementation: str | None = None, autocast: bool = True) -> Iterator[None]:
        """Set the stage for a forward: adapter, compute precision and (unless None) attention implementation."""
        attention = self.loaded.attention(implementation) if implementation else nullcontext()
        with self._scope(adapter), self.loaded.autocast() if autocast else nullcontext(), attention:
            yield

    @contextmanager
    def _scope(self, adapter: str | None) -> Iterator[None]:
        """Select the adapter for what runs inside; within another read, put back what was selected before.

        After the outermost read nothing is put back: nobody reads outside, and "no adapter" is more than some can offer
        (full tuning, once it has trained).
        """
        if adapter is not None and adapter not in self.adapters:
            raise unknown_name("adapter", adapter, self.adapters)
        before, outermost = self._active, not self._reading
        self._activate(adapter)
        self._reading = True
        try:
            yield
        finally:
            if outermost:
                self._reading = False
            else:
                self._activate(before)

    def _activate(self, adapter: str | None) -> None:
        self._active = adapter
        for name, attached in self.adapters.items():
            attached.set_active(name == adapter)

    def _recompute_contexts(self) -> tuple[Any, Any]:
        """Contexts of a checkpointed part's forward and of its recomputation: all as it was then, not as it is now."""
        return nullcontext(), self._as_it_was(self._active, self.module.config._attn_implementation)

    @contextmanager
    def _as_it_was(self, adapter: str | None, implementation: str) -> Iterator[None]:
        with self._scope(adapter), self.loaded.attention(implementation):
            yield
