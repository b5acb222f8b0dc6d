"""Runs on disk, and cleaning data files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.core.config import with_overrides
from luthier.core.listener import Listener, SilentListener

if TYPE_CHECKING:
    import pandas


def runs(folder: str | Path = "runs") -> pandas.DataFrame:
    """Return a line a run of a folder: run, stage, status, data, model, verdict, created_at, bytes, weights_bytes.

    Args:
        folder: Where the runs are; `runs`, the default one, may be missing.

    Raises:
        RunError: if there is no such folder.
    """
    import pandas

    from luthier.stages.runs import COLUMNS, list_runs

    found = pandas.DataFrame(list_runs(Path(folder)), columns=COLUMNS)
    return found.assign(created_at=pandas.to_datetime(found["created_at"], utc=True))


def clean(
    data: str | Path,
    out: str | Path | None = None,
    *,
    rules: Sequence[str] = (),
    settings: Sequence[str] = (),
    read: dict[str, Any] | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Write a cleaned copy of a data file, and beside it which rows were removed or changed, and why.

    Args:
        data: A CSV, JSON, JSON Lines or Parquet file; it stays as it is.
        out: The copy; FILE.clean.SUFFIX beside the file if left out.
        rules: Names of rules (`luthier.data.cleaning.RULES`); "default", or none, for duplicates, length, repetition.
        settings: Settings of the rules, such as "length.most_words=500".
        read: How to read the file (see `luthier.data.options`).
        dry_run: Write nothing.
        overwrite: Replace the copy if it exists.
        listener: Told what was found.

    Returns:
        rows, kept, removed, changed; under "rules" each rule's counts and samples; the files written, out and log.

    Raises:
        ConfigError, DataError, MissingExtraError: each says what to do.
    """
    from luthier.stages.cleaning import clean_data

    return clean_data(
        str(data),
        None if out is None else str(out),
        rules,
        with_overrides({}, settings),
        {key: value for key, value in (read or {}).items() if value is not None},
        listener or SilentListener(),
        dry_run=dry_run,
        overwrite=overwrite,
    )
