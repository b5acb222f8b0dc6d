"""A batch engine: packed prefill, decoding with a cache, finished sequences retired early.

Prompts are taken in batches of similar length. A prompt is computed once, without padding; then all sequences of the
batch advance one token a step, and those that have ended leave the batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from luthier.core.types import Decoding, Finish
from luthier.generation.kv import DecodeStep, KeyValueCache, Prefill
from luthier.generation.sampling import generator_for, next_token
from luthier.models.attention import ATTENTION_NAME
from luthier.models.readout_model import ReadoutModel
from luthier.segments import Batch, PackedLayout, Segment, Targets

_BATCH = 64
_BATCH_TOKENS = 16_384
"""Sequences, and cached positions, decoded together. More sequences a step use the weights that are read anyway; the
cache bounds memory (a 135 M model keeps 23 kB a position in bf16)."""
_RETIRE_SHARE = 0.25
"""Finished sequences are dropped from the cache when they are a quarter of it: copying it each time costs more."""


@dataclass
class Generation:
    """One sequence being generated."""

    prompt: Sequence[int]
    decoding: Decoding
    index: int
    tokens: list[int] = field(default_factory=list)
    finish: Finish | None = None
    generator: torch.Generator | None = None
    gap: list[float] = field(default_factory=list)

    def accept(self, token: int, stop_ids: frozenset[int], stopped: Callable[[Sequence[int], Decoding], bool]) -> None:
        """Take in the next token and decide whether the sequence has ended."""
        self.tokens.append(token)
        if token in stop_ids or (self.decoding.stop and stopped(self.tokens, self.decoding)):
            self.finish = "stop"
        elif len(self.tokens) >= self.decoding.max_tokens:
            self.finish = "length"


@dataclass
class EngineTimes:
    """Tokens and seconds so far, of reading prompts and of writing answers."""

    prefill_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_tokens: int = 0
    decode_seconds: float = 0.0

    def drain(self, steps: Iterator[None], jobs: Sequence[Generation]) -> None:
        """Run a batch to its end: its first step reads the prompts, the others write."""
        began = time.monotonic()
        next(steps)
        read = time.monotonic()
        for _ in steps:
            pass
        self.prefill_tokens += sum(len(job.prompt) for job in jobs)
        self.prefill_seconds += read - began
        self.decode_tokens += sum(len(job.tokens) - 1 for job in jobs)
        self.decode_seconds += time.monotonic() - read


class BatchEngine:
    """Generates for many prompts.

    Args:
        model: The module whose backbone is called.
        adapter: The adapter that is on.
        stop_ids: Ids that end a turn.
        decode: Ids to text, for stop strings.
        batch: Sequences decoded together.
    """

    def __init__(
        self,
        model: ReadoutModel,
        adapter: str | None,
        stop_ids: frozenset[int],
        decode: Callable[[Sequence[int]], str],
        batch: int = _BATCH,
    ) -> None:
        self._model = model
        self._adapter = adapter
        self._stop_ids = stop_ids
        self._decode = decode
        self._batch = batch
        self.times = EngineTimes()

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        decodings: Sequence[Decoding],
        progress: Callable[[int], None] = lambda n: None,
    ) -> list[Generation]:
        """Generate for all prompts, in their order; `progress` is told how many have ended."""
        pairs = zip(prompts, decodings, strict=True)
        jobs = [Generation(p, d, i, generator=generator_for(d, i)) for i, (p, d) in enumerate(pairs)]
        order = sorted(jobs, key=lambda job: (len(job.prompt) + job.decoding.max_tokens, job.index))
        for members in self._batches(order):
            self.times.drain(self._run(members), members)
            progress(len(members))
        return jobs

    def stream(self, prompt: Sequence[int], decoding: Decoding) -> Iterator[Generation]:
        """Generate for one prompt, yielding the growing sequence after each token."""
        job = Generation(prompt, decoding, 0, generator=generator_for(decoding, 0))
        for _ in self._run([job]):
            yield job

    def _batches(self, ordered: Sequence[Generation]) -> Iterator[list[Generation]]:
        """Group jobs of rising length, so that the cache of each group stays within bounds."""
        group: list[Generation] = []
        for job in ordered:
            longest = len(job.prompt) + job.decoding.max_tokens  # of the group with this job, since lengths rise
            if group and (len(group) == self._batch or (len(group) + 1) * longest > _BATCH_TOKENS):
                yield group
                group = []
            group.append(job)
        if group:
            yield group

    @torch.no_grad()
    def _run(self, jobs: Sequence[Generation]) -> Iterator[None]:
        """Advance a batch to its end, yielding after each step."""
        cache = KeyValueCache(len(jobs), max(len(job.prompt) + job.decoding.max_tokens for job in jobs))
        active = list(jobs)
        self._take(active, self._prefill(active, cache))
        yield
        rows = list(active)  # the job of each row of the cache
        while active := [job for job in rows if job.finish is None]:
            if len(rows) - len(active) > _RETIRE_SHARE * len(rows):
                keep = [i for i, job in enumerate(rows) if job.finish is None]
                cache.keep(torch.tensor(keep, device=self._model.loaded.device))
                rows = active
            logits = self._decode_step(rows, cache)
            unfinished = [i for i, job in enumerate(rows) if job.finish is None]
            self._take([rows[i] for i in unfinished], logits[unfinished])
            yield

    def _take(self, jobs: Sequence[Generation], logits: Tensor) -> None:
        """Choose each job's next token from its row of logits `[N, V]`."""
        greedy = logits.argmax(-1).tolist()
        top = logits.topk(2, dim=-1).values
        gaps = (top[:, 0] - top[:, 1]).tolist()
        for row, job in enumerate(jobs):
            token = greedy[row] if job.generator is None else next_token(logits[row], job.decoding, job.generator)
            job.gap.append(gaps[row])
            job.accept(token, self._stop_ids, self._stopped)

    def _stopped(self, tokens: Sequence[int], decoding: Decoding) -> bool:
        text = self._decode(tokens)
        return any(stop in text for stop in decoding.stop)

    def _prefill(self, jobs: Sequence[Generation], cache: KeyValueCache) -> Tensor:
        """Compute the prompts as one packed row; return the logits `[N, V]` after each."""
        segments = tuple(Segment(np.asarray(job.prompt, dtype=np.int64)) for job in jobs)
        layout = PackedLayout(Batch(segments, _no_targets()), self._model.loaded.device)
        ends = torch.tensor([span.query[1] - 1 for span in layout.plan.spans])
        attend = Prefill(layout.plan, cache, range(len(jobs)))
        return self._logits(layout.input_ids, layout.position_ids, attend, ends)

    def _decode_step(self, rows: Sequence[Generation], cache: KeyValueCache) -> Tensor:
        """Compute one token a row; a row that has ended repeats its last token until it is retired."""
        device = self._model.loaded.device
        last = torch.tensor([[job.tokens[-1] for job in rows]], device=device)
        positions = torch.tensor([len(job.prompt) + len(job.tokens) - 1 for job in rows], device=device)
        return self._logits(last, positions[None], DecodeStep(cache, positions), None)

    def _logits(self, input_ids: Tensor, position_ids: Tensor, attend: Any, read_at: Tensor | None) -> Tensor:
        with self._model.reading(self._adapter, ATTENTION_NAME):
            hidden = self._model.module.base_model(
                input_ids=input_ids, position_ids=position_ids, use_cache=False, attend=attend
            ).last_hidden_state[0]
            return self._model.loaded.output(hidden if read_at is None else hidden[read_at])


def _no_targets() -> Targets:
    empty = torch.zeros(0, dtype=torch.long)
    return Targets(empty, empty, torch.zeros(0), empty, empty)
