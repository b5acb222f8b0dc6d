from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from luthier.core.errors import DataError
from luthier.core.types import Message
from luthier.data.formats import RawFile, RawRow
from luthier.data.mapping import MappedRows, RowMapping, map_rows


def raw(*rows: dict[str, Any], name: str = "d.jsonl") -> RawFile:
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    return RawFile(Path(name), "jsonl", "JSON Lines", columns, tuple(RawRow(n, r) for n, r in enumerate(rows, start=1)))


def apply(*rows: dict[str, Any], need: bool = True, **mapping: Any) -> MappedRows:
    return map_rows([raw(*rows)], RowMapping(**mapping), need_answers=need)


def faults(mapped: MappedRows) -> list[str]:
    return [str(row) for row in mapped.bad]


COLUMNS: dict[str, Any] = {"prompt": "{text}", "answer": "label"}
MESSAGES: dict[str, Any] = {"dialect": "messages", "prompt": "messages"}


def turn(role: str, content: Any = "x", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def test_columns_become_examples() -> None:
    row = {"text": "Great!", "label": " positive\n", "n": 3}
    (example,) = apply(row, **COLUMNS, system="Judge {n} times.").examples
    assert example.messages == (Message("system", "Judge 3 times."), Message("user", "Great!"))
    assert example.references == ("positive",)
    assert example.fields == row
    assert example.line == 1


@pytest.mark.parametrize(
    ("value", "references"),
    [
        (["one", " two", "one", ""], ("one", "two")),
        ({"b": "ü", "a": [1]}, ('{"b": "ü", "a": [1]}',)),
        ([1, 2], ("[1, 2]",)),
        (118.0, ("118",)),
        (False, ("false",)),
        (0, ("0",)),
    ],
)
def test_answers_of_all_types(value: Any, references: tuple[str, ...]) -> None:
    (example,) = apply({"text": "x", "label": value}, **COLUMNS).examples
    assert example.references == references


@pytest.mark.parametrize("value", [None, "", "  ", [], {}, ["", " "]])
def test_empty_answers_are_bad_rows(value: Any) -> None:
    mapped = apply({"text": "x", "label": value}, **COLUMNS)
    problem = "d.jsonl:1: the answer (column 'label') is empty; expected a right answer; fill it, or remove the row"
    assert faults(mapped) == [problem]
    assert apply({"text": "x", "label": value}, need=False, **COLUMNS).examples[0].references == ()


def test_json_answers_have_one_form() -> None:
    rows: list[dict[str, Any]] = [
        {"text": "x", "label": '{"a":1,  "b":"é"}'},
        {"text": "y", "label": {"a": 1, "b": "\u00e9"}},
    ]
    mapped = apply(*rows, **COLUMNS, answer_format="json")
    assert [e.reference for e in mapped.examples] == ['{"a": 1, "b": "é"}'] * 2


def test_bad_json_answers_are_reported() -> None:
    rows = [{"text": "x", "label": v} for v in ("{'a': 1}", '{"a": ', "[1]", '{"a": 1}')]
    mapped = apply(*rows, **COLUMNS, answer_format="json")
    assert faults(mapped) == [
        "d.jsonl:1: the answer is no valid JSON (Expecting property name enclosed in double quotes at character 2): "
        "{'a': 1}; expected a JSON object like the other rows'; write it with json.dumps, not str()",
        'd.jsonl:2: the answer is no valid JSON (Expecting value at character 6): {"a":; '
        "expected a JSON object like the other rows'; correct it",
        "d.jsonl:3: the answer is JSON but no object: [1]; expected a JSON object; write {…}",
    ]
    assert len(mapped.examples) == 1


def test_answer_templates() -> None:
    mapping: dict[str, Any] = {"prompt": "{text}", "answer": '{"who": "{name}", "at": {age?}}'}
    mapped = apply({"text": "x", "name": "Ada", "age": 36}, {"text": "y"}, {"text": "z", "age": 3}, **mapping)
    assert mapped.examples[0].references == ('{"who": "Ada", "at": 36}',)
    assert [row.problem for row in mapped.bad] == [
        "the answer (column 'name + age') is missing",
        "column 'name' is missing",
    ]


def test_all_malformed_rows_are_collected_with_their_lines() -> None:
    rows = [{"text": "a", "label": "x"}, {"label": "x"}, {"text": " ", "label": "x"}, {"text": "b"}]
    mapped = apply(*rows, **COLUMNS)
    assert faults(mapped) == [
        "d.jsonl:2: column 'text' is missing; expected text; fill it, or remove the row",
        "d.jsonl:3: column 'text' is empty; expected text; fill it, or remove the row",
        "d.jsonl:4: the answer (column 'label') is missing; expected a right answer; fill it, or remove the row",
    ]
    assert len(mapped.examples) == 1


# ------------------------------------------------------------------------------------------------------- messages


def test_the_last_assistant_turn_is_the_reference_and_weights_are_kept() -> None:
    turns = [
        turn("developer", "S"),
        turn("user", "a"),
        turn("assistant", "b", weight=0),
        turn("user", "c"),
        turn("assistant", "d"),
    ]
    (example,) = apply({"messages": turns}, **MESSAGES).examples
    assert example.references == ("d",)
    assert example.messages == (
        Message("system", "S"),
        Message("user", "a"),
        Message("assistant", "b", weight=0.0),
        Message("user", "c"),
    )


def test_messages_as_json_text_and_text_parts() -> None:
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    turns = [turn("user", parts), turn("assistant", "ok")]
    (example,) = apply({"messages": json.dumps(turns)}, **MESSAGES).examples
    assert example.prompt == "one two"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "'messages' is missing"),
        ([], "'messages' is an empty list"),
        (3, "'messages' is of type int"),
        ("hello", "'messages' is text but no JSON list"),
        ([turn("user"), 5], "turn 2 is no object"),
        ([turn("usr"), turn("assistant")], "turn 1 has the unknown role 'usr'. Did you mean 'user'?"),
        ([turn("human"), turn("assistant")], "turn 1 has the unknown role 'human'"),
        ([{"content": "x"}], "turn 1 has the unknown role None"),
        ([turn("user", None), turn("assistant")], "turn 1 (user) has no text"),
        ([turn("user", " "), turn("assistant")], "turn 1 (user) has no text"),
        ([turn("user"), turn("assistant", None, tool_calls=[{}])], "turn 2 calls a tool without a name"),
        ([turn("user", [{"type": "image_url"}]), turn("assistant")], "turn 1 (user) has no text"),
        ([turn("user"), turn("assistant", "x", weight="high")], "turn 2 has the weight 'high'"),
        ([turn("user"), turn("assistant", "x", weight=0)], "the last assistant turn has weight 0"),
        ([turn("user"), turn("assistant"), turn("user")], "the messages end in a turn of role 'user'"),
        ([turn("system"), turn("assistant")], "there is no user turn before the answer"),
        ([turn("user"), turn("assistant"), turn("assistant")], "the turn before the answer is of role 'assistant'"),
    ],
)
def test_messages_that_cannot_be_used(value: Any, problem: str) -> None:
    mapped = apply({"messages": value, "other": 1}, **MESSAGES)
    assert [row.problem for row in mapped.bad] == [problem]
    assert all(row.expected and row.fix for row in mapped.bad)


def test_messages_that_end_in_a_question_are_fine_where_no_answer_is_needed() -> None:
    (example,) = apply({"messages": [turn("user", "a")]}, need=False, **MESSAGES).examples
    assert (example.prompt, example.references) == ("a", ())


def test_prompt_and_completion_as_messages() -> None:
    mapping: dict[str, Any] = {"prompt": "{prompt}", "answer": "completion"}
    row = {"prompt": [turn("system", "S"), turn("user", "a")], "completion": [turn("assistant", "b")]}
    mapped = apply(
        row, {"prompt": "p", "completion": "c"}, {"prompt": [turn("user", "a")], "completion": "b"}, **mapping
    )
    assert [(len(e.messages), e.references) for e in mapped.examples] == [(2, ("b",)), (1, ("c",)), (1, ("b",))]
    bad = apply({"prompt": "p", "completion": [turn("assistant", "b"), turn("user", "c")]}, **mapping)
    assert bad.bad[0].problem == "the messages end in a turn of role 'user'"


# ---------------------------------------------------------------------------------------------------------- names


def rows_with_repeats() -> list[dict[str, Any]]:
    rows = [{"text": f"t{n}", "label": "a", "n": n} for n in range(20)]
    return [*rows, {"text": "t3", "label": "b", "n": 3}, {"text": "t3", "label": "a", "n": 3}]


def test_hashed_names_do_not_depend_on_the_order() -> None:
    rows = rows_with_repeats()
    shuffled = random.Random(1).sample(rows, len(rows))
    key = lambda e: (e.id, e.prompt, e.references)  # noqa: E731
    first, second = apply(*rows, **COLUMNS).examples, apply(*shuffled, **COLUMNS).examples
    assert sorted(map(key, first)) == sorted(map(key, second))
    assert len({e.id for e in first}) == len(rows)
    assert [len(e.id) for e in first] == [16] * 20 + [18, 18]


def test_names_stay_when_prompt_answers_split_or_format_change() -> None:
    plain = apply({"text": "t", "label": "a", "n": "3"}, **COLUMNS).examples[0].id
    assert apply({"text": "t", "n": 3}, need=False, **COLUMNS).examples[0].id == plain
    assert (
        apply({"text": "t", "label": "b", "n": 3.0}, prompt="Read: {text} {n}", answer="label").examples[0].id == plain
    )
    assert apply({"text": "t", "label": "a", "n": 3, "part": "test"}, **COLUMNS, split="part").examples[0].id == plain
    assert apply({"text": "u", "label": "a", "n": "3"}, **COLUMNS).examples[0].id != plain


def test_names_of_conversations_do_not_depend_on_the_answer() -> None:
    asked = [turn("user", "a")]
    labelled = apply({"messages": [*asked, turn("assistant", "b")]}, **MESSAGES).examples[0]
    assert apply({"messages": asked}, need=False, **MESSAGES).examples[0].id == labelled.id


def test_id_columns_must_be_unique_and_filled() -> None:
    rows = [{"id": i, "text": "x", "label": "y"} for i in (7, 8.0, 7, None)]
    mapped = apply(*rows, **COLUMNS, id="id")
    assert [e.id for e in mapped.examples] == ["7", "8"]
    assert faults(mapped) == [
        "d.jsonl:3: the id '7' is already that of d.jsonl:1; expected a different id for every row; "
        "rename one, or read the file without --id",
        "d.jsonl:4: the id (column 'id') is empty; expected a value; fill it, or read the file without --id",
    ]


# ------------------------------------------------------------------------------------------- clusters, parts, reuse


def test_clusters_and_given_parts() -> None:
    rows = [
        {"text": str(n), "label": "y", "user": n % 2, "part": p}
        for n, p in enumerate(["Train", "dev", "TEST", "trian"])
    ]
    mapped = apply(*rows, **COLUMNS, cluster="user", split="part")
    assert [e.cluster for e in mapped.examples] == ["0", "1", "0"]
    assert list(mapped.given.values()) == ["tune", "choose", "confirm"]
    assert mapped.bad[0].problem == "the split 'trian' is unknown. Did you mean 'train'?"


def test_a_mapping_says_which_columns_new_files_lack() -> None:
    mapping = RowMapping(prompt="{title?} {text}", answer="label", cluster="user", id="id")
    mapping.check_columns(["text"], "new.csv", need_answers=False)
    assert mapping.for_columns(["text"]) == RowMapping(prompt="{title?} {text}", answer="label")
    with pytest.raises(DataError) as caught:
        mapping.check_columns(["txt", "user"], "new.csv", need_answers=True)
    assert str(caught.value) == (
        "new.csv has no column 'text' and no column 'label', which this mapping needs (prompt <- title + text, "
        "answer <- label, cluster <- user, id <- id). It has: txt, user. Did you mean 'txt'? Rename the column, or map "
        "others with --prompt '{column}' and --answer column."
    )
