"""From logits to the next token, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from luthier.core.types import Decoding
from luthier.generation import sampling
from luthier.generation.sampling import generator_for, next_token

# Probabilities .3 .5 .05 .15 at the ids 0 1 2 3.
LOGITS = torch.tensor([math.log(p) for p in (0.3, 0.5, 0.05, 0.15)])


@pytest.fixture
def probabilities(monkeypatch: pytest.MonkeyPatch) -> list[list[float]]:
    """The probabilities that tokens are drawn from."""
    seen: list[list[float]] = []

    def multinomial(weights: torch.Tensor, count: int, generator: object) -> torch.Tensor:
        seen.append(weights.tolist())
        return torch.tensor([0])

    monkeypatch.setattr(sampling.torch, "multinomial", multinomial)
    return seen


@pytest.mark.parametrize(
    ("decoding", "wanted"),
    [
        (Decoding(temperature=1.0), [0.3, 0.5, 0.05, 0.15]),
        (Decoding(temperature=1.0, top_k=2), [0.375, 0.625, 0, 0]),
        (Decoding(temperature=1.0, top_k=1), [0, 1, 0, 0]),
        (Decoding(temperature=1.0, top_k=99), [0.3, 0.5, 0.05, 0.15]),
        # The smallest set whose probability reaches top_p: .5, then .8, then .95.
        (Decoding(temperature=1.0, top_p=0.49), [0, 1, 0, 0]),
        (Decoding(temperature=1.0, top_p=0.51), [0.375, 0.625, 0, 0]),
        (Decoding(temperature=1.0, top_p=0.79), [0.375, 0.625, 0, 0]),
        (Decoding(temperature=1.0, top_p=0.81), [0.3 / 0.95, 0.5 / 0.95, 0, 0.15 / 0.95]),
        (Decoding(temperature=1.0, top_p=1e-9), [0, 1, 0, 0]),
        # top_k first, then top_p of what is left: .625 alone reaches 0.6.
        (Decoding(temperature=1.0, top_k=2, top_p=0.6), [0, 1, 0, 0]),
        # Temperature first: 1/2 squares the probabilities, .09 .25 .0025 .0225 of .365.
        (Decoding(temperature=0.5), [0.09 / 0.365, 0.25 / 0.365, 0.0025 / 0.365, 0.0225 / 0.365]),
        (Decoding(temperature=0.5, top_p=0.6), [0, 1, 0, 0]),
        (Decoding(temperature=1.0, top_p=0.6), [0.375, 0.625, 0, 0]),
    ],
)
def test_what_is_drawn_from(probabilities: list[list[float]], decoding: Decoding, wanted: list[float]) -> None:
    next_token(LOGITS, decoding, None)
    assert probabilities == [pytest.approx(wanted, abs=1e-6)]


def test_greedy_takes_the_best_and_draws_nothing(probabilities: list[list[float]]) -> None:
    assert next_token(LOGITS, Decoding(), None) == 1
    assert probabilities == []
    assert generator_for(Decoding(), 3) is None


def test_draws_follow_the_probabilities() -> None:
    generator = generator_for(Decoding(temperature=1.0), 0)
    drawn = [next_token(LOGITS, Decoding(temperature=1.0, top_k=2), generator) for _ in range(2000)]
    assert set(drawn) == {0, 1}
    assert abs(drawn.count(1) / 2000 - 0.625) < 0.04  # four standard deviations


def test_each_request_has_a_stream_of_its_own() -> None:
    def draw(seed: int, index: int) -> list[int]:
        generator = generator_for(Decoding(temperature=1.0, seed=seed), index)
        return [next_token(LOGITS, Decoding(temperature=1.0), generator) for _ in range(30)]

    assert draw(0, 0) == draw(0, 0)
    assert len({tuple(draw(seed, index)) for seed in (0, 1) for index in (0, 1)}) == 4
