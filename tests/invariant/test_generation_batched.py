"""Batched generation = one prompt at a time, token for token; what is decoded is what a read of the whole text says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from measuring import PACKING

from luthier.core.types import Decoding
from luthier.generation.engine import BatchEngine
from luthier.generation.ordinary import OrdinaryEngine
from luthier.generation.readers import ModelReader
from luthier.generation.sequences import Generation, Turns
from luthier.models.readout_model import ReadoutModel
from luthier.models.readouts import NextTokenHits
from luthier.segments import join, sequence_batch

NEAR_TIE = 1e-4
"""Matrix kernels differ with the number of rows, logits by about 1e-6; a gap of the two best below this may flip."""

STOPS = frozenset(range(2, 30))
"""Enough of the 259 ids that some sequences stop and others reach their limit."""


def ragged(count: int, seed: int = 0) -> tuple[list[list[int]], list[Decoding]]:
    draw = np.random.default_rng(seed)
    prompts = [draw.integers(3, 259, int(draw.integers(1, 25))).tolist() for _ in range(count)]
    return prompts, [Decoding(max_tokens=int(draw.integers(1, 21))) for _ in range(count)]


def turns(stops: frozenset[int] = STOPS) -> Turns:
    return Turns(stops, lambda ids: "")


def engine(model: Any, batch: int = 32, stops: frozenset[int] = STOPS) -> BatchEngine:
    return BatchEngine(ModelReader(ReadoutModel(model), None), turns(stops), batch, record_gaps=True)


def near_ties(found: Sequence[Generation], wanted: Sequence[Generation]) -> int:
    """Count where two runs part at a near-tie; anywhere else they must not."""
    ties = 0
    for one, other in zip(found, wanted, strict=True):
        if one.tokens == other.tokens and one.finish == other.finish:
            continue
        at = next(i for i, (a, b) in enumerate(zip(one.tokens, other.tokens, strict=False)) if a != b)
        assert min(one.gap[at], other.gap[at]) < NEAR_TIE, f"parted at token {at} with a gap of {one.gap[at]}"
        ties += 1
    return ties


@pytest.mark.parametrize("family", PACKING)
def test_a_batch_gives_what_each_prompt_gives_alone(tiny: Callable[..., Any], family: str) -> None:
    model = tiny(family)
    prompts, decodings = ragged(12)
    alone = [
        engine(model, 1).generate([prompt], [decoding])[0] for prompt, decoding in zip(prompts, decodings, strict=True)
    ]
    together = engine(model, 12).generate(prompts, decodings)
    assert near_ties(together, alone) <= 1
    assert all(len(job.tokens) <= job.decoding.max_tokens for job in together)
    assert len({tuple(job.tokens) for job in together}) > 8, "the prompts must matter"


@pytest.mark.parametrize("batch", [1, 5, 32])
def test_the_batch_size_and_early_ends_change_nothing(tiny: Callable[..., Any], batch: int) -> None:
    model = tiny("mistral")
    prompts, decodings = ragged(24, seed=1)
    wanted = engine(model, 24).generate(prompts, decodings)
    assert near_ties(engine(model, batch).generate(prompts, decodings), wanted) <= 1
    assert {"stop", "length"} == {job.finish for job in wanted}


@pytest.mark.parametrize("ordinary", [False, True])
def test_progress_counts_answers_by_their_tokens(tiny: Callable[..., Any], ordinary: bool) -> None:
    model = tiny("mistral")
    prompts, decodings = ragged(12, seed=1)
    writer = OrdinaryEngine(ReadoutModel(model), None, turns()) if ordinary else engine(model, 5)
    gained: list[float] = []
    jobs = writer.generate(prompts, decodings, gained.append)
    assert {"stop", "length"} == {job.finish for job in jobs}
    assert sum(gained) == pytest.approx(12)
    assert min(gained) > 0
    if ordinary:  # the first sequence's tokens, then its end
        most, tokens = decodings[0].max_tokens, len(jobs[0].tokens)
        assert gained[:tokens] == pytest.approx([*[1 / most] * (tokens - 1), 1 - (tokens - 1) / most])


def test_a_stop_ends_a_sequence_and_nothing_else(tiny: Callable[..., Any]) -> None:
    model = tiny("llama")
    prompts, _ = ragged(8, seed=2)
    free = engine(model, stops=frozenset()).generate(prompts, [Decoding(20)] * 8)
    stop = free[0].tokens[4]
    stopped = engine(model, stops=frozenset({stop})).generate(prompts, [Decoding(20)] * 8)
    for job, whole in zip(stopped, free, strict=True):
        end = whole.tokens.index(stop) + 1 if stop in whole.tokens else 20
        assert job.tokens == whole.tokens[:end]
        assert job.finish == ("stop" if stop in whole.tokens else "length")


@pytest.mark.parametrize("family", PACKING)
def test_decoding_agrees_with_reading_the_whole_text(tiny: Callable[..., Any], family: str) -> None:
    # The cache's arithmetic against the training forward: each greedy token is the most probable one when read at once.
    model = tiny(family)
    prompts, _ = ragged(6, seed=3)
    jobs = engine(model, stops=frozenset()).generate(prompts, [Decoding(12)] * 6)
    texts = [(job.prompt, job.tokens) for job in jobs]
    batch = join(
        [
            sequence_batch(np.array([*p, *t]), np.r_[np.zeros(len(p)), np.ones(len(t))].astype(np.float32))
            for p, t in texts
        ]
    )
    hits = ReadoutModel(model).read(batch, [NextTokenHits()], None)["hits"]
    gaps = torch.tensor([gap for job in jobs for gap in job.gap])
    assert len(gaps) == len(hits) == 72
    assert bool(((hits == 1) | (gaps < NEAR_TIE)).all())


def test_packed_decoding_agrees_with_the_models_own_cache(tiny: Callable[..., Any]) -> None:
    model = tiny("gemma3_text")
    prompts, decodings = ragged(8, seed=4)
    ordinary = OrdinaryEngine(ReadoutModel(model), None, turns()).generate(prompts, decodings)
    assert [job.tokens for job in engine(model, 8).generate(prompts, decodings)] == [job.tokens for job in ordinary]


def test_streaming_gives_the_same_tokens(tiny: Callable[..., Any]) -> None:
    model = tiny("llama")
    prompts, _ = ragged(1, seed=5)
    lengths = [len(job.tokens) for job in engine(model, 1).stream(prompts[0], Decoding(9))]
    assert lengths == list(range(1, len(lengths) + 1))
    *_, last = engine(model, 1).stream(prompts[0], Decoding(9))
    assert last.tokens == engine(model, 1).generate(prompts, [Decoding(9)])[0].tokens


def streamed(writer: BatchEngine, prompt: Sequence[int], tokens: int = 12) -> Generation:
    return list(writer.stream(prompt, Decoding(tokens)))[-1]


@pytest.mark.parametrize("family", PACKING)
def test_a_conversation_goes_on_from_what_was_read_and_written(tiny: Callable[..., Any], family: str) -> None:
    model = tiny(family)
    writer, fresh = engine(model, stops=frozenset()), engine(model, stops=frozenset())
    writer.remembers = True
    said = ragged(1, seed=4)[0][0] * 3
    first = streamed(writer, said)
    second = [*said, *first.tokens, 40, 41, 42]  # the last token was never read
    for prompt, known in ((second, len(second) - 4), (second, len(second) - 1), ([*second[:30], 9, 9], 30)):
        found = streamed(writer, prompt)
        assert found.cached_tokens == known
        assert near_ties([found], [streamed(fresh, prompt)]) <= 1
    assert streamed(writer, [*second[:7], 9, 9]).cached_tokens == 0  # too little to be worth it
    assert streamed(writer, [7, *second]).cached_tokens == 0
    writer.remembers = False  # the weights may change from here on
    assert streamed(writer, [7, *second]).cached_tokens == 0
    assert writer.times.prefill_tokens == len(said) + 4 + 1 + 2 + 9 + 2 * (len(second) + 1)


def test_what_was_read_before_an_answer_was_stopped_is_known_as_well(tiny: Callable[..., Any]) -> None:
    writer = engine(tiny("llama"), stops=frozenset())
    writer.remembers = True
    prompt = list(range(30, 60))
    answering = writer.stream(prompt, Decoding(20))
    tokens = [next(answering).tokens[-1] for _ in range(4)]
    answering.close()
    found = streamed(writer, [*prompt, *tokens, 5])
    assert found.cached_tokens == len(prompt) + 3
    assert found.tokens == streamed(engine(tiny("llama"), stops=frozenset()), [*prompt, *tokens, 5]).tokens


def test_nothing_is_remembered_unless_asked_for(tiny: Callable[..., Any]) -> None:
    writer = engine(tiny("llama"))
    prompt = list(range(30, 60))
    streamed(writer, prompt)
    assert streamed(writer, prompt).cached_tokens == 0


def test_sampling_repeats_with_its_seed_in_any_batch(tiny: Callable[..., Any]) -> None:
    model = tiny("llama")
    prompts, _ = ragged(6, seed=6)

    def sample(seed: int, batch: int) -> list[list[int]]:
        decodings = [Decoding(12, temperature=1.0, top_p=0.9, seed=seed)] * 6
        return [job.tokens for job in engine(model, batch).generate(prompts, decodings)]

    assert sample(0, 6) == sample(0, 2)
    assert sample(0, 6) != sample(1, 6)


@pytest.mark.parametrize("family", PACKING)
@pytest.mark.parametrize("users", [3, 12])
def test_shared_beginnings_change_nothing(
    tiny: Callable[..., Any], family: str, users: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A block for all, a second one for half of them, equal prompts; few users are copied, many look at the block.
    monkeypatch.setattr("luthier.generation.engine._APART_TOKENS", 1)
    model = tiny(family)
    draw = np.random.default_rng(7)
    block, second = draw.integers(3, 259, 40).tolist(), draw.integers(3, 259, 20).tolist()
    own = [draw.integers(3, 259, int(draw.integers(1, 9))).tolist() for _ in range(users)]
    prompts = [block + (second if i % 2 else []) + tokens for i, tokens in enumerate(own)]
    prompts += [prompts[0], prompts[1], own[0]]
    decodings = [Decoding(8)] * len(prompts)
    alone = [engine(model, 1).generate([prompt], [Decoding(8)])[0] for prompt in prompts]
    shared = engine(model, 5)
    found = shared.generate(prompts, decodings)
    assert near_ties(found, alone) <= 1
    assert [job.cached_tokens for job in alone] == [0] * len(prompts)
    assert sum(job.cached_tokens for job in found) >= (users + 1) * len(block)
    read = sum(map(len, prompts)) - sum(job.cached_tokens for job in found)
    assert (shared.times.prefill_tokens, shared.times.cached_tokens) == (read, sum(map(len, prompts)) - read)


def test_what_is_read_at_once_is_bounded_with_the_prefixes_it_needs(
    tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luthier.generation.engine._APART_TOKENS", 1)
    monkeypatch.setattr("luthier.generation.engine.READ_TOKENS", 60)
    draw = np.random.default_rng(3)
    blocks = [draw.integers(3, 259, 40).tolist() for _ in range(2)]
    prompts = [block + draw.integers(3, 259, 5).tolist() for block in blocks for _ in range(9)]
    batched = engine(tiny("llama"), 18)
    widths: list[int] = []
    logits = batched.reader.logits

    def watched(ids: Any, *rest: Any) -> Any:
        widths.append(len(ids))
        return logits(ids, *rest)

    monkeypatch.setattr(batched.reader, "logits", watched)
    batched.generate(prompts, [Decoding(1)] * len(prompts))
    assert max(widths) <= 60
    assert sum(widths) == batched.times.prefill_tokens == 2 * 40 + 18 * 5


def test_slots_are_used_again(tiny: Callable[..., Any]) -> None:
    # 40 sequences of very different lengths in 8 slots: far fewer steps than 5 batches that wait for their longest.
    model = tiny("llama")
    prompts, _ = ragged(40, seed=8)
    limits = [60 if i % 8 == 0 else 4 for i in range(40)]
    decodings = [Decoding(limit) for limit in limits]
    told: list[float] = []
    found = engine(model, 8, stops=frozenset()).generate(prompts, decodings, told.append)
    assert [len(job.tokens) for job in found] == limits
    assert sum(told) == pytest.approx(40)
    assert len(told) < 5 * 60 / 2
