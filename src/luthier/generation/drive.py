"""The driver: advances all examples' strategies together and pools their requests.

A strategy is straight-line code that yields requests; here they meet the model. However many rounds a strategy has,
each round of all examples is one call of the model.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from luthier.core.protocols import LanguageModel, PromptStrategy
from luthier.core.types import Answer, Completion, Example, Request, Usage


@dataclass
class _Job:
    """One example's strategy on its way."""

    example: Example
    steps: Generator[list[Request], list[Completion], Answer]
    requests: list[Request]
    usage: Usage = Usage()
    answer: Answer | None = None

    def send(self, completions: list[Completion]) -> None:
        """Hand over completions; note the next requests, or the answer."""
        for completion in completions:
            self.usage += completion.usage
        try:
            self.requests = self.steps.send(completions)
        except StopIteration as end:
            self.requests, self.answer = [], end.value


def drive(strategy: PromptStrategy, model: LanguageModel, examples: Sequence[Example]) -> Iterator[Answer]:
    """Answer all examples with a strategy, yielding the answers in the examples' order.

    A completion that failed is handed to the strategy like any other; a strategy that has no answer for it returns one
    with finish "failed".
    """
    start = time.monotonic()
    jobs = [_start(strategy, example) for example in examples]
    while any(job.requests for job in jobs):
        waiting = [job for job in jobs if job.requests]
        pooled = [request for job in waiting for request in job.requests]
        completions = iter(model.complete(pooled))
        for job in waiting:
            job.send([next(completions) for _ in job.requests])
    seconds = (time.monotonic() - start) / max(1, len(jobs))
    for job in jobs:
        assert job.answer is not None, "a strategy ended without an answer"
        yield Answer(
            example_id=job.example.id,
            text=job.answer.text,
            finish=job.answer.finish,
            scores=job.answer.scores,
            usage=job.usage,
        ).timed(seconds)


def _start(strategy: PromptStrategy, example: Example) -> _Job:
    steps = strategy.steps(example)
    job = _Job(example, steps, [])
    try:
        job.requests = next(steps)
    except StopIteration as end:
        job.answer = end.value
    return job
