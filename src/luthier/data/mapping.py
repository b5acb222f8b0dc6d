"""From raw rows to examples.

A `RowMapping` says which columns make the prompt, the answer and the rest. It is stored with a run, so that new files
are read the same way, also files that have no answers yet.

Names of examples (`Example.id`) are the id column's values or else a hash of the row without its answer: the same row
has the same name whatever the order of the file, whatever the prompt, and whether or not it is labelled yet.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, field_validator

from luthier.core.config import Config
from luthier.core.errors import BadRow, DataError, nearest, unknown_name
from luthier.core.files import sha256_text
from luthier.core.types import Example, Message
from luthier.data.columns import plain_name
from luthier.data.conversations import check_asks, is_message_list, parse_history, parse_messages, split_at_answer
from luthier.data.dialects import DIALECTS, Dialect
from luthier.data.formats.raw import RawFile, RawRow
from luthier.data.kinds import check_texts, columns_of_text
from luthier.data.squad import is_squad_answer, squad_answers
from luthier.data.templates import Template
from luthier.data.values import (
    RowError,
    as_list,
    as_text,
    check_characters,
    is_empty,
    json_object,
    json_text,
    looks_like_json_object,
)

PartName = Literal["tune", "choose", "confirm"]

SPLIT_NAMES: Mapping[str, PartName] = {
    "train": "tune", "training": "tune", "tune": "tune",
    "validation": "choose", "valid": "choose", "val": "choose", "dev": "choose", "development": "choose",
    "choose": "choose",
    "test": "confirm", "testing": "confirm", "eval": "confirm", "evaluation": "confirm", "heldout": "confirm",
    "confirm": "confirm",
}  # fmt: skip
"""What people call the three parts."""


def part_named(name: str) -> PartName | None:
    """Return the part that a name such as "Train" or "held-out" stands for, or None."""
    return SPLIT_NAMES.get(re.sub(r"[\s_\-]", "", name.lower()))


class RowMapping(Config):
    """Which columns of a row make the conversation, the answer and the rest."""

    dialect: str = Field(
        default="columns",
        description="A prompt and an answer from columns, or conversations: messages, sharegpt, gemini, preference.",
    )
    prompt: str = Field(default="", description="The prompt with {column} in it; the column's name for messages.")
    answer: str | None = Field(default=None, description="The answer's column or a template; None for unlabelled rows.")
    answer_format: Literal["text", "json"] = Field(default="text", description="Whether every answer is a JSON object.")
    history: str | None = Field(
        default=None, description="The column with earlier turns, a list of [question, answer]."
    )
    system: str | None = Field(default=None, description="A column, a template or a text for the system turn.")
    cluster: str | None = Field(default=None, description="The column whose equal values keep rows together.")
    id: str | None = Field(default=None, description="The column with each row's name.")
    split: str | None = Field(default=None, description="The column that says to which part a row belongs.")
    columns: tuple[str, ...] = Field(
        default=(), description="The columns known when the mapping was made, unusual names too."
    )

    @field_validator("dialect")
    @classmethod
    def _known(cls, value: str) -> str:
        if value != "columns" and value not in DIALECTS:
            raise unknown_name("dialect", value, ["columns", *DIALECTS])
        return value

    def to_json(self) -> dict[str, Any]:
        """Return the mapping as JSON; `RowMapping.parse` reads it back."""
        return self.model_dump(mode="json")

    @property
    def conversations(self) -> Dialect | None:
        """The dialect of rows that hold whole conversations; None where columns make the prompt and the answer."""
        return None if self.dialect == "columns" else DIALECTS.get(self.dialect)

    @cached_property
    def prompt_template(self) -> Template:
        """The compiled prompt."""
        return Template.compile(self.prompt, self.columns)

    @cached_property
    def answer_template(self) -> Template | None:
        """The compiled answer, or None if the answer is a column as it is (or there is none)."""
        if self.answer is None or self.answer in self.columns or "{" not in self.answer:
            return None
        return Template.compile(self.answer, self.columns)

    @cached_property
    def answer_columns(self) -> tuple[str, ...]:
        """The columns that hold the answer."""
        if self.conversations or self.answer is None:
            return ()
        return self.answer_template.columns if self.answer_template else (self.answer,)

    @cached_property
    def input_columns(self) -> tuple[str, ...]:
        """The columns that make the prompt."""
        if self.conversations:
            return (self.prompt,)
        return (*self.prompt_template.columns, *([self.history] if self.history else []))

    def explain(self) -> str:
        """Say in words what comes from where: "prompt <- title + text, answer <- label"."""
        if dialect := self.conversations:
            title = "" if dialect.name == "messages" else f" ({dialect.title})"
            parts = [f"conversation and answer <- {self.prompt}{title}"]
        else:
            parts = [f"prompt <- {' + '.join(self.input_columns)}"]
            kind = " (JSON)" if self.answer_format == "json" else ""
            parts.append(f"answer <- {' + '.join(self.answer_columns)}{kind}" if self.answer else "no answers")
        for name in ("system", "cluster", "id", "split"):
            if column := getattr(self, name):
                parts.append(f"{name} <- {column}")
        return ", ".join(parts)

    def check_columns(self, columns: Sequence[str], source: str, *, need_answers: bool) -> None:
        """Make sure that a file has the columns which the mapping needs.

        Raises:
            DataError: naming the missing columns and those there are.
        """
        needed = [*self.input_columns]
        if need_answers:
            needed += [*self.answer_columns, *([self.cluster] if self.cluster else [])]
        missing = [name for name in dict.fromkeys(needed) if name not in columns and not self._may_be_absent(name)]
        if missing:
            hint = nearest(missing[0], columns)
            raise DataError(
                f"{source} has no column {' and no column '.join(map(repr, missing))}, which this mapping needs "
                f"({self.explain()}). It has: {', '.join(columns)}.{hint} Rename the column, or map others with "
                "--prompt '{column}' and --answer column."
            )

    def for_columns(self, columns: Sequence[str]) -> RowMapping:
        """Return the mapping for a file that may lack the columns for id, cluster and split."""
        absent = {name: None for name in ("id", "cluster", "split") if getattr(self, name) not in columns}
        return self.model_copy(update=absent)

    def _may_be_absent(self, column: str) -> bool:
        return column == self.history or any(
            p.column == column and p.optional for p in self.prompt_template.placeholders
        )


@dataclass(frozen=True)
class MappedRows:
    """The examples of all files in their order and their places ("file:line"), bad rows, given parts by example id."""

    examples: tuple[Example, ...]
    places: tuple[str, ...]
    bad: tuple[BadRow, ...]
    given: Mapping[str, PartName]


@dataclass(frozen=True)
class Draft:
    """An example before it has its name; `content` stands for the row without its answer (16 hexadecimal digits)."""

    example: Example
    content: str
    answer: str
    part: PartName | None
    place: str


def map_rows(
    files: Sequence[RawFile],
    mapping: RowMapping,
    *,
    need_answers: bool = True,
    parts: Mapping[str, PartName] | None = None,
) -> MappedRows:
    """Turn raw rows into examples, collecting every row that cannot be used.

    Args:
        files: The files with their raw rows.
        mapping: What comes from where.
        need_answers: Whether a row without an answer is a bad row.
        parts: File names that stand for a part, such as {"train.jsonl": "tune"}.
    """
    drafts: list[Draft] = []
    bad: list[BadRow] = []
    seen: dict[str, str] | None = {} if mapping.id else None
    texts = text_columns([row.values for file in files for row in file.rows], mapping)
    for file in files:
        found, faults = drafts_of(file, mapping, texts, need_answers, (parts or {}).get(file.path.name), seen)
        drafts += found
        bad += faults
    examples = tuple(draft.example for draft in drafts) if mapping.id else _named(drafts)
    given = {e.id: d.part for e, d in zip(examples, drafts, strict=True) if d.part is not None}
    return MappedRows(examples, tuple(draft.place for draft in drafts), tuple(bad), given)


def text_columns(rows: Sequence[Mapping[str, Any]], mapping: RowMapping) -> tuple[str, ...]:
    """Return the columns of prompt and answer that hold texts, by some rows."""
    return columns_of_text(rows, () if mapping.conversations else (*mapping.input_columns, *mapping.answer_columns))


def drafts_of(
    file: RawFile,
    mapping: RowMapping,
    texts: Sequence[str],
    need_answers: bool,
    part: PartName | None,
    seen: dict[str, str] | None = None,
) -> tuple[list[Draft], list[BadRow]]:
    """Turn the rows of a file, or of a piece of one, into examples; returns them, and the rows that cannot be used.

    Args:
        file: The raw rows.
        mapping: What comes from where.
        texts: Columns that hold texts, see `text_columns`.
        need_answers: Whether a row without an answer is a bad row.
        part: What the file stands for.
        seen: Names so far with their places, to which these are added; with None names are not looked at.
    """
    drafts: list[Draft] = []
    faults = list(file.bad)
    for row in file.rows:
        try:
            check_texts(row.values, texts)
            draft = draft_of(row, mapping, need_answers, part, f"{file.path}:{row.line}")
            if seen is not None:
                _check_unique(draft, seen)
            drafts.append(draft)
        except RowError as fault:
            faults.append(BadRow(str(file.path), row.line, fault.problem, fault.expected, fault.fix))
    return drafts, sorted(faults, key=lambda row: row.line)


def draft_of(row: RawRow, mapping: RowMapping, need_answers: bool, part: PartName | None, place: str) -> Draft:
    """Turn a row into an example.

    Raises:
        RowError: if it cannot be used.
    """
    values = row.values
    if dialect := mapping.conversations:
        messages, references = _from_conversation(dialect, values, mapping, need_answers)
    else:
        messages, references = _from_columns(values, mapping, need_answers)
    if (system := _system(values, mapping)) and messages[0].role != "system":
        messages = (Message("system", system), *messages)
    check_characters(*(message.content for message in messages), *references)
    example = Example(
        id=_required(values, mapping.id, "id") if mapping.id else "",
        messages=messages,
        references=references,
        cluster=_required(values, mapping.cluster, "cluster") if mapping.cluster else None,
        fields=values,
        line=row.line,
    )
    if mapping.split:
        part = _part(_required(values, mapping.split, "split"))
    return Draft(example, _content_hash(values, mapping, messages), json_text(list(references)), part, place)


# ---------------------------------------------------------------------------------------- conversation and answer


def _from_conversation(
    dialect: Dialect, values: Mapping[str, Any], mapping: RowMapping, need_answers: bool
) -> tuple[tuple[Message, ...], tuple[str, ...]]:
    messages = dialect.messages(values, mapping.prompt)
    if need_answers and messages[-1].role != "assistant" and dialect.no_answer is not None:
        raise RowError(*dialect.no_answer)
    before, answer = split_at_answer(messages, need_answer=need_answers)
    if answer is None:
        return before, ()
    return before, (_as_json(answer) if mapping.answer_format == "json" else answer,)


def _from_columns(
    values: Mapping[str, Any], mapping: RowMapping, need_answers: bool
) -> tuple[tuple[Message, ...], tuple[str, ...]]:
    messages = _prompt(values, mapping)
    answer = None if mapping.answer is None else values.get(mapping.answer)
    if mapping.answer_template is None and is_message_list(answer):  # prompt/completion, both as messages
        turns = parse_messages(answer, str(mapping.answer))
        before, text = split_at_answer((*messages, *turns), need_answer=True)
        return before, (text or "",)
    check_asks(messages)
    references = _references(values, mapping)
    if need_answers and not references:
        columns = " + ".join(mapping.answer_columns)
        state = "empty" if all(name in values for name in mapping.answer_columns) else "missing"
        raise RowError(f"the answer (column '{columns}') is {state}", "a right answer", "fill it, or remove the row")
    return messages, references


def _prompt(values: Mapping[str, Any], mapping: RowMapping) -> tuple[Message, ...]:
    column = mapping.prompt_template.only_column
    if column is not None and is_message_list(values.get(column)):
        return parse_messages(values[column], column)
    earlier = parse_history(values.get(mapping.history), mapping.history) if mapping.history else ()
    return (*earlier, Message("user", mapping.prompt_template.render(values)))


def _references(values: Mapping[str, Any], mapping: RowMapping) -> tuple[str, ...]:
    """Return the right answers, stripped, without empty or repeated ones; none if the answer is absent or empty."""
    if mapping.answer is None:
        return ()
    if mapping.answer_template is not None:
        if all(is_empty(values.get(name)) for name in mapping.answer_columns):
            return ()
        texts = [mapping.answer_template.render(values)]
    else:
        value = values.get(mapping.answer)
        if is_squad_answer(found := as_list(value)):
            value = list(squad_answers(found, values.get("context")))
        several = isinstance(value, list) and all(isinstance(part, str) for part in value)
        texts = [as_text(part) for part in (value if several and isinstance(value, list) else [value])]
        texts = [] if value == {} else texts
    filled = [text.strip() for text in texts if text.strip()]
    if mapping.answer_format == "json":
        filled = [_as_json(text) for text in filled]
    return tuple(dict.fromkeys(filled))


def _as_json(text: str) -> str:
    return json_text(json_object(text))


def wants_json(answers: Sequence[str]) -> bool:
    """Say whether answers are meant as JSON objects: at least nine in ten look like it."""
    return bool(answers) and sum(map(looks_like_json_object, answers)) >= 0.9 * len(answers)


def _system(values: Mapping[str, Any], mapping: RowMapping) -> str | None:
    """Return the system turn: a column's value, a filled template, or a text as it is."""
    if mapping.system is None:
        return None
    if mapping.system in values:
        return as_text(values[mapping.system]).strip() or None
    template = Template.compile(mapping.system, mapping.columns)
    if not template.placeholders and " " not in mapping.system:
        return None  # a column's name that this row does not have
    return template.render(values)


# ----------------------------------------------------------------------------------------------------- the others


def _required(values: Mapping[str, Any], column: str | None, purpose: str) -> str:
    value = values.get(column or "")
    if is_empty(value):
        raise RowError(
            f"the {purpose} (column '{column}') is {'empty' if column in values else 'missing'}", "a value",
            f"fill it, or read the file without --{purpose}",
        )  # fmt: skip
    return as_text(value).strip()


def _part(value: str) -> PartName:
    part = part_named(value)
    if part is None:
        raise RowError(
            f"the split '{value}' is unknown.{nearest(value.lower(), SPLIT_NAMES)}".rstrip("."),
            "train, validation or test",
            "rename it",
        )  # fmt: skip
    return part


def _check_unique(draft: Draft, seen: dict[str, str]) -> None:
    first = seen.setdefault(draft.example.id, draft.place)
    if first != draft.place:
        raise taken_id(draft.example.id, first)


def taken_id(name: str, first: str) -> RowError:
    """Return what is wrong with a row whose id is that of another one, at the place `first`."""
    return RowError(
        f"the id '{name}' is already that of {first}", "a different id for every row",
        "rename one, or read the file without --id",
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- names


def _content_hash(values: Mapping[str, Any], mapping: RowMapping, messages: Sequence[Message]) -> str:
    """Hash a row without its answer and its split, with values as text so that CSV and JSON Lines agree."""
    left_out = {*mapping.answer_columns, mapping.split}
    parts: list[str] = []
    if dialect := mapping.conversations:
        left_out |= {mapping.prompt, *(name for name in values if plain_name(name) in dialect.beside)}
        parts = [json_text([m.to_json() for m in messages])]
    for name in sorted(values):
        if name not in left_out and not is_empty(values[name]):
            parts += [name, as_text(values[name])]
    return sha256_text(*parts)[:16]


def _named(drafts: Sequence[Draft]) -> tuple[Example, ...]:
    """Give every example its hash for a name; rows that share a hash are numbered by their answers, then by order."""
    alike: dict[str, list[int]] = defaultdict(list)
    for index, draft in enumerate(drafts):
        alike[draft.content].append(index)
    names = [""] * len(drafts)
    for content, indices in alike.items():
        for occurrence, index in enumerate(sorted(indices, key=lambda i: drafts[i].answer), start=1):
            names[index] = numbered(content, occurrence)
    return tuple(replace(draft.example, id=name) for draft, name in zip(drafts, names, strict=True))


def numbered(content: str, occurrence: int) -> str:
    """Return the name of a row among those that share a hash; `occurrence` counts from 1."""
    return content if occurrence == 1 else f"{content}-{occurrence}"
