"""Valid files to break: every dialect in every format that can hold it, and recipes of every stage."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow
import pyarrow.parquet

Row = dict[str, Any]
ROWS = 36
_WORDS = (
    "parcel", "lamp", "invoice", "window", "river", "letter", "paper", "engine", "garden", "bottle", "market", "ticket",
    "café", "über", "東京", "pocket", "island", "silver",
)  # fmt: skip


def sentence(number: int, words: int = 9) -> str:
    """Return a sentence that differs from those of other numbers, some with letters beyond ASCII."""
    return " ".join(_WORDS[(number * 7 + k * (number % 5 + 1)) % len(_WORDS)] for k in range(words)) + f" {number}"


@dataclass(frozen=True)
class Dialect:
    """Rows of one shape.

    Attributes:
        row: Makes row number n.
        main: The column without which a row asks nothing or has no conversation.
        answer: Where the right answer stands: keys and indices from the row on.
        role: Where a turn's role stands; empty where there are no roles.
        formats: What can hold such rows.
        options: What a user says on the command line.
    """

    row: Callable[[int], Row]
    main: str
    answer: tuple[str | int, ...]
    role: tuple[str | int, ...] = ()
    formats: tuple[str, ...] = ("jsonl", "json", "csv", "tsv", "parquet")
    options: tuple[str, ...] = ()


def _turns(n: int) -> list[Row]:
    return [{"role": "user", "content": sentence(n)}, {"role": "assistant", "content": sentence(n + 100, 4)}]


def _sharegpt(n: int) -> Row:
    said = [{"from": "human", "value": sentence(n)}, {"from": "gpt", "value": sentence(n + 100, 4)}]
    return {"conversations": said}


def _gemini(n: int) -> Row:
    asked = {"role": "user", "parts": [{"text": sentence(n)}]}
    said = {"role": "model", "parts": [{"text": sentence(n + 100, 4)}]}
    return {"contents": [asked, said], "systemInstruction": {"parts": [{"text": "Answer briefly."}]}}


def _squad(n: int) -> Row:
    passage = sentence(n)
    word = passage.split()[2]
    answers = {"text": [word], "answer_start": [passage.index(word)]}
    return {"id": f"q{n}", "context": passage, "question": f"Which word is third in {n}?", "answers": answers}


def _ranked(n: int) -> Row:
    return {"prompt": sentence(n), "completions": [sentence(n + 100, 4), sentence(n + 200, 4)], "ranks": [1, 2]}


DIALECTS: Mapping[str, Dialect] = {
    "messages": Dialect(lambda n: {"messages": _turns(n)}, "messages", ("messages", 1, "content"),
                        ("messages", 0, "role")),
    "sharegpt": Dialect(_sharegpt, "conversations", ("conversations", 1, "value"), ("conversations", 0, "from")),
    "gemini": Dialect(_gemini, "contents", ("contents", 1, "parts", 0, "text"), ("contents", 0, "role")),
    "alpaca": Dialect(lambda n: {"instruction": sentence(n), "input": sentence(n + 50, 5) if n % 3 else "",
                                 "output": sentence(n + 100, 4)}, "instruction", ("output",)),
    "squad": Dialect(_squad, "question", ("answers", "text", 0), formats=("jsonl", "json", "parquet", "squad")),
    "prompt_completion": Dialect(lambda n: {"prompt": sentence(n), "completion": sentence(n + 100, 4)}, "prompt",
                                 ("completion",)),
    "preference": Dialect(lambda n: {"prompt": sentence(n), "chosen": sentence(n + 100, 4),
                                     "rejected": sentence(n + 200, 4)}, "prompt", ("chosen",)),
    "rankings": Dialect(_ranked, "prompt", ("completions", 0)),
    "kto": Dialect(lambda n: {"prompt": sentence(n), "completion": sentence(n + 100, 4), "label": True}, "prompt",
                   ("completion",)),
    "table": Dialect(lambda n: {"age": 20 + n, "city": _WORDS[n % 7], "income": 1000.5 * n, "paid": "yes" if n % 2
                                else "no"}, "paid", ("paid",),
                     options=("--prompt", r"Will they pay back?\n\n{*}", "--answer", "paid")),
    "classification": Dialect(lambda n: {"text": sentence(n), "label": ("delivery", "defect", "praise")[n % 3]}, "text",
                              ("label",)),
    "columns": Dialect(lambda n: {"title": sentence(n, 3), "article": sentence(n, 14), "summary": sentence(n + 9, 3)},
                       "article", ("summary",)),
}  # fmt: skip

BASES = [(name, format) for name, dialect in DIALECTS.items() for format in dialect.formats]


@dataclass(frozen=True)
class Written:
    """A file's bytes, the line (or number) that each row has in messages, and rows that no format could hold."""

    data: bytes
    lines: tuple[int, ...]


def write(rows: Sequence[Row], format: str) -> Written:
    """Write rows in a format."""
    if format == "jsonl":
        texts = [_json(row) for row in rows]
        return Written("".join(f"{text}\n" for text in texts).encode(), tuple(range(1, len(rows) + 1)))
    if format == "json":
        text = "[\n" + ",\n".join(_json(row) for row in rows) + "\n]\n"
        return Written(text.encode(), tuple(range(2, len(rows) + 2)))
    if format == "squad":
        return Written(_squad_file(rows).encode(), tuple(range(1, len(rows) + 1)))
    if format == "parquet":
        return Written(_parquet(rows), tuple(range(1, len(rows) + 1)))
    return _csv(rows, "\t" if format == "tsv" else ",")


def suffix_of(format: str) -> str:
    """Return the ending of a format's files."""
    return ".json" if format == "squad" else f".{format}"


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character can only be escaped
        return json.dumps(value)
    return text


def _csv(rows: Sequence[Row], delimiter: str) -> Written:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    lines = []
    for row in rows:
        lines.append(file.getvalue().count("\n") + 1)
        writer.writerow([_cell(row.get(name)) for name in columns])
    return Written(file.getvalue().encode("utf-8", "surrogatepass"), tuple(lines))


def _cell(value: Any) -> Any:
    return _json(value) if isinstance(value, list | dict | bool) else value


def _parquet(rows: Sequence[Row]) -> bytes:
    """Write a typed table where the rows allow it, else one whose odd columns hold JSON texts."""
    sink = io.BytesIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))  # `from_pylist` looks at the first row alone
    try:
        table = pyarrow.Table.from_pylist([{name: row.get(name) for name in columns} for row in rows])
    except (pyarrow.ArrowException, UnicodeEncodeError, OverflowError, TypeError, ValueError):
        table = pyarrow.table({
            name.encode("utf-8", "replace").decode(): [
                None if name not in row else v if isinstance(v := row[name], str) and v.isprintable() else _json(v)
                for row in rows
            ]
            for name in columns
        })  # fmt: skip
    pyarrow.parquet.write_table(table, sink)
    return sink.getvalue()


def _squad_file(rows: Sequence[Row]) -> str:
    paragraphs = []
    for row in rows:
        question = {key: value for key, value in row.items() if key != "context"}
        answers = question.get("answers")
        if (
            isinstance(answers, dict)
            and answers.keys() == {"text", "answer_start"}
            and isinstance(answers["text"], list)
        ):
            question["answers"] = [
                {"text": t, "answer_start": s} for t, s in zip(answers["text"], answers["answer_start"], strict=False)
            ]
        paragraph = {"qas": [question]} | ({"context": row["context"]} if "context" in row else {})
        paragraphs.append(_json(paragraph))
    return '{"data": [{"title": "t", "paragraphs": [\n' + ",\n".join(paragraphs) + "\n]}]}\n"


# ---------------------------------------------------------------------------------------------------- recipes


@dataclass(frozen=True)
class Recipe:
    """A recipe as text, for a stage; FOLDER stands for where data and model lie."""

    stage: str
    text: str
    numbers: tuple[str, ...] = field(default=())
    """Its keys whose value must be a number, as they stand in the text."""


_DATA = """data:
  path: {folder}/rows.csv
  read:
    answer: label
  kind: classification
  seed: 0
"""
RECIPES: Mapping[str, Recipe] = {
    "tune": Recipe("tune", _DATA + """model: {folder}/model
precision: fp32
adapter:
  method: lora
  rank: 8
  target_modules: [q_proj, v_proj]
batch:
  sequences: 4
training:
  epochs: 2
  learning_rate: 1.0e-4
  schedule: cosine
  optimizer:
    weight_decay: 0.0
seed: 1
prove_on: confirm
compare_before: true
""", ("rank", "sequences", "epochs", "learning_rate", "weight_decay")),
    "adapt": Recipe("adapt", _DATA + """model: {folder}/model
target: 0.8
budget_seconds: 60
candidates: [as_is, lora]
keep: winner
""", ("target",)),
    "evaluate": Recipe("evaluate", "answerer: {folder}/model\n" + _DATA + """metrics: [accuracy]
sampling:
  samples: 1
  seed: 0
""", ("samples",)),
    "answer": Recipe("answer", "answerer: {folder}/model\n" + _DATA + "precision: fp32\n"),
    "prompt": Recipe("prompt", _DATA + "model: {folder}/model\n"),
    "baseline": Recipe("baseline", _DATA),
}  # fmt: skip
