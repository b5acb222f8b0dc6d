"""Rows of the data sets, which are not part of the repository: their licences differ."""

from __future__ import annotations

import argparse
import os
import random
import sys
from pathlib import Path

VARIABLE = "LUTHIER_DATA"


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """Add --data; without it the environment says where the data sets are, and nothing else does."""
    parser.add_argument("--data", type=Path, help=f"folder of data sets (or set {VARIABLE})")


def data_folder(given: Path | None) -> Path:
    """Return the folder of data sets, or end the program with what to do."""
    named = given or os.environ.get(VARIABLE)
    if not named:
        sys.exit(
            f"Where are the data sets? Give their folder with --data FOLDER, or set {VARIABLE}. They are not part of "
            "the repository (their licences differ); a set NAME is read from FOLDER/NAME/train.jsonl."
        )
    folder = Path(named)
    if not folder.is_dir():
        sys.exit(f"There is no folder {folder} of data sets. Give another with --data FOLDER, or in {VARIABLE}.")
    return folder


def lines_of(data: Path, name: str, part: str = "train") -> list[str]:
    """Return the lines of DATA/NAME/PART.jsonl, or end the program with what is missing."""
    source = data / name / f"{part}.jsonl"
    if not source.is_file():
        sys.exit(f"There is no {source}. A set is a folder with train.jsonl, here also {part}.jsonl.")
    return source.read_text(encoding="utf-8").splitlines(keepends=True)


def draw(lines: list[str], rows: int, seed: int) -> list[str]:
    """Draw rows without replacement; the same seed draws the same rows."""
    if rows > len(lines):
        sys.exit(f"{rows} rows cannot be drawn from {len(lines)}.")
    return random.Random(seed).sample(lines, rows)
