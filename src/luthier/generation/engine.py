"""Continuous batching: slots, packed prefill, shared prefixes read once, finished sequences retired early.

Sequences wait until a slot is free, are read together without padding, and then advance one token a step with all
others. What several prompts begin with (a few-shot block, a system prompt, a prompt that is sampled several times) is
read once: long beginnings with many users are held once and looked at from every sequence, others are copied.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from luthier.core.types import Decoding
from luthier.generation.kv import DecodeStep, KeyValueCache, Prefill, Prefix, Reading
from luthier.generation.readers import Reader
from luthier.generation.sequences import EngineTimes, Generation, Turns
from luthier.models.cost import CACHED_POSITIONS, READ_TOKENS
from luthier.segments.prefixes import share_prefixes

_SLOTS = 96
"""Sequences decoded together. A step reads all weights whatever their number; beyond about this many it is bound by
arithmetic, and more do not help."""
_IDLE_SHARE = 0.25
"""Slots stay idle until they are this share of all: reading new prompts pays only for several at once."""
_SHORT = 512
"""Positions of a tail up to which room matters less than company: with 16 to 64 rows looking at some 280 of them takes
a sixth to a third of a step, and a step of half the rows more than half the time."""
_APART_USERS, _APART_TOKENS = 8, 128
"""Prefixes are held apart from so many users and tokens on; below, copying costs less than looking at them apart."""


@dataclass(eq=False)
class _Sequence:
    """A sequence with its path: prefixes held apart, prefixes copied into its tail, tokens of its own."""

    job: Generation
    own: Sequence[int]
    path: tuple[Prefix, ...]
    copied: int

    @property
    def apart(self) -> tuple[Prefix, ...]:
        """The prefixes that are held apart, root first."""
        return self.path[: len(self.path) - self.copied]

    @property
    def skip(self) -> int:
        """Positions before the tail."""
        return self.apart[-1].end if self.apart else 0

    @property
    def room(self) -> int:
        """Positions that the tail may take."""
        return len(self.job.prompt) - self.skip + self.job.decoding.max_tokens

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return self.job.finish is None


class BatchEngine:
    """Generates for many prompts.

    Args:
        reader: What rows of tokens are read with.
        turns: How turns begin and end.
        slots: Sequences decoded together.
        record_gaps: Keep the difference of the two highest logits at each token, to find near-ties.

    Attributes:
        remembers: Keep the keys and values of the last prompt that was streamed and of its answer, for a next one that
            begins alike. Only for weights that stay as they are.
        times: What reading and writing took.
    """

    def __init__(self, reader: Reader, turns: Turns, slots: int = _SLOTS, record_gaps: bool = False) -> None:
        self.reader = reader
        self._turns = turns
        self._slots = slots
        self._record_gaps = record_gaps
        self.remembers = False
        self.times = EngineTimes()
        self._last: Prefix | None = None

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        decodings: Sequence[Decoding],
        progress: Callable[[float], None] = lambda n: None,
    ) -> list[Generation]:
        """Generate for all prompts, in their order; `progress` is told of each step, counted in whole answers."""
        pairs = zip(prompts, decodings, strict=True)
        jobs = [self._turns.begin(prompt, decoding, i) for i, (prompt, decoding) in enumerate(pairs)]
        self.reader.open()
        for cohort in _cohorts(_plant(jobs)):
            for gained in self._steps(cohort, self._cache(cohort)):
                progress(gained)
        return jobs

    def stream(self, prompt: Sequence[int], decoding: Decoding) -> Iterator[Generation]:
        """Generate for one prompt, yielding the growing sequence after each token."""
        job = self._turns.begin(prompt, decoding, 0)
        self.reader.open()
        known = self._last.beginning(prompt) if self.remembers and self._last else None
        path = (known,) if known else ()
        sequence = _Sequence(job, prompt[known.end if known else 0 :], path, len(path))
        cache = self._cache([sequence])
        try:
            for _ in self._steps([sequence], cache):
                yield job
        finally:
            if self.remembers and job.tokens:  # the last one was written, and not read yet
                self._last = cache.prefix(0, [*prompt, *job.tokens[:-1]])

    def _cache(self, cohort: Sequence[_Sequence]) -> KeyValueCache:
        room = max(sequence.room for sequence in cohort)
        return KeyValueCache(max(1, min(self._slots, CACHED_POSITIONS // room, len(cohort))), room)

    @torch.no_grad()
    def _steps(self, cohort: Sequence[_Sequence], cache: KeyValueCache) -> Iterator[float]:
        """Advance a cohort to its end; yields after each forward what it brought, counted in whole answers."""
        active: list[_Sequence] = []  # in the first slots of the cache, in this order
        waiting = deque(cohort)
        if len(cohort) > 1:  # the steps of a single sequence would not gain by it
            self.reader.prepare(sum(len(sequence.own) for sequence in cohort))
        while waiting or active:
            began = time.monotonic()
            if waiting and cache.slots - len(active) >= max(1, _IDLE_SHARE * cache.slots):
                moved = self._read(waiting, active, cache)
                self.times.prefill_seconds += time.monotonic() - began
            else:
                self._decode(active, cache)
                moved = list(active)
                self.times.decode_tokens += len(moved)
                self.times.decode_seconds += time.monotonic() - began
            for prefix in (prefix for sequence in moved if not sequence.active for prefix in sequence.path):
                prefix.release()
            _close_ranks(active, cache)
            yield sum(sequence.job.gained for sequence in moved)

    def _read(self, waiting: deque[_Sequence], active: list[_Sequence], cache: KeyValueCache) -> list[_Sequence]:
        """Read waiting prompts into idle slots, with the prefixes they need that were not read yet, as one row."""
        device = self.reader.device
        readings: list[Reading] = []
        ids: list[int] = []
        places: list[int] = []
        admitted: list[_Sequence] = []
        planned: set[Prefix] = set()

        def lay(tokens: Sequence[int], start: int, path: tuple[Prefix, ...], into: Prefix | int, copied: int) -> None:
            readings.append(Reading(len(ids), len(ids) + len(tokens), path, into, copied))
            ids.extend(tokens)
            places.extend(range(start, start + len(tokens)))

        while waiting and len(active) < cache.slots:
            sequence = waiting[0]
            unread = [prefix for prefix in sequence.path if not (prefix.was_read or prefix in planned)]
            more = len(sequence.own) + sum(len(prefix.tokens) for prefix in unread)
            if admitted and len(ids) + more > READ_TOKENS:
                break
            waiting.popleft()
            sequence.job.cached_tokens = len(sequence.job.prompt) - more
            planned.update(unread)
            for prefix in unread:
                lay(prefix.tokens, prefix.start, prefix.path[:-1], prefix, 0)
            start = sequence.path[-1].end if sequence.path else 0
            lay(sequence.own, start, sequence.path, len(active), sequence.copied)
            active.append(sequence)
            admitted.append(sequence)
        self.times.prefill_tokens += len(ids)
        self.times.cached_tokens += sum(sequence.job.cached_tokens for sequence in admitted)
        ends = torch.tensor([r.end - 1 for r in readings if isinstance(r.into, int)], device=device)
        positions = torch.tensor(places, device=device)
        attend = Prefill(readings, positions, cache)
        self._advance(admitted, self.reader.logits(torch.tensor(ids, device=device), positions, attend, ends))
        return admitted

    def _decode(self, active: Sequence[_Sequence], cache: KeyValueCache) -> None:
        """Compute one token a sequence."""
        device = self.reader.device
        last = torch.tensor([sequence.job.tokens[-1] for sequence in active], device=device)
        positions = torch.tensor([sequence.job.position for sequence in active], device=device)
        skips = torch.tensor([sequence.skip for sequence in active], device=device)
        longest = 1 + max(sequence.job.position - sequence.skip for sequence in active)
        self.reader.prepare(len(active))
        attend = DecodeStep(cache, positions, skips, self._apart(active), longest)
        self._advance(active, self.reader.logits(last, positions, attend, None))

    def _apart(self, active: Sequence[_Sequence]) -> list[tuple[Prefix, Tensor | None]]:
        """Group the sequences by the prefixes that are held apart."""
        below: dict[Prefix, list[int]] = {}
        for slot, sequence in enumerate(active):
            for prefix in sequence.apart:
                below.setdefault(prefix, []).append(slot)
        device = self.reader.device
        return [
            (prefix, None if len(slots) == len(active) else torch.tensor(slots, device=device))
            for prefix, slots in below.items()
        ]

    def _advance(self, sequences: Sequence[_Sequence], logits: Tensor) -> None:
        """Choose each sequence's next token from its row of logits `[N, V]`."""
        if self._record_gaps:
            top = logits.topk(2, dim=-1).values
            for sequence, gap in zip(sequences, (top[:, 0] - top[:, 1]).tolist(), strict=True):
                sequence.job.gap.append(gap)
        self._turns.advance([sequence.job for sequence in sequences], logits)


def _close_ranks(active: list[_Sequence], cache: KeyValueCache) -> None:
    """Let the last sequences take the slots of those that have ended."""
    left = sum(sequence.active for sequence in active)
    gaps = [slot for slot in range(left) if not active[slot].active]
    late = [slot for slot in range(left, len(active)) if active[slot].active]
    if gaps:
        cache.move(late, gaps)
    for gap, slot in zip(gaps, late, strict=True):
        active[gap] = active[slot]
    del active[left:]


def _plant(jobs: Sequence[Generation]) -> list[_Sequence]:
    """Find what the prompts begin with in common."""
    segments, leaves = share_prefixes([job.prompt for job in jobs])
    prefixes: dict[int, Prefix] = {}
    for index in sorted(set(range(len(segments))) - set(leaves)):
        segment = segments[index]
        prefixes[index] = Prefix(segment.tokens.tolist(), prefixes.get(segment.parent))
    paths = [prefixes[segments[leaf].parent].path if segments[leaf].parent >= 0 else () for leaf in leaves]
    for prefix in (prefix for path in paths for prefix in path):
        prefix.users += 1
    return [
        _Sequence(job, segments[leaf].tokens.tolist(), path, _copied(path))
        for job, leaf, path in zip(jobs, leaves, paths, strict=True)
    ]


def _copied(path: Sequence[Prefix]) -> int:
    """Say how many of a path's last prefixes are copied into the tail."""
    apart = [prefix for prefix in path if prefix.users >= _APART_USERS]  # the first ones: users grow fewer downwards
    return len(path) - len(apart) if apart and apart[-1].end >= _APART_TOKENS else len(path)


def _cohorts(sequences: Sequence[_Sequence]) -> list[list[_Sequence]]:
    """Group sequences whose tails take similar room: all slots of a cache are as long as the longest.

    Cohorts follow one another, and a step of few rows takes nearly as long as one of many: short ones stay together.
    """
    groups: dict[int, list[_Sequence]] = {}
    for sequence in sequences:
        groups.setdefault((max(_SHORT, sequence.room) - 1).bit_length(), []).append(sequence)
    return [groups[size] for size in sorted(groups)]
