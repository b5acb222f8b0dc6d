"""General questions and general text, shipped with Luthier: what a model should not lose when it learns a task."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

from luthier.core.files import sha256_text
from luthier.core.types import Answer, Example, user
from luthier.evaluation.metrics.rows import has_failed, identity_text, mean_of_first_column
from luthier.evaluation.retention.checks import passes, repeats

BRIEFLY = "Answer briefly."
"""Stands before questions that can be answered at any length. A small model talks on otherwise: it takes 40 % more
tokens, and whether the answer comes before the output limit is chance."""
_BRIEF_KINDS = ("reading", "facts", "common_sense")


@dataclass(frozen=True)
class General:
    """Share of general questions answered rightly (0 to 1), by the check that each question carries.

    It is not in the table of metrics: a user's rows have no checks.
    """

    name = "general"
    higher_is_better = True
    reduction = "mean"
    bounds = (0.0, 1.0)

    @property
    def identity(self) -> str:
        """Name with all settings."""
        return identity_text(self.name)

    def measure(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """Return (1.0,) for an answer that passes the question's check and does more than repeat it, else (0.0,)."""
        if has_failed(answer) or repeats(example.fields["question"], answer.text):
            return (0.0,)
        return (float(passes(example.fields["check"], answer.text)),)

    def value(self, rows: Any) -> Any:
        """Map rows `[..., n, 1]` to shares `[...]`."""
        return mean_of_first_column(rows)


def questions() -> list[Example]:
    """Return the general questions; `fields` has `kind`, `question` and `check`, the reference is one right answer."""
    found = []
    for line, text in enumerate(_read("questions.jsonl").splitlines(), 1):
        row = json.loads(text)
        prompt = f"{BRIEFLY} {row['question']}" if row["kind"] in _BRIEF_KINDS else row["question"]
        fields = {name: row[name] for name in ("kind", "question", "check")}
        found.append(Example(row["id"], user(prompt), (row["answer"],), fields=fields, line=line))
    return found


def passages() -> list[str]:
    """Return the paragraphs of general text, each about something else."""
    return [passage.strip() for passage in _read("passages.txt").split("\n\n")]


def material_digest() -> str:
    """Return the SHA-256 of questions and text: results on other material cannot be compared."""
    return sha256_text(BRIEFLY, _read("questions.jsonl"), _read("passages.txt"))


def kind_of(question_id: str) -> str:
    """Return the kind of a question: its id is the kind and a number ("facts-07")."""
    return question_id.rsplit("-", 1)[0]


def _read(name: str) -> str:
    return (resources.files("luthier.data") / "general" / name).read_text(encoding="utf-8")
