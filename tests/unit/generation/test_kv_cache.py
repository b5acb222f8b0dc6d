"""The key/value cache: filled by prefill and decoding, rows retired; a decoding step by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from luthier.generation.kv import DecodeStep, KeyValueCache, Prefill, Prefix, Reading
from luthier.models.attention import AttentionOptions

H, G, K = 4, 2, 4


def draw(tokens: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    query, key, value = (torch.randn(1, heads, tokens, K, generator=generator) for heads in (H, G, G))
    return query, key, value


def prefilled(options: AttentionOptions) -> tuple[KeyValueCache, Tensor, Tensor]:
    """Prefill two sequences of 3 and 2 tokens."""
    cache = KeyValueCache(2, capacity=6)
    query, key, value = draw(5, seed=0)
    readings = (Reading(0, 3, (), 0), Reading(3, 5, (), 1))
    Prefill(readings, torch.tensor([0, 1, 2, 0, 1]), cache)(query, key, value, options)
    return cache, key, value


def by_hand(query: Tensor, keys: Tensor, values: Tensor, options: AttentionOptions) -> Tensor:
    """Attend from one query `[H, K]` to `[G, n, K]`."""
    out, n = torch.zeros(H, K), keys.shape[1]
    for h in range(H):
        scores = [float(query[h] @ keys[h // 2, j]) * options.scale for j in range(n)]
        if options.softcap is not None:
            scores = [options.softcap * math.tanh(s / options.softcap) for s in scores]
        weights = [
            math.exp(s) if options.window is None or n - 1 - j < options.window else 0 for j, s in enumerate(scores)
        ]
        total = sum(weights) + (math.exp(float(options.sinks[h])) if options.sinks is not None else 0)
        out[h] = sum(w / total * values[h // 2, j] for j, w in enumerate(weights))
    return out


def test_prefill_stores_each_sequence_from_its_beginning() -> None:
    cache, key, value = prefilled(AttentionOptions(0, 0.5))
    keys, values = cache.layer(0, key)
    assert torch.equal(keys[0, :, :3], key[0, :, :3])
    assert torch.equal(keys[1, :, :2], key[0, :, 3:])
    assert torch.equal(values[1, :, :2], value[0, :, 3:])
    assert not keys[0, :, 3:].any()
    assert not keys[1, :, 2:].any()


@pytest.mark.parametrize(
    "options",
    [
        AttentionOptions(0, 0.5),
        AttentionOptions(0, 0.5, window=2),
        AttentionOptions(0, 0.5, softcap=0.7),
        AttentionOptions(0, 0.5, sinks=torch.tensor([0.5, -1.0, 2.0, 0.0])),
        AttentionOptions(0, 0.5, window=2, softcap=0.7),
    ],
    ids=["plain", "window", "soft cap", "sinks", "window and soft cap"],
)
def test_a_decoding_step_by_hand(options: AttentionOptions) -> None:
    cache, key, value = prefilled(options)
    query, new_key, new_value = draw(2, seed=1)
    found = DecodeStep(cache, torch.tensor([3, 2]))(query, new_key, new_value, options)
    assert found.shape == (1, 2, H, K)
    for row, past in enumerate((slice(0, 3), slice(3, 5))):
        keys = torch.cat([key[0, :, past], new_key[0, :, row : row + 1]], 1)
        values = torch.cat([value[0, :, past], new_value[0, :, row : row + 1]], 1)
        assert torch.allclose(found[0, row], by_hand(query[0, :, row], keys, values, options), atol=1e-6)


def test_the_last_sequences_take_the_slots_of_those_that_ended() -> None:
    cache = KeyValueCache(5, capacity=3)
    query, key, value = draw(5, seed=2)
    readings = tuple(Reading(i, i + 1, (), i) for i in range(5))
    for layer in (0, 1):
        Prefill(readings, torch.zeros(5, dtype=torch.long), cache)(
            query, key + layer, value, AttentionOptions(layer, 0.5)
        )
    cache.move([4, 3], [0, 2])
    held = [4, 1, 3]
    for layer in (0, 1):
        keys, values = cache.layer(layer, key)
        assert torch.equal(keys[:3, :, 0], (key + layer)[0, :, held].transpose(0, 1))
        assert torch.equal(values[:3, :, 0], value[0, :, held].transpose(0, 1))
    # Decoding goes on with three rows, and leaves the other slots alone.
    three = tuple(t[:, :, :3] for t in draw(5, seed=3))
    others = cache.layer(0, key)[0][3:].clone()
    found = DecodeStep(cache, torch.tensor([1, 1, 1]))(*three, AttentionOptions(0, 0.5))
    assert torch.equal(cache.layer(0, key)[0][3:], others)
    for row, sequence in enumerate(held):
        keys = torch.stack([key[0, :, sequence], three[1][0, :, row]], 1)
        values = torch.stack([value[0, :, sequence], three[2][0, :, row]], 1)
        wanted = by_hand(three[0][0, :, row], keys, values, AttentionOptions(0, 0.5))
        assert torch.allclose(found[0, row], wanted, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        AttentionOptions(0, 0.5),
        AttentionOptions(0, 0.5, window=3),
        AttentionOptions(0, 0.5, window=1),
        AttentionOptions(0, 0.5, softcap=0.7, sinks=torch.tensor([0.5, -1.0, 2.0, 0.0])),
    ],
    ids=["plain", "window", "window of one", "soft cap and sinks"],
)
@pytest.mark.parametrize("copied", [0, 1, 2])
def test_a_sequence_sees_its_prefixes_whether_apart_or_copied(options: AttentionOptions, copied: int) -> None:
    # Row: prefix a (0..3), b below it (3..5), a tail of two below b (5..7), and one below a alone (7..8).
    a = Prefix([1, 2, 3])
    b = Prefix([4, 5], a)
    cache = KeyValueCache(2, capacity=9)
    query, key, value = draw(8, seed=0)
    readings = (Reading(0, 3, (), a), Reading(3, 5, (a,), b), Reading(5, 7, (a, b), 1, copied), Reading(7, 8, (a,), 0))
    positions = torch.tensor([0, 1, 2, 3, 4, 5, 6, 3])
    read = Prefill(readings, positions, cache)(query, key, value, options)
    first = torch.tensor([0, 1, 2, 7])  # the path of slot 0, and of slot 1
    second = torch.tensor([0, 1, 2, 3, 4, 5, 6])
    for path, at in ((first, 7), (second, 6), (second[:6], 5), (second[:5], 4)):
        wanted = by_hand(query[0, :, at], key[0, :, path], value[0, :, path], options)
        assert torch.allclose(read[0, at], wanted, atol=1e-6)

    query, new_key, new_value = draw(2, seed=1)
    apart = [(a, None), (b, torch.tensor([1]))] if copied == 0 else [(a, None)] if copied == 1 else [
        (a, torch.tensor([0]))
    ]  # fmt: skip
    skips = torch.tensor([3, [5, 3, 0][copied]])
    found = DecodeStep(cache, torch.tensor([4, 7]), skips, apart)(query, new_key, new_value, options)
    for row, path in enumerate((first, second)):
        keys = torch.cat([key[0, :, path], new_key[0, :, row : row + 1]], 1)
        values = torch.cat([value[0, :, path], new_value[0, :, row : row + 1]], 1)
        assert torch.allclose(found[0, row], by_hand(query[0, :, row], keys, values, options), atol=1e-6)


def test_a_prefix_is_dropped_with_its_last_sequence() -> None:
    prefix = Prefix([1], users=2)
    prefix.keys[0] = prefix.values[0] = torch.zeros(G, 1, K)
    prefix.release()
    assert prefix.was_read
    prefix.release()
    assert not prefix.was_read
