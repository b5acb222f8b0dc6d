"""A table of an evaluation, a row an example: for spreadsheets, notebooks, and looking at answers one by one."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from luthier.core.files import write_atomically
from luthier.core.types import Answer, Example
from luthier.evaluation.statistics import Scores

if TYPE_CHECKING:
    import pandas

ExportFormat = Literal["csv", "parquet"]


def evaluation_table(examples: Sequence[Example], answers: Sequence[Answer], scores: Scores) -> pandas.DataFrame:
    """Return one row an example: id, prompt, reference, answer, finish, and its score by each metric.

    A score is that of the row alone, so that those of corpus metrics (macro-F1, BLEU) do not average to the corpus's.
    What the rows need and others have not comes as a column of its own: `messages`, the whole conversation as JSON,
    where one has more than a user turn; `other_references`, as JSON, where one has several right answers; `cluster`.

    Args:
        examples: The examples that were scored.
        answers: One for each, in their order.
        scores: Of these answers.
    """
    import pandas

    columns: dict[str, Sequence[object]] = {"id": [example.id for example in examples]}
    if any(example.cluster is not None for example in examples):
        columns["cluster"] = [example.cluster for example in examples]
    columns["prompt"] = [example.prompt for example in examples]
    if any(len(example.messages) > 1 for example in examples):
        columns["messages"] = [_json([message.to_json() for message in example.messages]) for example in examples]
    columns["reference"] = [next(iter(example.references), None) for example in examples]
    if any(len(example.references) > 1 for example in examples):
        columns["other_references"] = [_json(example.references[1:]) for example in examples]
    columns["answer"] = [answer.text for answer in answers]
    columns["finish"] = [answer.finish for answer in answers]
    alone = scores.frame()
    return pandas.DataFrame(columns | {name: alone[name].to_numpy() for name in scores.names})


def samples_table(
    examples: Sequence[Example], samples: Sequence[Sequence[Answer]], scores: Sequence[Scores]
) -> pandas.DataFrame:
    """Return the table of several samples below each other, `sample` counting from 1; of one as it is."""
    import pandas

    tables = [evaluation_table(examples, *one) for one in zip(samples, scores, strict=True)]
    if len(tables) == 1:
        return tables[0]
    for number, table in enumerate(tables, 1):
        table.insert(1, "sample", number)
    return pandas.concat(tables, ignore_index=True)


def write_table(table: pandas.DataFrame, path: Path) -> Path:
    """Write a table as CSV or Parquet, as the file's name says, whole or not at all; returns the path."""
    if path.suffix == ".parquet":
        content = io.BytesIO()
        table.to_parquet(content, index=False)
        write_atomically(path, content.getvalue())
    else:
        # All texts are quoted: else one with a lone carriage return would end its row.
        write_atomically(path, table.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n"))
    return path


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
