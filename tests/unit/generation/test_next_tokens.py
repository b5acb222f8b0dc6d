"""From logits to the next token, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from luthier.core.errors import GuardError
from luthier.core.types import Decoding
from luthier.generation import sampling
from luthier.generation.sampling import draw, generator_for, next_token

# Probabilities .3 .5 .05 .15 at the ids 0 1 2 3.
LOGITS = torch.tensor([math.log(p) for p in (0.3, 0.5, 0.05, 0.15)])


@pytest.fixture
def probabilities(monkeypatch: pytest.MonkeyPatch) -> list[list[float]]:
    """The probabilities that tokens are drawn from."""
    seen: list[list[float]] = []

    def draw(weights: torch.Tensor, generator: object) -> int:
        seen.append(weights.tolist())
        return 0

    monkeypatch.setattr(sampling, "draw", draw)
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


@pytest.mark.parametrize(
    ("point", "wanted"), [(0.0, 1), (0.2499, 1), (0.25, 3), (0.7499, 3), (0.75, 4), (1.0 - 2.0**-53, 4)]
)
def test_what_is_drawn_stands_where_the_running_sum_passes_a_number(
    point: float, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has no probability is never drawn, wherever it stands."""
    monkeypatch.setattr(sampling.torch, "rand", lambda *_, **__: torch.tensor(point, dtype=torch.float64))
    assert draw(torch.tensor([0.0, 0.25, 0.0, 0.5, 0.25, 0.0]), None) == wanted


def test_many_unlikely_tokens_keep_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounded to single precision, the running sum past a large one would not move for numbers this small."""
    probabilities = torch.cat([torch.tensor([0.9]), torch.full((4_000_000,), 0.1 / 4_000_000)])
    point = 0.9 + 0.1 / 4_000_000 * 1_000.5
    monkeypatch.setattr(sampling.torch, "rand", lambda *_, **__: torch.tensor(point, dtype=torch.float64))
    assert abs(draw(probabilities, None) - 1001) <= 2


def test_logits_that_are_not_finite_are_refused() -> None:
    with pytest.raises(GuardError, match="not finite"):
        next_token(torch.tensor([0.0, float("nan")]), Decoding(temperature=1.0), None)


def test_each_request_has_a_stream_of_its_own() -> None:
    def draw(seed: int, index: int) -> list[int]:
        generator = generator_for(Decoding(temperature=1.0, seed=seed), index)
        return [next_token(LOGITS, Decoding(temperature=1.0), generator) for _ in range(30)]

    assert draw(0, 0) == draw(0, 0)
    assert len({tuple(draw(seed, index)) for seed in (0, 1) for index in (0, 1)}) == 4
