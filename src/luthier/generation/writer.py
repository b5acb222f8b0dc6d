"""From requests to texts: prompts are rendered, an engine continues them, tokens become text again."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from luthier.core.errors import LuthierError
from luthier.core.types import Completion, Decoding, Request, Usage
from luthier.data.render import Renderer
from luthier.generation.sequences import EngineTimes, Generation, Turns
from luthier.generation.structured import Grammars


class Engine(Protocol):
    """Continues prompts, given as ids."""

    times: EngineTimes
    remembers: bool

    def generate(
        self, prompts: Sequence[Sequence[int]], decodings: Sequence[Decoding], progress: Callable[[float], None] = ...
    ) -> list[Generation]:
        """Generate for all prompts, in their order; `progress` is told what was done, in whole answers."""
        ...

    def stream(self, prompt: Sequence[int], decoding: Decoding) -> Iterator[Generation]:
        """Generate for one prompt, yielding the growing sequence after each token."""
        ...


class Writer(ABC):
    """Writes with a model.

    Args:
        renderer: Renders conversations for it.
        vocabulary: Width of its logits.
        engine: Makes the engine, given how turns begin and end.
    """

    def __init__(self, renderer: Renderer, vocabulary: int, engine: Callable[[Turns], Engine]) -> None:
        self.renderer = renderer
        stop_ids = renderer.template.stop_ids
        self.engine = engine(Turns(stop_ids, self._text, Grammars(renderer.tokenizer, vocabulary, stop_ids)))
        self.progress: Callable[[float], None] = lambda n: None

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Complete all requests, in their order: those with continuations are scored, the others generated."""
        completions: dict[int, Completion] = {}
        to_score: dict[int, Request] = {}
        prompts: dict[int, list[int]] = {}
        for i, request in enumerate(requests):
            if request.continuations:
                to_score[i] = request
                continue
            try:
                prompts[i] = self._prompt(request)
            except LuthierError as error:
                completions[i] = Completion(str(error), "failed")
        start = time.monotonic()
        jobs = self.engine.generate(list(prompts.values()), [requests[i].decoding for i in prompts], self.progress)
        share = (time.monotonic() - start) / max(1, len(jobs))
        for i, job in zip(prompts, jobs, strict=True):
            completions[i] = self._completion(job, share)
        completions |= self._score(to_score) if to_score else {}
        return [completions[i] for i in range(len(requests))]

    def stream(self, request: Request) -> Iterator[str]:
        """Yield the pieces of one text as they come; a piece never ends inside a character."""
        shown = ""
        for job in self.engine.stream(self._prompt(request), request.decoding):
            text = self._completion(job, 0.0).text
            if job.finish is None:
                if text.endswith("\ufffd"):  # an unfinished multi-byte character
                    continue
                text = text[: len(text) - _begun(text, request.decoding.stop)]
            yield text[len(shown) :]
            shown = text

    def times_of(self, requests: Sequence[Request]) -> EngineTimes:
        """Complete requests, and say how long reading and writing took."""
        self.engine.times = EngineTimes()
        self.complete(requests)
        return self.engine.times

    @abstractmethod
    def _score(self, asked: Mapping[int, Request]) -> dict[int, Completion]:
        """Score the continuations of requests."""

    def _prompt(self, request: Request) -> list[int]:
        ids = self.renderer.prompt_ids(request.messages)
        room = self.renderer.context - request.decoding.max_tokens
        if len(ids) > room:
            raise LuthierError(
                f"The prompt has {len(ids)} tokens; with an answer of up to {request.decoding.max_tokens} the model "
                f"takes {room}."
            )
        return ids

    def _completion(self, job: Generation, seconds: float) -> Completion:
        tokens = job.tokens
        usage = Usage(1, len(job.prompt), job.cached_tokens, len(tokens), seconds)
        if job.finish == "failed":
            return Completion(job.problem, "failed", usage=usage)
        if job.finish == "stop" and tokens[-1] in self.renderer.template.stop_ids:
            tokens = tokens[:-1]
        text = self._text(tokens)
        for stop in job.decoding.stop:
            text = text.split(stop, 1)[0]
        return Completion(text, job.finish or "length", usage=usage)

    def _text(self, tokens: Sequence[int]) -> str:
        text: str = self.renderer.tokenizer.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text


def _begun(text: str, stops: Sequence[str]) -> int:
    """Return the length of the end of a text that may become a stop string."""
    return max((n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0)
