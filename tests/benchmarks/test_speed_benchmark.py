"""The speed benchmark's first table: what was asked, what was found, and whether it was kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from benchmark_files import load


def turns(seconds: Sequence[float], peak: float, **more: Any) -> list[dict[str, Any]]:
    return [
        {"seconds": s, "peak_bytes": peak * 1e9, **{k: v[i] for k, v in more.items()}} for i, s in enumerate(seconds)
    ]


def lines(results: dict[str, Any]) -> list[str]:
    return list(load("speed", "asked").summary(results).splitlines()[2:])


def test_a_ratio_is_the_median_over_turns_and_memory_the_highest_of_any() -> None:
    own = turns([1.0, 2.0, 4.0], 1.0, loss=[2.0, 1.5, 1.0])
    own[1]["peak_bytes"] = 2e9
    trl = turns([3.0, 4.0, 16.0], 4.0, loss=[2.000001, 1.6, 1.0])  # 3, 2 and 4 times
    default = turns([3.0, 6.0, 12.0], 5.0, loss=[2.1, 1.5, 1.0])
    found = lines({"sft-lora.fp32": {"turns": {"luthier": own, "trl": trl, "trl-default": default}}})
    title = "supervised, LoRA on all linear layers, fp32"
    assert found == [
        f"| {title} | at least 2.5 times as quick as TRL, no gradient checkpointing | 3.00 | yes |",
        f"| {title} | at most 45% of the memory of TRL, no gradient checkpointing | 50% | **no** |",
        f"| {title} | loss of TRL, no gradient checkpointing, to 1e-06 | 5e-07 | yes |",
        f"| {title} | at most 45% of the memory of TRL, its defaults in this precision | 40% | yes |",
        f"| {title} | loss of TRL, its defaults in this precision, to 1e-06 | 5e-02 | **no** |",
    ]


def test_bf16_has_bounds_of_its_own_and_no_equal_losses() -> None:
    own, default = turns([1.0], 1.0, loss=[2.0]), turns([3.6], 4.0, loss=[2.1])
    found = lines({"sft-lora.bf16": {"turns": {"luthier": own, "trl": default, "trl-default": default}}})
    assert "| at least 3.7 times as quick as TRL, its defaults in this precision | 3.60 | **no** |" in found[1]
    assert len(found) == 3
    assert not any("loss" in line for line in found)


@pytest.mark.parametrize(("written", "kept"), [([[1, 2], [3]], "yes"), ([[1, 2], [4]], "**no**")])
def test_answers_must_have_the_same_tokens(written: list[list[int]], kept: str) -> None:
    own = turns([1.0], 1.0, tokens=[[[1, 2], [3]]])
    found = lines({"answers-short.fp32": {"turns": {"luthier": own, "generate": turns([3.1], 1.0, tokens=[written])}}})
    assert found[0].endswith("| 3.10 | yes |")
    assert found[1].endswith(f"| {2 if kept == 'yes' else 1} of 2 answers | {kept} |")


def test_a_start_is_its_median() -> None:
    seconds = {"luthier --help": [0.2, 0.31, 0.4], "luthier chat, first token, opened before": [4.0, 2.0, 9.0]}
    found = lines({"start.fp32": {"seconds": seconds}})
    assert [line.split("|")[3:5] for line in found] == [[" 0.31 s ", " **no** "], [" 4.00 s ", " yes "]]


def test_a_curve_in_bf16_is_as_far_from_fp32_as_its_mean_step() -> None:
    losses = {"luthier.fp32": [2.0, 1.0], "luthier.bf16": [2.1, 0.7], "trl.bf16": [1.9, 1.2]}
    curves = {"sft-full": losses, "pairs": {**losses, "trl.bf16": [2.5, 1.0]}}
    full, pairs = lines({"curves.fp32": {"curves": curves}})
    assert "(0.1500 nats) | 0.2000 | **no** |" in full
    assert "(0.2500 nats) | 0.2000 | yes |" in pairs
    assert load("speed", "curves").farther(losses)[0] == pytest.approx(0.05)
    assert load("speed", "curves").farther(losses)[1:] == pytest.approx((0.0, 0.1))


def test_nothing_is_said_where_nothing_was_measured() -> None:
    assert load("speed", "asked").summary({}) == ""
    assert load("speed", "asked").summary({"scaling.fp32": {"series": {}}}) == ""
