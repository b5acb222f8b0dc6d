"""Generation for models that cannot pack: transformers' own `generate`, with mask and positions set here.

Slower than the batch engine; the run says which of the two it was, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from luthier.core.types import Decoding
from luthier.generation.engine import EngineTimes, Generation
from luthier.generation.sampling import generator_for, next_token
from luthier.models.readout_model import ReadoutModel


class OrdinaryEngine:
    """One prompt at a time through the model's own cache; right for all that transformers can generate with."""

    def __init__(
        self,
        model: ReadoutModel,
        adapter: str | None,
        stop_ids: frozenset[int],
        decode: Callable[[Sequence[int]], str],
    ) -> None:
        self._model = model
        self._adapter = adapter
        self._stop_ids = stop_ids
        self._decode = decode
        self.times = EngineTimes()

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        decodings: Sequence[Decoding],
        progress: Callable[[int], None] = lambda n: None,
    ) -> list[Generation]:
        """Generate for all prompts, in their order."""
        jobs = []
        for index, (prompt, decoding) in enumerate(zip(prompts, decodings, strict=True)):
            job = Generation(prompt, decoding, index, generator=generator_for(decoding, index))
            self.times.drain(self._run(job), [job])
            jobs.append(job)
            progress(1)
        return jobs

    def stream(self, prompt: Sequence[int], decoding: Decoding) -> Iterator[Generation]:
        """Generate for one prompt, yielding the growing sequence after each token."""
        job = Generation(prompt, decoding, 0, generator=generator_for(decoding, 0))
        for _ in self._run(job):
            yield job

    @torch.no_grad()
    def _run(self, job: Generation) -> Iterator[None]:
        loaded = self._model.loaded
        ids, cache = torch.tensor([list(job.prompt)], device=loaded.device), None
        while job.finish is None:
            with self._model.reading(self._adapter, loaded.ordinary_attention):
                out = loaded.module(input_ids=ids, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            logits = out.logits[0, -1].float()
            token = int(logits.argmax()) if job.generator is None else next_token(logits, job.decoding, job.generator)
            job.accept(token, self._stop_ids, self._stopped)
            ids = torch.tensor([[token]], device=loaded.device)
            yield

    def _stopped(self, tokens: Sequence[int], decoding: Decoding) -> bool:
        text = self._decode(tokens)
        return any(stop in text for stop in decoding.stop)
