"""Preference data as rankings, for what learns from all completions of a prompt and not only from the best."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from luthier.core.errors import DataError
from luthier.core.types import Ranking
from luthier.data.dialects.preference import PREFERENCE
from luthier.data.options import ReadOptions
from luthier.data.sources import read_examples


def read_rankings(path: str | Path, options: ReadOptions | None = None) -> tuple[Ranking, ...]:
    """Read preferences: pairs, marked completions, completions with ranks or scores.

    Args:
        path: A data file, a folder of these, or an address.
        options: As for `read_examples`; prompt and answer are the dialect's business.

    Raises:
        DataError: if the rows are no preferences, or some cannot be used; it lists all of them.
    """
    dataset = read_examples(path, options, need_answers=False)
    if dataset.mapping.dialect != PREFERENCE.name:
        raise DataError(
            f"{path} holds no preferences ({dataset.mapping.explain()}). They need prompt, chosen and rejected; or "
            "prompt, completion and a label of true or false; or prompt, completions and ranks or scores."
        )
    column = dataset.mapping.prompt
    rows = [(example, PREFERENCE.ranked(example.fields, column)) for example in dataset.examples]
    return tuple(Ranking(replace(e, references=()), row.completions, row.ranks) for e, row in rows)
