"""Generation for models that cannot pack: their own forward and cache, one prompt at a time.

Slower than the batch engine; the run says which of the two it was, and why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import torch

from luthier.core.types import Decoding
from luthier.generation.sequences import EngineTimes, Generation, Turns
from luthier.models.readout_model import ReadoutModel


class OrdinaryEngine:
    """One prompt at a time through the model's own cache; right for all that transformers can generate with.

    Attributes:
        remembers: Without effect: every prompt is read from its first token on.
        times: What reading and writing took.
    """

    def __init__(self, model: ReadoutModel, adapter: str | None, turns: Turns) -> None:
        self._model = model
        self._adapter = adapter
        self._turns = turns
        self.remembers = False
        self.times = EngineTimes()

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        decodings: Sequence[Decoding],
        progress: Callable[[float], None] = lambda n: None,
    ) -> list[Generation]:
        """Generate for all prompts, in their order; `progress` is told of each token, counted in whole answers."""
        jobs = []
        for index, (prompt, decoding) in enumerate(zip(prompts, decodings, strict=True)):
            job = self._turns.begin(prompt, decoding, index)
            for _ in self._steps(job):
                progress(job.gained)
            jobs.append(job)
        return jobs

    def stream(self, prompt: Sequence[int], decoding: Decoding) -> Iterator[Generation]:
        """Generate for one prompt, yielding the growing sequence after each token."""
        job = self._turns.begin(prompt, decoding, 0)
        for _ in self._steps(job):
            yield job

    @torch.no_grad()
    def _steps(self, job: Generation) -> Iterator[None]:
        loaded = self._model.loaded
        ids, cache = torch.tensor([list(job.prompt)], device=loaded.device), None
        while job.finish is None:
            began = time.monotonic()
            with self._model.reading(self._adapter, loaded.ordinary_attention):
                out = loaded.module(input_ids=ids, past_key_values=cache, use_cache=True)
            self._turns.advance([job], out.logits[:, -1].float())
            self._count(first=cache is None, tokens=ids.shape[1], seconds=time.monotonic() - began)
            cache = out.past_key_values
            ids = torch.tensor([[job.tokens[-1]]], device=loaded.device)
            yield

    def _count(self, *, first: bool, tokens: int, seconds: float) -> None:
        if first:
            self.times.prefill_tokens += tokens
            self.times.prefill_seconds += seconds
        else:
            self.times.decode_tokens += 1
            self.times.decode_seconds += seconds
