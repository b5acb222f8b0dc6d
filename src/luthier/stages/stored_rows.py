"""Rows that are read from disk as material of `tune`, because they are larger than memory (or the recipe says so)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from luthier.core.errors import ConfigError
from luthier.core.run import RunDirectory
from luthier.core.types import Example
from luthier.data.held_out import asked_number
from luthier.data.row_parts import MOST_HELD_OUT, divide_rows
from luthier.data.row_store import StoredExamples, open_rows, stored_dataset
from luthier.data.tasks import guess_task, require_different_answers
from luthier.stages.material import DataConfig, Material, keep_rows, require_same_data

SAMPLE_ROWS = 10_000
"""So many rows to learn from are looked at for all of them, at even distances."""
SAMPLE_BYTES = 1 << 26
"""As much as they may take; of very long rows fewer are looked at."""
LEARNED_ROWS = "learned_rows.safetensors"
"""In a run: what the rows that it learned from ask, as numbers."""


def read_stored_material(config: DataConfig, run: RunDirectory) -> Material:
    """Read, check and divide rows that stay on disk, but for the held-out ones and a sample.

    Raises:
        DataError: for bad rows, too few rows, or answers that are all equal.
        ConfigError: for folds, which would need all rows in memory.
        RunError: if the data has changed since the run began.
    """
    if config.fold:
        raise ConfigError("Rows that are read from disk are divided once, not into folds. Leave data.fold out.")
    store = open_rows(config.path, config.read, run.listener)
    require_same_data(run, config.path, store.digest)
    if store.same_answer:
        require_different_answers(store.rows)
    parts = divide_rows(store, config.seed, run.listener, run.once)
    learned = parts.tune
    assert isinstance(learned, StoredExamples)
    count = min(SAMPLE_ROWS, max(1, SAMPLE_BYTES * len(store.index) // store.size_bytes))
    sample = replace(parts, tune=learned.evenly(count))
    parts = replace(parts, notes=(_what_follows(len(sample.tune)), *parts.notes))
    dataset = stored_dataset(store, config.path)
    task = guess_task(sample.tune, config.kind)
    run.update(
        data={"path": config.path, "sha256": store.digest, "rows": len(dataset), "parts": parts.sizes},
        mapping=dataset.mapping.to_json(),
        task=task.to_json(),
    )
    keep_rows(run, dataset, sample)
    run.files.write(LEARNED_ROWS, save({"asked": _signed(store.index["asked"][learned.rows])}))
    return Material(dataset, task, parts, sample)


def _what_follows(sample: int) -> str:
    return (
        f"Rows are read from disk: at most {MOST_HELD_OUT:,} rows are held out to choose and to confirm each; kind, "
        f"labels and lengths are those of {sample:,} rows to learn from; only rows that repeat held-out ones are "
        "looked for."
    )


def learned_from(run: RunDirectory, examples: Sequence[Example]) -> list[Example]:
    """Return the rows that a run of this kind has learned from, word for word; none of another run."""
    if not (run.path / LEARNED_ROWS).exists():
        return []
    learned = load(run.files.read(LEARNED_ROWS))["asked"]
    asked = _signed(np.array([asked_number(example) for example in examples], dtype=np.uint64))
    return [example for example, found in zip(examples, np.isin(asked, learned), strict=True) if found]


def _signed(numbers: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return numbers as whole numbers that safetensors can hold."""
    return np.ascontiguousarray(numbers).view(np.int64)
