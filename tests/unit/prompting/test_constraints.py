"""Constraints in settings: one way for every strategy, and what they are for a task."""

from __future__ import annotations

import json
from typing import Any

import pytest

from luthier.core.errors import ConfigError
from luthier.core.types import Constraint, Example, user
from luthier.data.tasks import guess_task
from luthier.generation.drive import drive
from luthier.prompting.asking import Known, constraint_from
from luthier.prompting.format_instruction import constraint_for
from luthier.prompting.strategies import STRATEGIES, build_strategy
from luthier.testing import ScriptedLanguageModel

KNOWN = Known((Example("r", user("what?"), ("yes",)),))
SCHEMA = {"type": "object", "properties": {"é": {"type": "string"}, "a": {"enum": ["x", None]}}}


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_asks_with_its_constraint(name: str) -> None:
    assert len(STRATEGIES) >= 2
    for given, expected in (
        ({}, None),
        ({"choices": ["yes", "no"]}, Constraint(choices=("yes", "no"))),
        ({"schema": SCHEMA}, Constraint(schema=json.dumps(SCHEMA, ensure_ascii=False))),
    ):
        model = ScriptedLanguageModel(["yes"])
        strategy = build_strategy(
            {"strategy": name, "constraint": given, "max_tokens": 7, "top_p": 0.9, "seed": 3}, KNOWN
        )
        list(drive(strategy, model, [Example("q", user("this?"))]))
        decoding = model.batches[0][0].decoding
        assert decoding.constraint == expected
        assert (decoding.max_tokens, decoding.top_p, decoding.seed) == (7, 0.9, 3)


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_order_of_a_schemas_fields_is_part_of_the_identity(name: str) -> None:
    """It is the order in which they are written; a digest over sorted keys would not tell."""
    turned = SCHEMA | {"properties": dict(reversed(list(SCHEMA["properties"].items())))}  # type: ignore[attr-defined]
    assert turned == SCHEMA
    built = [build_strategy({"strategy": name, "constraint": {"schema": s}}, KNOWN) for s in (SCHEMA, turned, SCHEMA)]
    assert built[0].identity == built[2].identity != built[1].identity


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"choices": [True, False]}, "choices are texts: put words that YAML reads as something else"),
        ({"choices": ["a", ""]}, "choices are texts"),
        ({"choices": []}, "a constraint is {schema: a JSON schema}, {choices: a list of texts}, or {} for none"),
        ({"choices": "yes"}, "a constraint is"),
        ({"schema": "{}"}, "a constraint is"),
        ({"schema": SCHEMA, "choices": ["a"]}, "a constraint is"),
        ({"regex": "a+"}, "a constraint is"),
    ],
)
def test_a_constraint_that_cannot_be_read_is_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=r"^(choices are|a constraint is)"):
        constraint_from(given)
    with pytest.raises(ConfigError, match=r"strategy has 1 mistake\(s\):\n  constraint: Value error, ") as error:
        build_strategy({"strategy": "zero_shot", "constraint": given})
    assert text in str(error.value)


def answers(*texts: str) -> list[Example]:
    return [Example(str(n), user(f"text {n} goes here"), (text,)) for n, text in enumerate(texts)]


def test_what_a_task_allows() -> None:
    labels = guess_task(answers(*["good", "bad", "good"] * 20))
    assert constraint_for(labels) == {"choices": ["good", "bad"]}
    objects = guess_task(answers(*[json.dumps({"b": n, "a": "xy"[n % 2]}) for n in range(40)]))
    found = constraint_for(objects)
    assert list(found["schema"]["properties"]) == ["b", "a"]
    assert found["schema"]["properties"] == {"b": {"type": "integer"}, "a": {"enum": ["x", "y"]}}
    assert found["schema"]["additionalProperties"] is False
    texts = guess_task(answers(*[f"a sentence with the number {n} in it, and more" for n in range(40)]))
    assert (texts.kind, constraint_for(texts)) == ("chat", {})
    for task in (labels, objects):
        assert constraint_from(constraint_for(task)) is not None
