"""A seeded sample of benchmarks/malformed: no traceback, and every message with file, line, and what to do."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks" / "malformed"))
import cases
import judging
from judging import ACCEPTED, REFUSED

SAMPLE = range(3, 5_000, 51)
"""98 inputs, about 8 s; 51 and the number of bases have no common factor, so that all bases come."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[judging.Place]:
    """A folder for inputs; what the benchmark stops is let go again afterwards."""
    import luthier.api.running
    import luthier.stages.tune

    monkeypatch.setattr(luthier.api.running, "run_stage", luthier.api.running.run_stage)
    monkeypatch.setattr(luthier.stages.tune, "load_tokenizer", luthier.stages.tune.load_tokenizer)
    before = os.getcwd()
    os.chdir(tmp_path)
    yield judging.Place(tmp_path)
    os.chdir(before)


def test_a_sample_of_malformed_inputs(place: judging.Place) -> None:
    found = [(case, place.judge(case, preview=case.index % 4 == 0)) for case in map(cases.make, SAMPLE)]
    bad = [
        f"{case.index} {case.base} {case.mutation}: {judged.outcome}: {judged.why}\n{judged.words[-300:]}"
        for case, judged in found
        if judged.outcome not in (ACCEPTED, REFUSED)
    ]
    assert not bad, "\n".join(bad)
    counts = Counter(judged.outcome for _, judged in found)
    assert counts[REFUSED] > 50
    assert counts[ACCEPTED] > 10
    assert len({case.base for case, _ in found}) >= 60
    assert len({case.mutation for case, _ in found}) >= 40


def test_the_judge_sees_what_is_lacking(place: judging.Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample could pass only because nothing is ever judged bad."""
    from luthier.core.errors import DataError
    from luthier.stages import looking

    case = next(case for k in range(5_000) if (case := cases.make(k)).mutation == "role_unknown")
    for text, why in (
        ("Something is wrong. Correct it.", "the file is not named"),
        (f"input{case.suffix}: a role is wrong. Correct it.", f"line {case.broken.line} is not named"),
        (f"input{case.suffix}:{case.broken.line}: a role is wrong", "nothing to do is said"),
    ):
        monkeypatch.setattr(looking, "read_examples", lambda *_, text=text: (_ for _ in ()).throw(DataError(text)))
        judged = place.judge(case)
        assert (judged.outcome, judged.why.removeprefix("data preview: ")) == (judging.BADLY, why)

    def crash(*_: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(looking, "read_examples", crash)
    assert place.judge(case).outcome == judging.CRASHED
