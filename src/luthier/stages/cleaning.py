"""Cleaning a data file: `luthier data clean`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from luthier.core.errors import ConfigError, DataError
from luthier.core.files import json_line, write_atomically
from luthier.core.listener import Listener
from luthier.data.cleaning import DEFAULT_RULES, RULES, Cleaned, build_rules, clean, rows_of
from luthier.data.cleaning.writing import cleaned_copy
from luthier.data.formats import Content, read_raw
from luthier.data.formats.raw import DataFile
from luthier.data.options import ReadOptions
from luthier.data.places import data_files
from luthier.data.sources import Dataset, read_examples
from luthier.reporting.blocks import Block, Column, Row, Table
from luthier.stages.blocks import data_file_sentence

BAD_ROWS = "bad_rows"
"""Stands among the rules for rows that cannot be read."""


def clean_data(
    path: str,
    out: str | None,
    rules: Sequence[str],
    settings: Mapping[str, Any],
    read: Mapping[str, Any],
    listener: Listener,
    *,
    dry_run: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a cleaned copy of a file, and beside it which rows were removed or changed, and why.

    Args:
        path: A CSV, JSON, JSON Lines, SQuAD or Parquet file, here or at an address.
        out: The cleaned copy; FILE.clean.SUFFIX beside the file if left out, or here for a file at an address. The
            other file is OUT's name with `.log.jsonl` instead of its suffix.
        rules: Names of rules; "default", or none, for those that are applied by default.
        settings: Settings by rule.
        read: How the file is read (see `luthier.data.options`).
        listener: Told what was found.
        dry_run: Whether nothing is written.
        overwrite: Whether the two files may be there already.

    Returns:
        What was done, as JSON.

    Raises:
        ConfigError: if a rule or setting is unknown, or if the copy would stand where another file is.
        DataError: if the file cannot be read, or if no row would be left.
        MissingExtraError: if a rule needs a package that is not installed.
    """
    chosen = build_rules(rules, settings)
    source = _file(path)
    beside = source.parent if isinstance(source, Path) else Path()
    target = Path(out) if out else beside / f"{source.stem}.clean{source.suffix}"
    log = target.with_name(f"{target.stem}.log.jsonl")
    if not dry_run:
        _require_free(source, target, log, overwrite)
    dataset = read_examples(path, ReadOptions.parse({**read, "skip_bad": True}, "reading"), need_answers=False)
    cleaned = clean(rows_of(dataset.examples, dataset.mapping), chosen, dataset.given)
    for block in _blocks(dataset, cleaned):
        listener.show(block)
    if not cleaned.kept:
        raise DataError(f"{path}: no row would be left, so nothing was written. Choose other rules, or other limits.")
    if not dry_run:
        content = Content.load(source)
        write_atomically(target, cleaned_copy(content, read_raw(content), cleaned.kept, cleaned.changed))
        write_atomically(log, "".join(map(json_line, _log(dataset, cleaned))))
    listener.show(Row("result", _result(dataset, cleaned, None if dry_run else (target, log))))
    return {
        "path": path,
        "out": None if dry_run else str(target),
        "log": None if dry_run else str(log),
        "mapping": dataset.mapping.explain(),
        "rows": len(dataset) + len(dataset.bad_rows),
        "kept": len(cleaned.kept),
        "removed": cleaned.removed + len(dataset.bad_rows),
        "changed": len(cleaned.changed),
        "bad_rows": [str(row) for row in dataset.bad_rows],
        "rules": [report.to_json() for report in cleaned.reports],
    }


def _file(path: str) -> DataFile:
    """Return the file that is cleaned.

    Raises:
        DataError: if it is a folder, or not there.
    """
    files, _ = data_files(path)
    found = [str(file) for file in files]
    if found not in ([path], [str(Path(path))]):
        raise DataError(f"{path} is a folder. Clean its files one by one: luthier data clean {found[0]}.")
    return files[0]


def _require_free(source: DataFile, target: Path, log: Path, overwrite: bool) -> None:
    """Make sure that the copy is not written over anything.

    Raises:
        ConfigError: if it would be.
    """
    for file in (target, log):
        if isinstance(source, Path) and file.resolve() == source.resolve():
            raise ConfigError(f"The cleaned copy is not written over the file itself ({source}). Choose another --out.")
        if file.is_dir():
            raise ConfigError(f"{file} is a folder. Name a file: --out {file / source.name}.")
        if file.exists() and not overwrite:
            raise ConfigError(f"{file} is there already. Choose another --out, or replace it with --overwrite.")
    if not target.parent.is_dir():
        raise ConfigError(f"There is no folder {target.parent} to write {target.name} in. Make it first.")


def _log(dataset: Dataset, cleaned: Cleaned) -> list[dict[str, Any]]:
    """Return a line a removed or changed row, in the order of the file."""
    bad = [
        {"line": b.line, "id": None, "rule": BAD_ROWS, "effect": "removed", "reason": b.problem}
        for b in dataset.bad_rows
    ]
    return sorted([*bad, *map(asdict, cleaned.touched)], key=lambda line: line["line"])


# -------------------------------------------------------------------------------------------------------- display


def _blocks(dataset: Dataset, cleaned: Cleaned) -> list[Block]:
    blocks: list[Block] = [Row("data", data_file_sentence(dataset)), _counts(dataset, cleaned)]
    samples = [
        [report.rule, str(sample.line), sample.reason, sample.text]
        for report in cleaned.reports
        for sample in report.samples
    ]
    bad = [[BAD_ROWS, str(row.line), row.problem, row.fix] for row in dataset.bad_rows[:3]]
    if bad or samples:
        columns = [Column("rule"), Column("line", "right"), Column("why"), Column("row")]
        blocks.append(Table(columns, [*bad, *samples], title="Samples"))
    return blocks


def _counts(dataset: Dataset, cleaned: Cleaned) -> Table:
    columns = [Column("rule"), Column("rows", "right"), Column("removed", "right"), Column("changed", "right")]
    bad = len(dataset.bad_rows)
    rows = [[BAD_ROWS, f"{len(dataset) + bad:,}", f"{bad:,}", "0"]] if bad else []
    rows += [[r.rule, f"{r.rows:,}", f"{r.removed:,}", f"{r.changed:,}"] for r in cleaned.reports]
    others = [name for name in RULES if name not in {report.rule for report in cleaned.reports}]
    default = ",".join(["default", *(name for name in others if name not in DEFAULT_RULES)])
    asked = f"Not applied: {', '.join(others)} (--rules {default})" if others else ""
    return Table(columns, rows, title="Rules", caption=asked)


def _result(dataset: Dataset, cleaned: Cleaned, written: tuple[Path, Path] | None) -> list[str]:
    total = len(dataset) + len(dataset.bad_rows)
    changed = f", {len(cleaned.changed):,} of them changed" if cleaned.changed else ""
    lines = [f"**{len(cleaned.kept):,} of {total:,} rows stay**{changed}"]
    if written is None:
        return [*lines, "Nothing was written (--dry-run)"]
    return [*lines, f"Written to `{written[0]}`; which rows were removed or changed, and why: `{written[1]}`"]
