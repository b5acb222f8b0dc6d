"""The values that travel between parts, their errors, and their random streams."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from luthier.core.errors import BadRow, DataError, MissingExtraError
from luthier.core.seeding import derive, stream, unit_interval
from luthier.core.types import Answer, Example, Message, Usage, user

EXAMPLE = Example(
    "e1", (Message("system", "Be brief."), *user("What?"), Message("assistant", "Ö", 0.0)), ("a", "b"), "c", {"n": 1}, 7
)


def test_an_example_comes_back_from_json() -> None:
    stored = json.loads(json.dumps(EXAMPLE.to_json()))
    assert Example.from_json(stored) == EXAMPLE
    assert stored["messages"][1] == {"role": "user", "content": "What?"}
    assert (EXAMPLE.prompt, EXAMPLE.reference) == ("What?", "a")


def test_an_answers_line_holds_nothing_that_cannot_be_repeated() -> None:
    answer = Answer("e1", "yes", "stop", {"yes": -0.5}, Usage(1, 10, 2, 3)).timed(4.5)
    assert answer.usage.seconds == 4.5
    line = answer.to_json()
    assert line["usage"] == {"calls": 1, "prompt_tokens": 10, "cached_tokens": 2, "completion_tokens": 3}
    assert Answer.from_json(json.loads(json.dumps(line))) == answer.timed(0.0)
    assert Answer("e2", "", "failed").to_json() == {"example_id": "e2", "text": "", "finish": "failed"}
    assert Answer.from_json({"example_id": 3, "text": "x"}) == Answer("3", "x", "stop")


def test_usage_adds_up() -> None:
    assert Usage(1, 2, 3, 4, 0.5) + Usage(10, 20, 30, 40, 1.5) == Usage(11, 22, 33, 44, 2.0)


def test_bad_rows_are_shown_together_and_counted() -> None:
    rows = [BadRow("a.csv", line, "no answer", "a text", "fill it in") for line in range(2, 25)]
    text = str(DataError("23 rows cannot be used:", rows))
    assert text.splitlines()[1] == "  a.csv:2: no answer; expected a text; fill it in"
    assert text.splitlines()[-1] == "  … and 3 more"
    assert len(text.splitlines()) == 22
    assert len(DataError("x", rows).rows) == 23


def test_a_missing_extra_names_the_command() -> None:
    error = MissingExtraError("fastapi", "serve", "Serving")
    assert str(error) == "Serving needs the package 'fastapi'. Install it with: pip install 'luthier[serve]'"


def test_named_streams_are_the_same_everywhere_and_apart_from_each_other() -> None:
    digest = hashlib.sha256(b"7/order/2").digest()
    assert derive(7, "order", 2) == int.from_bytes(digest[:8], "big") // 2
    assert derive(7, "order", 2) < 2**63
    assert np.array_equal(stream(7, "order", 2).permutation(9), stream(7, "order", 2).permutation(9))
    assert len({derive(7, "order", 2), derive(7, "order", 3), derive(8, "order", 2), derive(7, "dropout", 2)}) == 4
    numbers = np.array([unit_interval("row", i) for i in range(2000)])
    assert 0 <= numbers.min() < numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 0.03


@pytest.mark.parametrize("module", ["luthier", "luthier.core.run", "luthier.core.stages", "luthier.core.config"])
def test_core_imports_no_torch(module: str) -> None:
    code = f"import {module}, sys; sys.exit(bool({{'torch', 'transformers', 'peft'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
