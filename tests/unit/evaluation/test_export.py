"""The table of an evaluation: its columns, and texts that a file must not tear."""

from __future__ import annotations

import json
from pathlib import Path

import pandas
import pytest

from luthier.core.types import Answer, Example, Message, user
from luthier.evaluation.export import evaluation_table, write_table
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.statistics import Scores

TEXTS = ["plain", 'a "quoted", text', "two\nlines", "one\rreturn", "", " spaces ", "=1+1", "猫"]


def table_of(examples: list[Example], answers: list[Answer], *metrics: str) -> pandas.DataFrame:
    built = [build_metric(name) for name in metrics]
    return evaluation_table(examples, answers, Scores.measure("model", examples, answers, built))


def test_what_only_some_rows_need_has_its_own_column() -> None:
    examples = [
        Example("a", (Message("system", "Be brief."), *user("Hi?")), ("yes", "yep"), cluster="one"),
        Example("b", user("Ho?"), ("no",)),
    ]
    table = table_of(examples, [Answer("a", "yep", "stop"), Answer("b", "", "failed")], "exact_match", "bleu")
    assert list(table.columns) == [
        "id", "cluster", "prompt", "messages", "reference", "other_references", "answer", "finish",
        "exact_match", "bleu",
    ]  # fmt: skip
    first, second = table.to_dict("records")
    assert json.loads(first["messages"])[0] == {"role": "system", "content": "Be brief."}
    assert (first["prompt"], first["reference"], first["other_references"]) == ("Hi?", "yes", '["yep"]')
    assert (first["exact_match"], first["bleu"]) == (1.0, 1.0)  # of the row alone: a sentence of one word
    assert (second["finish"], second["exact_match"], second["other_references"]) == ("failed", 0.0, "[]")


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_texts_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    examples = [Example(str(i), user(text), (text,)) for i, text in enumerate(TEXTS)]
    answers = [Answer(str(i), text, "stop") for i, text in enumerate(TEXTS)]
    path = write_table(table_of(examples, answers, "exact_match"), tmp_path / name)
    back = pandas.read_csv(path, keep_default_na=False) if path.suffix == ".csv" else pandas.read_parquet(path)
    assert list(back.prompt) == list(back.reference) == list(back.answer) == TEXTS
    assert list(back.exact_match) == [1.0] * len(TEXTS)
    assert [p.name for p in tmp_path.iterdir()] == [name]
