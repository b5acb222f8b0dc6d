"""Several sampled answers to a row: what is asked, what is refused, and how sure the mean is."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import pytest

from luthier.core.errors import ConfigError
from luthier.core.types import Answer, Completion, Decoding, Example, Request, user
from luthier.evaluation.answerers import FinishedAnswers, Prompted
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.sampling import Sampled, all_alike, sampled_answerers, sampling_error
from luthier.evaluation.statistics import Scores
from luthier.evaluation.statistics.intervals import score_interval
from luthier.prompting.strategies.zero_shot import ZeroShot, ZeroShotConfig
from luthier.testing import ScriptedLanguageModel

EXAMPLES = [Example(name, user(f"{name}?"), ("yes",)) for name in "abcd"]
EXACT = build_metric("exact_match")


def scores_of(texts: Sequence[str], *metrics: str, examples: Sequence[Example] = EXAMPLES) -> Scores:
    answers = [Answer(e.id, text, "failed" if text == "!" else "stop") for e, text in zip(examples, texts, strict=True)]
    built = [build_metric(name, labels=("yes", "no")) for name in metrics or ("exact_match",)]
    return Scores.measure(",".join(texts), examples, answers, built)


# --------------------------------------------------------------------------------------------------------- asking


def test_each_row_and_sample_is_asked_with_a_seed_of_its_own() -> None:
    model = ScriptedLanguageModel(["yes"])
    answerers = sampled_answerers(Prompted(model, ZeroShot()), "model", 3, 0.7, seed=5)
    for answerer in answerers:
        assert [answer.text for answer in answerer.answer(EXAMPLES)] == ["yes"] * 4
    decodings = [request.decoding for batch in model.batches for request in batch]
    assert {decoding.temperature for decoding in decodings} == {0.7}
    assert len({decoding.seed for decoding in decodings}) == 12
    assert len({answerer.identity for answerer in answerers}) == 3
    # The stream is that of the row, wherever it stands, and of the seed, however many samples there are.
    (again,) = sampled_answerers(Prompted(model, ZeroShot()), "model", 1, 0.7, seed=7)
    list(again.answer(EXAMPLES[::-1]))
    assert [request.decoding.seed for request in model.batches[-1][::-1]] == [d.seed for d in decodings[8:]]
    assert again.identity == answerers[2].identity


def test_a_strategy_of_several_rounds_is_sampled_in_each() -> None:
    class TwoRounds:
        identity = "two rounds"

        def steps(self, example: Example) -> Generator[list[Request], list[Completion], Answer]:
            (first,) = yield [Request(user("draft"), Decoding(7))]
            second = yield [Request(user(first.text)), Request(user("other"))]
            return Answer(example.id, "+".join(one.text for one in second), "stop")

    model = ScriptedLanguageModel(lambda request: request.messages[0].content.upper())
    (answer,) = Prompted(model, Sampled(TwoRounds(), 0.5, 0)).answer(EXAMPLES[:1])
    assert answer.text == "DRAFT+OTHER"
    decodings = [request.decoding for batch in model.batches for request in batch]
    assert [decoding.temperature for decoding in decodings] == [0.5] * 3
    assert decodings[0].max_tokens == 7


def test_a_seed_that_changes_nothing_is_refused() -> None:
    greedy = Prompted(ScriptedLanguageModel(["yes"]), ZeroShot())
    with pytest.raises(ConfigError, match=r"At temperature 0 the seed 3 changes nothing\. Set --temperature above 0"):
        sampled_answerers(greedy, "model", 1, None, seed=3)
    assert len(sampled_answerers(greedy, "model", 1, 0.5, seed=3)) == 1


def test_an_answerer_keeps_its_own_temperature_where_none_is_said() -> None:
    warm = Prompted(ScriptedLanguageModel(["yes"]), ZeroShot(ZeroShotConfig(temperature=0.9)))
    for temperature, used in ((None, 0.9), (0.3, 0.3)):
        assert [one.strategy.temperature for one in sampled_answerers(warm, "m", 2, temperature)] == [used] * 2


def test_samples_that_cannot_differ_are_refused(tmp_path: Path) -> None:
    greedy = Prompted(ScriptedLanguageModel(["yes"]), ZeroShot())
    for temperature in (None, 0.0):
        with pytest.raises(ConfigError, match=r"^At temperature 0 all 5 samples of a row are the same .* such as 0\.7"):
            sampled_answerers(greedy, "model", 5, temperature)
    file = tmp_path / "mine.jsonl"
    file.write_text('{"example_id": "a", "text": "yes"}\n')
    with pytest.raises(
        ConfigError, match=r"^mine\.jsonl has one answer to each row and none to sample: .* Leave them out"
    ):
        sampled_answerers(FinishedAnswers(file), "mine.jsonl", 5, 0.7)
    assert len(sampled_answerers(greedy, "model", 1, 0.0)) == 1


def test_samples_that_do_not_differ_are_noticed() -> None:
    one, other = ([Answer("a", "x", "stop"), Answer("b", text, "stop")] for text in "yz")
    assert all_alike([one, one])
    assert not all_alike([one, other])


# -------------------------------------------------------------------------------------------------------- scoring


def test_a_row_is_the_mean_of_its_samples() -> None:
    samples = [scores_of(["yes", "no", "yes", "!"]), scores_of(["yes", "yes", "no", "no"])]
    found = Scores.over_samples(samples)
    assert found.rows["exact_match"][:, 0].tolist() == [1, 0.5, 0.5, 0]
    assert found.value("exact_match") == 0.5
    assert found.finishes == ("stop stop", "stop stop", "stop stop", "failed stop")
    assert found.failed == 1
    assert len(found) == 4
    assert Scores.from_json(found.to_json()).to_json() == found.to_json()
    assert Scores.over_samples(samples[:1]) is samples[0]


def test_a_ratio_of_sums_takes_all_samples_as_one_corpus() -> None:
    texts = [["yes", "no", "yes", "perhaps"], ["no", "no", "yes", "yes"]]
    examples = [Example(str(i), user("?"), (label,)) for i, label in enumerate(["yes", "no", "no", "yes"] * 2)]
    names = ("macro_f1", "mcc", "json_validity", "bleu", "chrf", "rouge1")
    whole = scores_of([*texts[0], *texts[1]], *names, examples=examples)
    found = Scores.over_samples([scores_of(some, *names, examples=examples[:4]) for some in texts])
    for name in names:
        assert found.value(name) == pytest.approx(whole.value(name)), name


def test_a_metric_that_needs_its_rows_one_by_one_is_refused() -> None:
    class Longest:
        name = "longest"
        higher_is_better = True

        def measure(self, example: Example, answer: Answer) -> tuple[float, ...]:
            return (float(len(answer.text)),)

        def value(self, rows: np.ndarray) -> np.ndarray:
            return rows[..., 0].max(axis=-1)

    one = Scores.measure("m", EXAMPLES, [Answer(e.id, "yes", "stop") for e in EXAMPLES], [Longest()])
    with pytest.raises(ConfigError, match="longest cannot be measured over several samples: it has no `reduction`"):
        Scores.over_samples([one, one])


def test_the_error_of_sampling_by_hand() -> None:
    # Half of the samples' differences are 0, -1/2, 1/2, 0: their variance (n - 1) over the rows is 1/6.
    samples = [scores_of(["yes", "no", "yes", "no"]), scores_of(["yes", "yes", "no", "no"])]
    assert sampling_error(samples, "exact_match") == pytest.approx(math.sqrt(1 / 6 / 4))
    assert sampling_error([samples[0], samples[0]], "exact_match") == 0.0


# -------------------------------------------------------------------------------------------------- how sure it is


def normal_rows(rows: int, samples: int, between: float, within: float, random: np.random.Generator) -> np.ndarray:
    """Draw scores `[samples, rows, 1]` around 0.5: rows scatter, and samples scatter within rows."""
    return (0.5 + between * random.standard_normal(rows) + within * random.standard_normal((samples, rows)))[..., None]


def test_the_interval_holds_both_parts_of_the_variance() -> None:
    """Its half-width is Student's quantile of sqrt((between^2 + within^2 / k) / n), neither more nor less."""
    between, within, rows, samples = 0.05, 0.12, 400, 4
    halves = []
    for seed in range(12):
        drawn = normal_rows(rows, samples, between, within, np.random.default_rng(seed))
        found = score_interval(EXACT, drawn.mean(axis=0), np.arange(rows), resamples=2000)
        halves.append((found.high - found.low) / 2)
    assert np.mean(halves) == pytest.approx(1.966 * math.sqrt((between**2 + within**2 / samples) / rows), rel=0.02)


def test_intervals_over_samples_hold_as_often_as_they_promise() -> None:
    """Rows that are nearly always right or nearly always wrong, five samples each; samples taken for rows fail."""
    random = np.random.default_rng(1)
    held = {"rows": 0, "samples": 0}
    for _ in range(200):
        chances = random.choice([0.05, 0.95], 50, p=[0.4, 0.6])
        drawn = (random.random((5, 50)) < chances).astype(float)[..., None]
        by_row = score_interval(EXACT, drawn.mean(axis=0), np.arange(50), resamples=400)
        by_sample = score_interval(EXACT, drawn.reshape(250, 1), np.arange(250), resamples=400)
        for name, found in (("rows", by_row), ("samples", by_sample)):
            held[name] += not found.excludes(0.4 * 0.05 + 0.6 * 0.95)
    assert 184 <= held["rows"] <= 198  # 95 % of 200 is 190
    assert held["samples"] < 150
