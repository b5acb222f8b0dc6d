"""Collecting an answerer's answers into a run, wave by wave, so that an interrupted run repeats at most one wave.

Waves have a fixed size and order. What is computed together is therefore the same in a resumed run, and so are the
bits: matrix kernels round differently for different batch sizes, and a near-tie could flip. Within a wave a model works
as it likes (slots are filled again as sequences end); asked to stop, it drops the wave.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from luthier.core.errors import DataError, RunError
from luthier.core.listener import Tracker
from luthier.core.protocols import Answerer
from luthier.core.run import RunDirectory
from luthier.core.types import Answer, Example, Finish

WAVE = 256
"""Examples answered together; most of an evaluation, so that its last few do not run alone."""
_ANSWERED_BY = "evaluation/answered_by.json"


def collect_answers(answerer: Answerer, examples: Sequence[Example], run: RunDirectory, name: str) -> list[Answer]:
    """Return an answer for every example, stored in `evaluation/NAME.jsonl`; goes on where an earlier call stopped.

    Raises:
        Paused: between waves, if a stop was asked for.
        RunError: if the stored answers are of other examples, or of another answerer.
    """
    file = f"evaluation/{name}.jsonl"
    _require_same_answerer(answerer, run, name)
    done = _whole_waves(run, file, examples)
    if len(done) < len(examples):
        title = f"answering ({name.replace('_', ' ')})"
        with run.listener.track(title, len(examples), "rows", done=len(done)) as progress:
            for start in range(len(done), len(examples), WAVE):
                run.check_stop()
                wave = examples[start : start + WAVE]
                begun = time.monotonic()
                answers = _answer_wave(answerer, wave, _Tick(run, progress, len(wave)))
                run.files.append(file, (answer.to_json() for answer in answers))
                _log_seconds(run, name, start, len(wave), time.monotonic() - begun)
                done += answers
    return done


class _Tick:
    """Moves the bar while a model works on a wave, and stops it where a stop was asked for: nothing of it is stored."""

    def __init__(self, run: RunDirectory, progress: Tracker, rows: int) -> None:
        self._run = run
        self._progress = progress
        self._left: float = rows

    def __call__(self, gained: float) -> None:
        self._run.check_stop()
        gained = min(gained, self._left)  # a strategy may ask several times about a row
        self._left -= gained
        self._progress.advance(gained)


def _answer_wave(answerer: Answerer, wave: Sequence[Example], tick: _Tick) -> list[Answer]:
    model: Any = getattr(answerer, "model", None)
    tells = hasattr(model, "progress")
    if tells:
        model.progress = tick
    try:
        answers = list(answerer.answer(wave))
    finally:
        if tells:
            model.progress = lambda gained: None
    tick(len(wave))
    return answers


def _require_same_answerer(answerer: Answerer, run: RunDirectory, name: str) -> None:
    """Record whose answers a file holds; refuse to go on with those of another.

    Raises:
        RunError: with both identities.
    """
    known: dict[str, str] = run.files.read_json(_ANSWERED_BY) if (run.path / _ANSWERED_BY).exists() else {}
    before = known.get(name)
    if before is None:
        run.files.write_json(_ANSWERED_BY, known | {name: answerer.identity})
    elif before != answerer.identity:
        raise RunError(
            f"{run.path / 'evaluation' / name}.jsonl holds answers of another model (identity {before[:12]}, now "
            f"{answerer.identity[:12]}): weights, adapter, chat template, precision or how it is asked have changed "
            "since. Put them back, or start a new run."
        )


def _whole_waves(run: RunDirectory, file: str, examples: Sequence[Example]) -> list[Answer]:
    """Read stored answers and cut them back to whole waves."""
    path = run.path / file
    stored = [Answer.from_json(line) for line in run.files.recorded_lines(file)]
    expected = [example.id for example in examples[: len(stored)]]
    if [answer.example_id for answer in stored] != expected:
        raise RunError(f"{path} holds answers to other examples: the data has changed since. Start a new run.")
    whole = stored if len(stored) == len(examples) else stored[: len(stored) // WAVE * WAVE]
    if path.exists() and len(whole) < len(examples):
        run.files.write_lines(file, (answer.to_json() for answer in whole))
    return whole


def _log_seconds(run: RunDirectory, name: str, start: int, count: int, seconds: float) -> None:
    """Times are not reproducible and so stand apart from the answers."""
    line = {"evaluation": name, "start": start, "rows": count, "seconds": round(seconds, 3)}
    run.files.append("evaluation/timings.jsonl", [line])


def stored_answers(run: RunDirectory, name: str) -> list[Answer]:
    """Return the answers of a run's evaluation, such as "confirm".

    Raises:
        DataError: if there are none.
        RunError: if they are not what the run wrote.
    """
    run.files.lines(f"evaluation/{name}.jsonl")
    return read_answers(run.path / "evaluation" / f"{name}.jsonl")


def read_answers(path: Path) -> list[Answer]:
    """Read an answers file: JSON Lines with `example_id`, `text`, `finish` and optionally `scores`.

    Raises:
        DataError: naming the line that is not an answer.
    """
    if not path.is_file():
        raise DataError(f"No answers file {path}.")
    answers: list[Answer] = []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip():
                answers.append(_parse_answer(json.loads(line)))
    except ValueError as error:
        raise DataError(
            f"{path}:{len(answers) + 1}: not an answer ({error}); expected a JSON object with example_id, text and "
            "finish."
        ) from None
    if not answers:
        raise DataError(f"{path} holds no answers. Each line is an object with example_id, text and finish.")
    return answers


def _parse_answer(value: Any) -> Answer:
    if not isinstance(value, dict):
        raise ValueError(f"{type(value).__name__} instead of an object")
    for key in ("example_id", "text"):
        if key not in value:
            raise ValueError(f"no {key}")
    if not isinstance(value["text"], str):
        raise ValueError(f"text is {json.dumps(value['text'])[:40]}, not a text")
    if value.get("finish", "stop") not in get_args(Finish):
        raise ValueError(f"finish is {json.dumps(value['finish'])}, not one of {', '.join(get_args(Finish))}")
    scores = value.get("scores", {})
    if not isinstance(scores, dict) or any(
        isinstance(x, bool) or not isinstance(x, int | float) for x in scores.values()
    ):
        raise ValueError(f"scores is {json.dumps(scores)[:40]}, not an object of numbers")
    try:
        return Answer.from_json(value)
    except (TypeError, AttributeError) as error:
        raise ValueError(str(error)) from None


def seconds_of(run: RunDirectory, name: str) -> float:
    """Return the seconds that an evaluation took."""
    lines = run.files.lines("evaluation/timings.jsonl")
    return float(sum(line["seconds"] for line in lines if line["evaluation"] == name))
