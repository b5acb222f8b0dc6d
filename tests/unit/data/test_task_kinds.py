from __future__ import annotations

import json
import random
from typing import Any

import pytest
from data_samples import example, sentence

from luthier.core.errors import ConfigError, DataError
from luthier.core.types import Example, Message, user
from luthier.data.schema import infer_schema, parse_objects
from luthier.data.tasks import KINDS, count_words, guess_task, require_different_answers


def rows(answers: list[str], words: int = 12, end: str = "") -> list[Example]:
    return [example(n, sentence(n, words) + end, answer) for n, answer in enumerate(answers)]


def test_classification_with_labels_by_frequency() -> None:
    task = guess_task(rows(["bad", "good", "good", "fine", "bad", "good"] * 10))
    assert task.kind == "classification"
    assert task.reason == "3 short answers repeat over 60 rows (good, bad, fine)"
    assert task.labels == ("good", "bad", "fine")
    assert task.metrics == ("accuracy", "macro_f1")
    assert task.schema is None


def test_many_labels_are_still_classification_but_free_answers_are_not() -> None:
    assert guess_task(rows([f"intent {n % 77}" for n in range(1000)])).kind == "classification"
    assert guess_task(rows([f"name {n % 77}" for n in range(154)])).kind == "question_answering"
    assert guess_task(rows(["a"] * 30 + [f"b{n}" for n in range(20)])).kind == "question_answering"


def test_few_numbers_are_labels_many_are_answers() -> None:
    assert guess_task(rows([str(n % 5) for n in range(100)])).kind == "classification"
    assert guess_task(rows([str(n % 15) for n in range(150)])).kind == "question_answering"
    assert guess_task(rows([f"grade {n % 15}" for n in range(150)])).kind == "classification"


def test_extraction_with_its_schema() -> None:
    answers = [json.dumps({"product": ["kettle", "lamp"][n % 2], "order": n if n % 3 else None}) for n in range(40)]
    task = guess_task(rows(answers))
    assert (task.kind, task.reason) == ("extraction", "the answers are JSON objects")
    assert task.metrics == ("exact_match", "json_field_f1", "json_validity")
    assert task.schema == {
        "type": "object",
        "properties": {"product": {"enum": ["kettle", "lamp"]}, "order": {"type": ["integer", "null"]}},
        "required": ["product", "order"],
        "additionalProperties": False,
    }
    assert json.loads(json.dumps(task.to_json()))["schema"] == task.schema


def test_summarization_needs_long_inputs_and_clearly_shorter_answers() -> None:
    answers = [sentence(1000 + n, 20) for n in range(40)]
    task = guess_task(rows(answers, words=120))
    assert (task.kind, task.metric, task.secondary) == ("summarization", "rougeL", ("rouge1", "rouge2"))
    assert task.reason == "long inputs (median: 120 words) have answers of 20 words"
    assert guess_task(rows([sentence(n, 10) for n in range(40)], words=45)).kind == "chat"
    assert guess_task(rows([sentence(n, 10) for n in range(40)], words=55)).kind == "summarization"
    assert guess_task(rows(answers, words=30)).kind == "chat"
    assert guess_task(rows([sentence(n, 70) for n in range(40)], words=120)).kind == "chat"


def test_question_answering_by_short_answers_or_questions() -> None:
    assert guess_task(rows([sentence(n, 2) for n in range(40)], words=120)).reason == (
        "the answers are short (median: 2 words)"
    )
    asked = guess_task(rows([sentence(n, 10) for n in range(40)], end="?"))
    assert (asked.kind, asked.metrics) == ("question_answering", ("token_f1", "exact_match"))
    assert guess_task(rows([sentence(n, 10) for n in range(40)])).kind == "chat"


def test_conversations_of_several_turns_are_chat() -> None:
    turns = (Message("user", "hi"), Message("assistant", "hello"), Message("user", "name?"))
    task = guess_task([Example(str(n), turns, (f"I am {n}",)) for n in range(40)])
    assert (task.kind, task.reason) == ("chat", "the conversations have several turns")


def test_translation_only_when_told() -> None:
    answers = [sentence(1000 + n, 12) for n in range(40)]
    assert guess_task(rows(answers)).kind == "chat"
    task = guess_task(rows(answers), kind="translation")
    assert (task.kind, task.reason) == ("translation", "as told")
    with pytest.raises(ConfigError, match=r"Unknown task 'clasification'\. Known: .* Did you mean 'classification'\?"):
        guess_task(rows(answers), kind="clasification")


def test_recommended_sizes_and_epochs() -> None:
    recommended = {kind: guess_task(rows(["a", "b"] * 20), kind=kind).recommended_examples for kind in KINDS}
    assert recommended == {
        "classification": 500, "extraction": 500, "summarization": 1000, "question_answering": 500, "chat": 1000,
        "translation": 1000,
    }  # fmt: skip
    task = guess_task(rows(["a", "b"] * 20), kind="summarization")
    assert task.recommended_epochs == (2, 4)
    assert task.advice(999) == (
        "999 rows to learn from, fewer than recommended for summarization (1,000 or more, 2 to 4 epochs)."
    )
    assert "as recommended" in task.advice(1000)


def test_rows_without_answers_and_with_equal_answers() -> None:
    with pytest.raises(DataError, match=r"None of the rows has a right answer"):
        guess_task([Example("a", user("x"))])
    with pytest.raises(DataError) as caught:
        require_different_answers(rows(["yes"] * 40))
    assert str(caught.value) == (
        "All 40 rows have the same answer ('yes'), so there is nothing to learn. Check --answer, or add rows with "
        "other "
        "answers."
    )
    require_different_answers(rows(["yes", "no"]))


def test_words_of_languages_without_spaces() -> None:
    assert count_words("Hello, 2 worlds!") == 3
    assert count_words("今日は天気") == 5
    assert count_words("GPT模型 ok") == 4


# --------------------------------------------------------------------------------------------------------- schema


def properties(*objects: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = infer_schema(objects)["properties"]
    return found


def test_types_null_and_required() -> None:
    schema = infer_schema([{"b": 1, "a": True, "c": None}, {"b": 2.5, "a": False, "c": None, "d": "x" * 70}])
    assert schema["properties"] == {
        "b": {"type": "number"},
        "a": {"type": "boolean"},
        "c": {"type": "null"},
        "d": {"type": "string", "maxLength": 140},
    }
    assert list(schema["properties"]) == ["b", "a", "c", "d"]
    assert schema["required"] == ["b", "a", "c"]
    assert properties({"x": 1}, {"x": "1"})["x"] == {"type": ["string", "integer"], "maxLength": 16}


def test_enums_only_where_a_new_value_is_unlikely() -> None:
    common = [{"x": "a"}] * 60 + [{"x": "b"}] * 38
    assert properties(*common, {"x": "c"}, {"x": None})["x"] == {"enum": ["a", "b", "c", None]}  # 1 of 99 seen once
    rare = [{"x": "c"}, {"x": "d"}]
    assert properties(*common, *rare)["x"] == {"enum": ["a", "b", "c", "d"]}  # 2 of 100: just at 2 %
    assert properties(*common, *rare, {"x": "e"})["x"] == {"type": "string", "maxLength": 16}  # 3 of 101
    assert properties({"x": "a"}, {"x": "b"}, {"x": "a"}, {"x": "b"})["x"] == {"type": "string", "maxLength": 16}
    many = [{"x": str(n % 26)} for n in range(500)]
    assert properties(*many)["x"] == {"type": "string", "maxLength": 16}
    assert len(properties(*[{"x": str(n % 25)} for n in range(500)])["x"]["enum"]) == 25


def test_few_values_are_no_choices_however_often_they_repeat() -> None:
    """An answer held to an enum cannot be anything else: three orders with one voucher say little about a fourth."""
    rows = [{"x": None}] * 80
    assert properties(*rows, *[{"x": "WELCOME"}] * 19)["x"] == {"type": ["string", "null"], "maxLength": 16}
    assert properties(*rows, *[{"x": "WELCOME"}] * 20)["x"] == {"enum": ["WELCOME", None]}


def test_numbers_that_are_copied_from_the_text_are_no_choices() -> None:
    """Ten customers with ten orders each: no id is seen once, and still the next customer has another one."""
    ids = [{"x": f"LK-{1000 + n % 10}"} for n in range(100)]
    assert properties(*ids)["x"] == {"type": "string", "maxLength": 16}
    dates = [{"x": f"2024-01-{n % 9 + 10}"} for n in range(100)]
    assert properties(*dates)["x"] == {"type": "string", "maxLength": 20}
    names = [{"x": ["Model 300", "lamp", "kettle 2", "iron 12"][n % 4]} for n in range(100)]
    assert properties(*names)["x"] == {"enum": ["Model 300", "iron 12", "kettle 2", "lamp"]}


def test_nested_objects_and_lists() -> None:
    found = properties(
        {"who": {"name": "a"}, "tags": ["x", "y"]}, {"who": {"name": "b"}, "tags": []}, {"who": None, "tags": []}
    )
    assert found["who"] == {
        "type": ["object", "null"],
        "properties": {"name": {"type": "string", "maxLength": 16}},
        "required": ["name"],
        "additionalProperties": False,
    }
    assert found["tags"] == {"type": "array", "items": {"type": "string", "maxLength": 16}}
    assert properties({"tags": []})["tags"] == {"type": "array"}


def test_schema_does_not_depend_on_the_order_of_rows() -> None:
    objects = [{"a": "xyz"[n % 3], "b": n, "c": None if n % 2 else 1.5} for n in range(60)]
    assert infer_schema(random.Random(0).sample(objects, 60)) == infer_schema(objects)


def test_only_objects_are_parsed() -> None:
    assert parse_objects(['{"a": 1}', "[1]", "{", "text"]) == [{"a": 1}]
