"""`luthier bench`: what it measures, and what it says beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import done, refused

from luthier.models.fit import training_operations
from luthier.models.public_table import BUILTIN_SHAPES


def test_every_kind_of_work_is_measured_and_set_beside_the_limit(model: Path) -> None:
    called = done("bench", model, "--json")
    found = {speed["work"]: speed for speed in called.json["speeds"]}
    assert list(found) == ["tuning, lora", "tuning, full", "reading prompts", "writing answers"]
    for speed in found.values():
        assert speed["tokens_per_second"] > 0
        assert speed["memory_bytes"] > 50e6
        assert speed["expected_bytes"] > 50e6
    gflops = called.json["machine"]["gflops"]
    for name in ("tuning, lora", "tuning, full"):
        speed = found[name]
        assert speed["limit_share"] == pytest.approx(
            speed["tokens_per_second"] / (2 * speed["expected_tokens_per_second"])
        )
    assert found["tuning, lora"]["expected_tokens_per_second"] == pytest.approx(
        1.5 * found["tuning, full"]["expected_tokens_per_second"]
    )
    assert gflops > 0
    assert found["writing answers"]["limit_share"] is None


def test_tokens_that_rows_share_count_once(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tokens() -> int:
        (speed,) = done("bench", model, "--only", "lora", "--json").json["speeds"]
        return int(speed["note"].split(", ")[1].split()[0])

    shared = tokens()
    monkeypatch.setattr("luthier.training.source.share", lambda batch: batch)
    assert shared < tokens()


def test_one_kind_alone_and_unknown_ones(model: Path) -> None:
    called = done("bench", model, "--only", "answers")
    assert "reading prompts" in called.out
    assert "tuning" not in called.out
    said = refused("bench", model, "--only", "prefix")
    assert "Unknown kind of work 'prefix'. Known: answers, full, lora." in said


def test_operations_of_a_token_are_those_counted_by_hand() -> None:
    """SmolLM2-135M: 106 M weights in the layers, 28 M in the output layer, read at a quarter of the tokens."""
    facts = BUILTIN_SHAPES["smollm2-135m-instruct"]
    assert training_operations(facts, 0.25) == pytest.approx(453e6, rel=0.01)
    assert training_operations(facts, 0.25, all_weights=True) == pytest.approx(680e6, rel=0.01)
