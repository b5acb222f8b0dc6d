"""The untuned model's retention, remembered: every run on the same base would measure the same again.

One JSON file a model and device in `retention/` of the cache folder, named by what it depends on; safe to delete. It
holds answers, not verdicts, so it stays right when a check changes.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.core.files import cache_folder, sha256_text, write_json
from luthier.core.run import RunDirectory
from luthier.core.sealed import read_checked, with_check
from luthier.core.types import Answer
from luthier.evaluation.answering import stored_answers
from luthier.evaluation.retention.material import material_digest, passages, questions
from luthier.evaluation.retention.retained import Retained, asked, measured, retention

if TYPE_CHECKING:
    from luthier.generation.local import LocalModel

_Remembered = tuple[list[Answer], list[tuple[float, int]]]


def retention_of_base(model: LocalModel, run: RunDirectory, name: str = "retention_before") -> Retained:
    """Return the retention of a model without an adapter, measured once for all runs on this machine.

    The run gets all answers in `evaluation/NAME.jsonl` in either case.

    Raises:
        ValueError: for a model with an adapter.
        Paused: between waves, if a stop was asked for.
    """
    if model.adapter is not None:
        raise ValueError(f"retention_of_base is for the model without an adapter; '{model.adapter}' is on")
    record = _record(model)
    if remembered := _recall(record):
        answers, rows = remembered
        run.files.write_lines(f"evaluation/{name}.jsonl", (answer.to_json() for answer in answers))
        return measured(model, answers, rows)
    found = retention(model, run, name)
    with suppress(OSError):  # a cache that cannot be written costs the next run its time, nothing else
        record.parent.mkdir(parents=True, exist_ok=True)
        stored = [answer.to_json() for answer in stored_answers(run, name)]
        write_json(record, with_check({"answers": stored, "passages": found.passages}))
    return found


def _record(model: LocalModel) -> Path:
    """Name the file; the device is in its name because nearly tied tokens fall otherwise on another one."""
    key = sha256_text(asked(model).identity, material_digest(), model.loaded.device.type)
    return cache_folder() / "retention" / f"{key}.json"


def _recall(record: Path) -> _Remembered | None:
    """Return what is remembered; None if there is nothing, or nothing whole."""
    try:
        stored = read_checked(record)
        answers = [Answer.from_json(line) for line in stored["answers"]]
        rows = [(float(nats), int(tokens)) for nats, tokens in stored["passages"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    whole = [a.example_id for a in answers] == [q.id for q in questions()] and len(rows) == len(passages())
    return (answers, rows) if whole else None
