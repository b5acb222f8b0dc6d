"""One sequence being generated, and when it has ended; what both engines share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from luthier.core.errors import GuardError
from luthier.core.types import Decoding, Finish
from luthier.generation.sampling import generator_for, next_token
from luthier.generation.structured import Grammars, Matcher, mask_rows


@dataclass(eq=False)
class Generation:
    """One sequence being generated.

    Attributes:
        prompt: Ids of the whole prompt.
        tokens: Ids generated so far.
        finish: Why it has ended; None while it has not.
        problem: What went wrong, where it has failed.
        cached_tokens: Tokens of the prompt that were read for another sequence.
        gap: Difference of the two highest logits at each token, where the engine records it.
    """

    prompt: Sequence[int]
    decoding: Decoding
    index: int
    generator: torch.Generator | None = None
    matcher: Matcher | None = None
    tokens: list[int] = field(default_factory=list)
    finish: Finish | None = None
    problem: str = ""
    cached_tokens: int = 0
    gap: list[float] = field(default_factory=list)

    @property
    def position(self) -> int:
        """Position of the last token in the sequence."""
        return len(self.prompt) + len(self.tokens) - 1

    @property
    def gained(self) -> float:
        """Share of the sequence that its last token brought: of the tokens it may have, or all that was left of it."""
        most = self.decoding.max_tokens
        return 1 / most if self.finish is None else 1 - (len(self.tokens) - 1) / most


@dataclass(frozen=True)
class Turns:
    """How turns begin and end: makes sequences and moves them on.

    Attributes:
        stop_ids: Ids that end a turn.
        decode: Ids to text, for stop strings.
        grammars: Compiles constraints.
    """

    stop_ids: frozenset[int]
    decode: Callable[[Sequence[int]], str]
    grammars: Grammars | None = None

    def begin(self, prompt: Sequence[int], decoding: Decoding, index: int) -> Generation:
        """Return a new sequence; `index` selects its random stream."""
        matcher = None
        if decoding.constraint is not None:
            assert self.grammars is not None, "a constraint needs grammars"
            matcher = self.grammars.matcher(decoding.constraint)
        return Generation(prompt, decoding, index, generator_for(decoding, index), matcher)

    def advance(self, jobs: Sequence[Generation], logits: Tensor) -> None:
        """Choose each sequence's next token from its row of logits `[N, V]` (fp32), and note which have ended.

        A sequence whose constraint cannot go on fails alone.
        """
        logits = mask_rows([_allowed(job) for job in jobs], logits)
        likeliest = logits.argmax(-1).tolist()
        drawn = [row for row, job in enumerate(jobs) if job.generator is not None]
        # One stream of random numbers on every device: it is the CPU's, so tokens are drawn there.
        here = dict(zip(drawn, logits[drawn].cpu(), strict=True)) if drawn else {}
        for row, job in enumerate(jobs):
            token = likeliest[row]
            if job.generator is not None:
                token = next_token(here[row], job.decoding, job.generator)
            job.tokens.append(token)
            job.finish = self._end(job, token)

    def _end(self, job: Generation, token: int) -> Finish | None:
        if not job.problem and token in self.stop_ids:
            return "stop"
        if not job.problem and job.matcher is not None:
            job.problem = _refusal(job.matcher, token)
        if job.problem:
            return "failed"
        if (job.matcher is not None and job.matcher.finished) or (job.decoding.stop and self._has_stop_text(job)):
            return "stop"  # nothing may follow but the end of the turn
        return "length" if len(job.tokens) >= job.decoding.max_tokens else None

    def _has_stop_text(self, job: Generation) -> bool:
        text = self.decode(job.tokens)
        return any(stop in text for stop in job.decoding.stop)


def _allowed(job: Generation) -> NDArray[np.uint8] | None:
    """Return which tokens a sequence's constraint allows next; None for all, also where the constraint cannot go on."""
    if job.matcher is None:
        return None
    try:
        return job.matcher.allowed()
    except GuardError as error:
        job.problem = str(error)
        return None


def _refusal(matcher: Matcher, token: int) -> str:
    """Go on by a token; return why that is not possible, or nothing."""
    try:
        matcher.accept(token)
    except GuardError as error:
        return str(error)
    return ""


@dataclass
class EngineTimes:
    """Tokens and seconds so far, of reading prompts and of writing answers."""

    prefill_tokens: int = 0
    cached_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_tokens: int = 0
    decode_seconds: float = 0.0
