"""Work sources: where a step's work comes from. Their cursor counts consumed work, so a resumed run goes on exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field

from luthier.core.config import Config
from luthier.core.errors import GuardError
from luthier.core.files import sha256_text
from luthier.core.protocols import Stateful
from luthier.core.seeding import stream
from luthier.models.readout_model import Objective, Work
from luthier.segments import Batch, share
from luthier.segments.packing import micro_batches


class BatchConfig(Config):
    """How sequences make a step."""

    sequences: int | None = Field(
        None,
        ge=1,
        description="sequences an optimizer step (the batch size); by default 4 below 400 rows, 8 below 4,000, else 16",
    )
    micro_tokens: int = Field(
        2048, ge=1, description="tokens computed at once; bounds memory, does not change the result"
    )

    def size_for(self, rows: int) -> int:
        """Return the batch size for so many rows: few rows want small batches, or there are hardly any steps."""
        if self.sequences is not None:
            return self.sequences
        return 4 if rows < 400 else 8 if rows < 4000 else 16


class WorkSource(Stateful, Protocol):
    """Yields the work of one optimizer step after another."""

    total_steps: int

    def next(self) -> list[Work] | None:
        """Return the next step's work; None when finished."""
        ...


class Sequences(Protocol):
    """What is learned from, by index: made when it is asked for, so that it need not be in memory as a whole."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Batch: ...

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each sequence."""
        ...

    @property
    def digest(self) -> str:
        """Names all sequences, in their order."""
        ...


class InMemory:
    """Sequences that are there already, one batch each (or a group that must stay together)."""

    def __init__(self, sequences: Sequence[Batch]) -> None:
        self._sequences = list(sequences)

    def __len__(self) -> int:
        return len(self._sequences)

    def __getitem__(self, index: int) -> Batch:
        return self._sequences[index]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each sequence."""
        return np.array([sequence.tokens for sequence in self._sequences], dtype=np.int64)

    @cached_property
    def digest(self) -> str:
        """Digest of each sequence's tokens and targets."""
        parts: list[str] = []
        for batch in self._sequences:
            parts += [f"{s.parent}:{np.asarray(s.tokens).tobytes().hex()}" for s in batch.segments]
            targets = (batch.targets.read_at, batch.targets.token, batch.targets.weight)
            parts += [tensor.numpy().tobytes().hex() for tensor in targets]
        return sha256_text(*parts)


class PackedSource:
    """Sequences in a new random order each epoch, packed into micro-batches without padding.

    Args:
        sequences: What is learned from; a list is held as it is.
        objective: What is computed on them.
        config: Batch size and micro-batch size.
        epochs: Passes over the sequences; may be a fraction.
        seed: Seed of the orders.
        adapter: The adapter they are read through.

    Attributes:
        under_way: Positions of the sequences of the step that was given out last.
    """

    def __init__(
        self,
        sequences: Sequences | Sequence[Batch],
        objective: Objective,
        config: BatchConfig,
        epochs: float,
        seed: int,
        adapter: str | None = "default",
    ) -> None:
        self._sequences: Sequences = InMemory(sequences) if isinstance(sequences, list | tuple) else sequences  # type: ignore[assignment]
        self._objective = objective
        self._config = config
        self._seed = seed
        self._adapter = adapter
        self.batch_size = config.size_for(len(self._sequences))
        self.steps_per_epoch = math.ceil(len(self._sequences) / self.batch_size)
        self.total_steps = max(1, round(self.steps_per_epoch * epochs))
        self._step = 0
        self._drawn: tuple[int, npt.NDArray[np.int64]] | None = None
        self.under_way: tuple[int, ...] = ()

    @property
    def step(self) -> int:
        """How many steps' work was given out."""
        return self._step

    def next(self) -> list[Work] | None:
        """Return the next step's work; None when finished."""
        if self._step >= self.total_steps:
            return None
        epoch, within = divmod(self._step, self.steps_per_epoch)
        order = self._order(epoch)
        size = self.batch_size
        self.under_way = tuple(order[within * size : (within + 1) * size].tolist())
        self._step += 1
        return self.work([self._sequences[i] for i in self.under_way])

    def first_pieces(self, steps: int = 6) -> list[Work]:
        """Return a micro-batch as large as those of a step for each of some steps, to measure their speed by."""
        size = self.batch_size
        total = len(self._sequences)
        chosen = [range(step * size, min((step + 1) * size, total)) for step in range(steps)]
        return [piece for indices in chosen for piece in self.work([self._sequences[i] for i in indices])[:1]]

    def work(self, sequences: Sequence[Batch]) -> list[Work]:
        """Pack sequences into micro-batches; what those of one begin with in common is computed once."""
        batches = micro_batches(sequences, self._config.micro_tokens)
        return [Work(self._objective, share(batch), self._adapter) for batch in batches]

    def longest_piece(self) -> Work:
        """Return the largest micro-batch that a step of the longest sequences makes, if they share nothing."""
        longest = np.argsort(-self._sequences.lengths, kind="stable")[: self.batch_size]
        batches = micro_batches([self._sequences[int(i)] for i in longest], self._config.micro_tokens)
        return Work(self._objective, max(batches, key=lambda batch: batch.tokens), self._adapter)

    @property
    def largest_micro_batch(self) -> int:
        """Most tokens that are computed at once, whatever the order: what memory must suffice for."""
        longest = np.sort(self._sequences.lengths)[::-1][: self.batch_size]
        return max(int(longest[0]), min(self._config.micro_tokens, int(longest.sum())))

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return the order of an epoch, drawn once for all its steps."""
        if self._drawn is None or self._drawn[0] != epoch:
            self._drawn = epoch, stream(self._seed, "order", epoch).permutation(len(self._sequences))
        return self._drawn[1]

    def state_dict(self) -> Mapping[str, Any]:
        """Return the cursor."""
        return {"step": self._step, "digest": self._digest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a cursor.

        Raises:
            GuardError: if the sequences or the batch size are not those of the state.
        """
        if state["digest"] != self._digest:
            raise GuardError(
                f"The data, batch size or seed differ from those of the checkpoint (digest {state['digest'][:12]}, "
                "here "
                f"{self._digest[:12]}): going on would not give the run that was begun. Start a new one."
            )
        self._step = int(state["step"])

    @cached_property
    def _digest(self) -> str:
        """Digest of all that decides the steps: the sequences, batch size, steps, seed."""
        return sha256_text(str(self.batch_size), str(self.total_steps), str(self._seed), self._sequences.digest)
