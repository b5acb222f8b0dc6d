"""Few-shot: what is sent, what is left out where there is no room, and what never is shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from luthier.core.errors import ConfigError, DataError
from luthier.core.types import Example, Message, user
from luthier.generation.drive import drive
from luthier.prompting.asking import Known
from luthier.prompting.strategies import build_strategy
from luthier.prompting.strategies.few_shot import FewShot
from luthier.testing import ScriptedLanguageModel

ROWS = tuple(Example(f"r{n}", user(f"{word} thing"), (f"is{n}",)) for n, word in enumerate(["red", "blue", "green"]))
QUESTION = Example("q", user("green blue"))


def words(messages: Sequence[Message]) -> int:
    return sum(len(message.content.split()) for message in messages)


def few_shot(rows: Sequence[Example] = ROWS, context: int | None = None, **settings: Any) -> FewShot:
    built: FewShot = build_strategy({"strategy": "few_shot", **settings}, Known(tuple(rows), words, context))
    return built


def shown(strategy: FewShot, question: Example = QUESTION) -> list[str]:
    return [row.id for row in strategy.demonstrations(question)]


def test_demonstrations_are_earlier_turns_the_most_similar_last() -> None:
    model = ScriptedLanguageModel(["fine"])
    strategy = few_shot(examples=2, selection="nearest", instruction="Say what it is.", max_tokens=9, temperature=0.5)
    # "blue" and "green" are in one row each and equally similar; the earlier row is the more wanted one.
    (answer,) = drive(strategy, model, [QUESTION])
    ((request,),) = model.batches
    assert [(m.role, m.content) for m in request.messages] == [
        ("user", "Say what it is.\n\ngreen thing"),
        ("assistant", "is2"),
        ("user", "blue thing"),
        ("assistant", "is1"),
        ("user", "green blue"),
    ]
    assert (request.decoding.max_tokens, request.decoding.temperature) == (9, 0.5)
    assert (answer.text, answer.scores) == ("fine", {"demonstrations": 2.0})


def test_random_demonstrations_are_the_same_beginning_for_every_question() -> None:
    model = ScriptedLanguageModel(["fine"])
    strategy = few_shot(examples=2, seed=4)
    questions = [Example(f"q{n}", user(f"question {n}")) for n in range(3)]
    list(drive(strategy, model, questions))
    beginnings = {request.messages[:-1] for request in model.batches[0]}
    assert len(beginnings) == 1
    assert len(beginnings.pop()) == 4
    assert {tuple(shown(few_shot(examples=2, seed=seed))) for seed in range(8)} > {tuple(shown(strategy))}


def test_a_question_is_never_its_own_demonstration() -> None:
    for selection in ("random", "nearest"):
        strategy = few_shot(examples=3, selection=selection)
        for row in ROWS:
            assert sorted(shown(strategy, row)) == sorted({"r0", "r1", "r2"} - {row.id})
    assert shown(few_shot(ROWS[:1], examples=3), ROWS[0]) == []


def test_without_room_the_last_random_ones_are_left_out_first() -> None:
    """A demonstration has 3 words, the question 2: three of them make 11, two 8, one 5."""
    block = shown(few_shot(examples=3))
    for limit, count in ((11, 3), (10, 2), (8, 2), (7, 1), (5, 1), (4, 0), (1, 0)):
        assert shown(few_shot(examples=3, prompt_tokens=limit)) == block[:count], limit


def test_without_room_the_least_similar_ones_are_left_out_first() -> None:
    for limit, left in ((11, ["r0", "r2", "r1"]), (10, ["r2", "r1"]), (7, ["r1"]), (4, [])):
        assert shown(few_shot(examples=3, selection="nearest", prompt_tokens=limit)) == left, limit


def test_the_instruction_counts_and_is_told_to_the_question_if_nothing_else_is_shown() -> None:
    strategy = few_shot(examples=1, instruction="one two three", prompt_tokens=7)  # 3 + 2 + 3 = 8
    (answer,) = drive(strategy, ScriptedLanguageModel(["x"]), [QUESTION])
    assert answer.scores == {"demonstrations": 0.0}
    assert [m.content for m in strategy.messages(QUESTION)] == ["one two three\n\ngreen blue"]
    assert len(few_shot(examples=1, instruction="one two three", prompt_tokens=8).messages(QUESTION)) == 3
    turns = Example("q", (*user("a"), Message("assistant", "b"), *user("c")))
    assert [m.content for m in strategy.messages(turns)] == ["a", "b", "one two three\n\nc"]


def test_the_models_context_less_the_answer_is_the_most_there_is() -> None:
    assert len(shown(few_shot(examples=3, context=31, max_tokens=20))) == 3
    assert len(shown(few_shot(examples=3, context=30, max_tokens=20))) == 2
    assert len(shown(few_shot(examples=3, context=30, max_tokens=20, prompt_tokens=5))) == 1
    assert len(shown(few_shot(examples=3, context=25, max_tokens=20, prompt_tokens=100))) == 1


def test_rows_longer_than_their_share_come_in_only_where_others_are_too_few() -> None:
    """Of 40 words, 3 demonstrations and a question have 10 each; a row of 11 words is too long, one of 10 is not."""
    long = Example("long", user("green blue " * 5), ("x",))
    fits = Example("fits", user("green blue " * 4 + "red"), ("x",))
    assert "long" not in shown(few_shot([long, *ROWS], examples=3, selection="nearest", prompt_tokens=40))
    assert "fits" in shown(few_shot([fits, *ROWS], examples=3, selection="nearest", prompt_tokens=40))
    # Three short rows do not make four: the long one is the least wanted, though it is the most similar.
    assert shown(few_shot([long, *ROWS], examples=4, selection="nearest", prompt_tokens=40))[0] == "long"
    assert "long" in shown(few_shot([long, *ROWS], examples=3, selection="nearest"))  # nothing is counted


def test_a_conversation_has_one_system_turn_and_it_is_the_questions() -> None:
    system = Message("system", "Be brief.")
    row = Example("r", (Message("system", "Be verbose."), *user("a"), Message("assistant", "b"), *user("c")), ("d",))
    question = Example("q", (system, *user("e"), Message("assistant", "f"), *user("g")))
    strategy = few_shot([row], examples=1)
    assert [m.content for m in strategy.messages(question)] == ["Be brief.", "a", "b", "c", "d", "e", "f", "g"]
    assert [m.role for m in strategy.messages(question)] == ["system", *["user", "assistant"] * 3, "user"]


def refusing(messages: Sequence[Message]) -> int:
    """Count words as a renderer counts tokens: a special token in a message is refused."""
    if any("<|end|>" in message.content for message in messages):
        raise DataError("a message contains a special token")
    return words(messages)


def test_what_cannot_be_rendered_is_not_shown_and_does_not_stop_the_others() -> None:
    rows = (*ROWS, Example("bad", user("green blue"), ("<|end|>",)))
    strategy = build_strategy(
        {"strategy": "few_shot", "selection": "nearest", "examples": 4}, Known(rows, refusing, context=500)
    )
    assert shown(strategy) == ["r0", "r2", "r1"]
    # A question that cannot be rendered is sent: the model's own failure says why.
    bad = Example("q", user("a <|end|> b"))
    assert strategy.messages(bad)[-1] == bad.messages[-1]


def test_the_identity_holds_rows_and_settings_and_survives_storing() -> None:
    strategy = few_shot(examples=2)
    settings = json.loads(json.dumps(strategy.config.model_dump(mode="json")))
    stored = tuple(Example.from_json(json.loads(json.dumps(row.to_json()))) for row in ROWS)
    assert build_strategy(settings, Known(stored, words)).identity == strategy.identity
    changed = (*ROWS[:2], Example("r2", ROWS[2].messages, ("is3",)))
    others = [few_shot(changed, examples=2), few_shot(ROWS[:2], examples=2), few_shot(examples=3), few_shot(seed=1)]
    assert len({strategy.identity, *(other.identity for other in others)}) == 5


def test_rows_without_answers_are_no_demonstrations_and_none_at_all_is_an_error() -> None:
    assert "u" not in shown(few_shot([*ROWS, Example("u", user("green blue"))], examples=9, selection="nearest"))
    with pytest.raises(ConfigError) as error:
        few_shot([Example("u", user("no answer"))])
    assert str(error.value) == (
        "few_shot shows rows to learn from, and there are none. Give rows with right answers (a run keeps its own in "
        "parts.jsonl), or choose the strategy zero_shot."
    )


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"Unknown selection of demonstrations 'closest'\."):
        few_shot(selection="closest")
    with pytest.raises(ConfigError, match=r"examples: Input should be greater than or equal to 1 \(received 0\)"):
        few_shot(examples=0)
    with pytest.raises(ConfigError, match=r"exampels: unknown key\. .*Did you mean 'examples'\?"):
        few_shot(exampels=2)
    with pytest.raises(ConfigError, match=r"prompt_tokens is 50, but there is no tokenizer to count with\."):
        build_strategy({"strategy": "few_shot", "prompt_tokens": 50}, Known(ROWS))
    with pytest.raises(ConfigError, match=r"Unknown strategy 'fewshot'\. .*Did you mean 'few_shot'\?"):
        build_strategy({"strategy": "fewshot"})
