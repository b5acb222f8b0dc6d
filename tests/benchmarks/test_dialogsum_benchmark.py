"""The benchmark on DialogSum counts as its page says: the reference with the best F, and its precision."""

from __future__ import annotations

from typing import Any

import pytest
from benchmark_files import load

from luthier.core.types import Answer, Example, user
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.statistics import Scores

REFERENCES = ("bob wants tea", "tea is offered to bob by ann", "no")
EXAMPLES = [Example(f"d{n}", user("Ann: Tea? Bob: Yes."), REFERENCES) for n in range(40)]


def scored(name: str, text: str) -> dict[str, Any]:
    metrics = [build_metric(metric) for metric in ("rouge1", "rouge2", "rougeL")]
    answers = [Answer(e.id, text if n % 4 else "no", "stop") for n, e in enumerate(EXAMPLES)]
    return {"scores": Scores.measure(name, EXAMPLES, answers, metrics).to_json(), "words": float(len(text.split()))}


LONG = scored("base", "bob says that he wants some tea now please")
SHORT = scored("lora", "bob wants tea")


def test_precision_is_that_against_the_reference_with_the_best_f() -> None:
    found = load("dialogsum", "scoring").read_scores(LONG["scores"])
    assert found.value("rougeL_precision") == pytest.approx((3 * 3 / 9 + 1) / 4)  # 3 of 9 words; "no" is a reference
    assert found.value("rougeL_precision") == pytest.approx(found.details("rougeL")["precision"])
    assert found.value("rougeL") == pytest.approx((3 * 2 * 3 / (9 + 3) + 1) / 4)


def test_the_page_says_what_was_asked_and_what_was_found() -> None:
    costs = {
        "parts": {"tune": 1000}, "training_tokens": 290_000, "trained_parameters": 5_000_000, "steps": 125,
        "recipe": {"training": {"learning_rate": 1e-3}, "batch": {"sequences": 8}},
        "estimated": {"seconds": 800.0, "memory_bytes": 3e9}, "seconds": {"training": 1490.0, "validation": 20.0},
        "memory_bytes": 3.5e9, "screens": {}, "answerers": {"base": LONG, "lora": SHORT},
        "machine": {"cores": 2, "processor": "x", "system": "y", "bf16": "no", "luthier": "0", "python": "3"},
    }  # fmt: skip
    page = load("dialogsum", "report").render(
        {"lora": costs}, {"train": 1000, "test": 40}, "Summarize.", ["training.epochs=1"]
    )
    assert "Not measured yet: Full tuning." in page
    # ROUGE-1 F: (3 x 0.5 + 1) / 4 before, 1 after; precision: 0.5 before, 1 after
    assert "| ROUGE-1 F up by at least 0.16 | +0.375 [" in page
    assert "| ROUGE-L precision at least 2.6 times the start | 2.00 times | **no** |" in page
    assert "differences exclude zero | ROUGE-1 F: better; ROUGE-L precision: better | yes |" in page
    assert "| LoRA in at most 25 min 00 s | 25 min 10 s | **no** |" in page
    assert "| LoRA in at most 4.0 GB | 3.5 GB | yes |" in page
    assert "it went from 0.500 to 1.000 while answers went from 9 to 3 words" in page
