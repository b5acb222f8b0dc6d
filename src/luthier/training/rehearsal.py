"""A rehearsal before the first step: what a run will need at its worst, done once while nothing is at stake.

The longest micro-batch forward and backward, the longest piece of validation, one checkpoint written, verified and read
back. A run that would run out of memory in its third hour, or could not save in its fourth, ends here instead.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from luthier.core.errors import GuardError, OutOfMemoryError
from luthier.core.files import sha256_file
from luthier.models.device import ran_out_of_memory, random_apart
from luthier.models.readout_model import Work
from luthier.training.checkpoints import Checkpoints, verify
from luthier.training.state import TrainingState


def rehearse(state: TrainingState, training: Work, validation: Sequence[Work], folder: Path) -> dict[str, Any]:
    """Do the worst of a run once; the training state is afterwards what it was.

    Args:
        state: At step 0.
        training: The longest micro-batch there can be.
        validation: Work of validation, or none.
        folder: Where checkpoints will lie; one is written beside it and removed.

    Returns:
        What was done: tokens read at once, bytes of a checkpoint. The same for the same run.

    Raises:
        OutOfMemoryError: if memory does not suffice.
        GuardError: if a checkpoint does not read back as it was written.
        OSError: if it cannot be written.
    """
    engine = state.engine
    longest = max(validation, key=lambda piece: piece.batch.tokens, default=None)
    with random_apart(next(engine.model.parameters()).device), _in_memory(training.batch.tokens):
        engine.model.train()
        output = engine.forward(training)
        engine.backward(torch.stack([total * 0.0 for total in output.totals.values()]).sum(), last=True)
        for parameter in engine.model.parameters():
            parameter.grad = None
        if longest is not None:
            engine.model.eval()
            with torch.no_grad():
                engine.forward(longest)
            engine.model.train()
    return {
        "training_tokens": training.batch.tokens,
        "validation_tokens": longest.batch.tokens if longest is not None else 0,
        "checkpoint_bytes": _save_and_reload(state, folder.with_name(f".{folder.name}.rehearsal.part")),
    }


@contextmanager
def _in_memory(tokens: int) -> Iterator[None]:
    """Turn running out of memory into a sentence (the process may also be ended by the system before that)."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"There is not enough memory for the longest micro-batch ({tokens} tokens): found in the rehearsal, before "
            "the first step. Give fewer tokens at once (batch.micro_tokens=512), recompute activations "
            "(training.recompute=true), shorten the longest rows, or choose a smaller model."
        ) from None


def _save_and_reload(state: TrainingState, place: Path) -> int:
    """Write a checkpoint, verify it, read it back and write it again: both must be the same bytes."""
    shutil.rmtree(place, ignore_errors=True)
    try:
        first, second = Checkpoints(place / "first"), Checkpoints(place / "second")
        written = first.save(state)
        if problem := verify(written):
            raise GuardError(f"A checkpoint written in the rehearsal does not verify: {problem}. Is the disk broken?")
        first.resume_newest_that_verifies(state)
        again = second.save(state)
        for file in sorted(written.iterdir(), reverse=True):  # the manifest, which holds digests of the others, last
            if sha256_file(file) != sha256_file(again / file.name):
                raise GuardError(
                    f"A checkpoint read back in the rehearsal is not what was written ({file.name} differs), so this "
                    "run could not go on exactly after a stop. Please report it."
                )
        return sum(file.stat().st_size for file in written.iterdir())
    finally:
        shutil.rmtree(place, ignore_errors=True)
