"""Several sampled answers to each row: how good a model is at a temperature, not how lucky one draw was.

All samples of a row stay together: their mean is the row's, and rows (clusters) are what is resampled. The variance of
a row's mean is that between rows plus that between a row's samples divided by their number, so the interval holds both
parts; drawing samples within the drawn rows as well would count the second part twice (Davison and Hinkley 1997,
"Bootstrap Methods and their Application", section 3.8). Samples taken for rows would make it too short.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import replace

from luthier.core.errors import ConfigError
from luthier.core.files import sha256_text
from luthier.core.protocols import Answerer, PromptStrategy
from luthier.core.seeding import derive
from luthier.core.types import Answer, Completion, Example, Request
from luthier.evaluation.answerers import Prompted
from luthier.evaluation.statistics import Scores
from luthier.evaluation.statistics.seeds import Group


class Sampled:
    """A strategy whose answers are sampled, each row's from a random stream of its own.

    A row's stream depends on the seed and the row's name: rows that are asked in different waves share none.
    """

    def __init__(self, strategy: PromptStrategy, temperature: float, seed: int) -> None:
        self.strategy = strategy
        self.temperature = temperature
        self.seed = seed
        self.identity = sha256_text(strategy.identity, f"temperature {temperature!r}", f"seed {seed}")

    def steps(self, example: Example) -> Generator[list[Request], list[Completion], Answer]:
        """Ask as the strategy asks, with this temperature and seed in every request."""
        steps = self.strategy.steps(example)
        try:
            requests = next(steps)
            while True:
                completions = yield [self._sampled(request, example) for request in requests]
                requests = steps.send(completions)
        except StopIteration as end:
            answer: Answer = end.value
            return answer

    def _sampled(self, request: Request, example: Example) -> Request:
        seed = derive(self.seed, "row", example.id)
        return replace(request, decoding=replace(request.decoding, temperature=self.temperature, seed=seed))


def sampled_answerers(
    answerer: Answerer, name: str, samples: int, temperature: float | None, seed: int = 0
) -> list[Prompted]:
    """Return an answerer a sample, alike but for their seeds: `seed`, `seed` + 1, and so on.

    Args:
        answerer: What answers.
        name: What the person wrote for it.
        samples: Answers to each row, at least 1.
        temperature: At which they are sampled; None for the answerer's own.
        seed: Of the first sample.

    Raises:
        ConfigError: for an answerer that cannot sample, or several samples or a seed at temperature 0.
    """
    strategy = getattr(answerer, "strategy", None)
    if not isinstance(answerer, Prompted) or strategy is None:
        raise ConfigError(
            f"{name} has one answer to each row and none to sample: --samples, --temperature and --seed are for "
            "language models and runs that ask one. Leave them out."
        )
    own = strategy.config.temperature if hasattr(strategy, "config") else 0.0
    used = own if temperature is None else temperature
    if samples > 1 and used <= 0:
        raise ConfigError(
            f"At temperature 0 all {samples} samples of a row are the same answer. Set --temperature above 0, such as "
            "0.7, or leave --samples out."
        )
    if seed and used <= 0:
        raise ConfigError(
            f"At temperature 0 the seed {seed} changes nothing. Set --temperature above 0, or leave --seed out."
        )
    return [Prompted(answerer.model, Sampled(strategy, used, seed + sample)) for sample in range(samples)]


def sampling_error(samples: Sequence[Scores], metric: str) -> float:
    """Return the standard error that sampling alone gives the mean score of samples, in the score's unit.

    It is part of the interval, and falls with the root of the number of samples; what more samples do not lower is the
    part that comes from the choice of rows.
    """
    first = samples[0]
    group = Group.of(first.metric(metric), [one.rows[metric] for one in samples], first.codes)
    return math.sqrt(group.shared / group.runs)


def all_alike(samples: Sequence[Sequence[Answer]]) -> bool:
    """Say whether all samples of every row are the same text."""
    return all(len({answer.text for answer in answers}) == 1 for answers in zip(*samples, strict=True))
