"""Scoring given continuations: prompts and what they have in common are computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from luthier.models.cost import READ_TOKENS
from luthier.models.readout_model import ReadoutModel
from luthier.models.readouts import TokenLogps
from luthier.segments import Batch, join, sequence_batch, share
from luthier.segments.prefixes import LEAST_SHARED


@dataclass(frozen=True)
class Options:
    """A prompt and the continuations to be scored after it, as ids; none is empty."""

    prompt: Sequence[int]
    continuations: Sequence[Sequence[int]]


def score(model: ReadoutModel, adapter: str | None, asked: Sequence[Options]) -> list[tuple[float, ...]]:
    """Return the summed log-probability (nats, fp32) of every continuation after its prompt."""
    found: list[tuple[float, ...]] = [()] * len(asked)
    with model.loaded.in_fp32():  # once for all chunks
        for members in _chunks(asked):
            batch = scoring_batch([asked[i] for i in members])
            logps = model.read(batch, [TokenLogps()], adapter, exact=True)["logps"].cpu()
            sums = iter(torch.zeros(batch.targets.sequences).index_add_(0, batch.targets.sequence, logps).tolist())
            for i in members:
                found[i] = tuple(next(sums) for _ in asked[i].continuations)
    return found


def scoring_batch(asked: Sequence[Options], least: int = LEAST_SHARED) -> Batch:
    """Return the forest of all prompts and continuations; the continuations' tokens are the targets.

    A sequence is one continuation, a group those of one prompt.
    """
    batch = join([_sequence(one.prompt, continuation) for one in asked for continuation in one.continuations])
    groups = torch.tensor([group for group, one in enumerate(asked) for _ in one.continuations])
    return share(replace(batch, targets=replace(batch.targets, group=groups)), least)


def _sequence(prompt: Sequence[int], continuation: Sequence[int]) -> Batch:
    weights = np.repeat(np.array([0, 1], dtype=np.float32), [len(prompt), len(continuation)])
    return sequence_batch(np.array([*prompt, *continuation], dtype=np.int64), weights)


def _chunks(asked: Sequence[Options]) -> Iterator[list[int]]:
    """Group prompts that begin alike, as many as may be computed at once."""
    order = sorted(range(len(asked)), key=lambda i: list(asked[i].prompt))
    members: list[int] = []
    used = 0
    for position, i in enumerate(order):
        answers = sum(map(len, asked[i].continuations))
        before = asked[order[position - 1]].prompt if members else ()
        new = len(asked[i].prompt) - _alike(before, asked[i].prompt) + answers
        if members and used + new > READ_TOKENS:
            yield members
            members, used, new = [], 0, len(asked[i].prompt) + answers
        members.append(i)
        used += new
    if members:
        yield members


def _alike(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the common beginning."""
    pairs = zip(first, second, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
