"""Rows as other tools write them: what each dialect becomes, and what of it cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luthier.core.errors import DataError
from luthier.core.types import Example, Message, user
from luthier.data import ReadOptions, read_examples, read_rankings
from luthier.data.dialects import DIALECTS
from luthier.data.dialects.preference import PREFERENCE, Ranked

Write = Callable[..., Path]


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def read(write: Write, *rows: dict[str, Any], **options: Any) -> list[Example]:
    return list(read_examples(write("rows.jsonl", lines(*rows)), ReadOptions(**options)).examples)


def problems(write: Write, *rows: dict[str, Any]) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_examples(write("rows.jsonl", lines(*rows)))
    assert all(row.expected and row.fix for row in caught.value.rows)
    return [row.problem for row in caught.value.rows]


def explained(write: Write, *rows: dict[str, Any]) -> str:
    return read_examples(write("rows.jsonl", lines(*rows))).mapping.explain()


# --------------------------------------------------------------------------------------------------------- ShareGPT

HELLO = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]}


def test_sharegpt(write: Write) -> None:
    talk = [
        {"from": "system", "value": "Be kind."}, {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"},
        {"from": "human", "value": "Bye"}, {"from": "gpt", "value": "See you."},
    ]  # fmt: skip
    (example,) = read(write, {"id": "a", "conversations": talk})
    roles = ["system", "user", "assistant", "user"]
    assert [(m.role, m.content) for m in example.messages] == list(
        zip(roles, ["Be kind.", "Hi", "Hello!", "Bye"], strict=True)
    )
    assert (example.id, example.references) == ("a", ("See you.",))
    assert explained(write, HELLO) == "conversation and answer <- conversations (ShareGPT)"


def test_sharegpt_with_tools_and_a_system_column(write: Write) -> None:
    talk = [
        {"from": "human", "value": "Rain?"}, {"from": "function_call", "value": '{"name": "rain"}'},
        {"from": "observation", "value": "no"}, {"from": "gpt", "value": "It stays dry."},
    ]  # fmt: skip
    (example,) = read(write, {"conversation": talk, "system": "Use tools."})
    assert [m.role for m in example.messages] == ["system", "user", "assistant", "tool"]
    assert example.messages[0].content == "Use tools."


def test_sharegpt_that_cannot_be_used(write: Write) -> None:
    assert problems(
        write,
        {"conversations": [{"from": "humna", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]},
        {"conversations": [{"from": "human", "value": ""}, {"from": "gpt", "value": "Hello!"}]},
        {"conversations": []},
        HELLO,
    ) == [
        "turn 1 is from 'humna'. Did you mean 'human'?",
        "turn 1 (user) has no text",
        "'conversations' is an empty list",
    ]


# ----------------------------------------------------------------------------------------------------------- Gemini


def content(role: str, *texts: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": text} for text in texts]}


def test_gemini(write: Write) -> None:
    row = {
        "systemInstruction": {"role": "system", "parts": [{"text": "Be brief."}]},
        "contents": [content("user", "What is ", "this?"), content("model", "A test.")],
    }
    (example,) = read(write, row)
    assert example.messages == (Message("system", "Be brief."), Message("user", "What is this?"))
    assert example.references == ("A test.",)
    assert explained(write, row) == "conversation and answer <- contents (Gemini contents)"


def test_gemini_rows_keep_their_names_where_the_answer_changes(write: Write) -> None:
    rows = [{"contents": [content("user", "Q"), content("model", answer)]} for answer in ("A", "B")]
    assert read(write, rows[0])[0].id == read(write, rows[1])[0].id
    system = {**rows[0], "systemInstruction": {"parts": {"text": "S"}}}
    assert read(write, rows[0])[0].id != read(write, system)[0].id


def test_gemini_that_cannot_be_used(write: Write) -> None:
    picture = {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "…"}}]}
    assert problems(
        write,
        {"contents": [content("assistant", "Q"), content("model", "A")]},
        {"contents": [picture, content("model", "A")]},
        {"contents": [content("user", "Q"), content("model", "A")]},
    ) == ["turn 1 has the unknown role 'assistant'", "turn 1 (user) has no text"]


# ---------------------------------------------------------------------------------------------------- OpenAI, Alpaca


def test_calls_of_tools_are_written_out(write: Write) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}
    talk = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call, {"function": {"name": "time"}}]},
        {"role": "tool", "content": "rain", "tool_call_id": "1"},
        {"role": "assistant", "content": "Take an umbrella."},
    ]
    (example,) = read(write, {"messages": talk})
    assert example.messages[1].content == (
        '{"tool_calls": [{"name": "weather", "arguments": {"city": "Köln"}}, {"name": "time", "arguments": {}}]}'
    )
    assert read(write, {"messages": talk[:2]})[0].reference == example.messages[1].content
    legacy = {"role": "assistant", "content": "Let me see.", "function_call": {"name": "time", "arguments": ""}}
    assert read(write, {"messages": [talk[0], legacy]})[0].reference == (
        'Let me see.\n{"tool_calls": [{"name": "time", "arguments": {}}]}'
    )
    plain = {"messages": [talk[0], {"role": "assistant", "content": "Which town?"}]}
    assert len(read(write, *[{"messages": talk[:2]}] * 20, plain)) == 21  # a plain answer beside calls is no fault


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ({}, "turn 2 calls a tool without a name"),
        ("weather", "turn 2 calls a tool without a name"),
        ({"function": {"name": "f", "arguments": "{a}"}}, "turn 2 calls 'f' with arguments that are no JSON"),
    ],
)
def test_calls_that_cannot_be_read(write: Write, call: Any, problem: str) -> None:
    good = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    bad = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [call]}]}
    assert problems(write, good, bad) == [problem]


def test_alpaca_with_input_system_and_history(write: Write) -> None:
    rows = [
        {"instruction": "Translate.", "input": "Haus", "output": "house", "system": "", "history": []},
        {
            "instruction": "And now?",
            "input": "",
            "output": "mouse",
            "system": "German.",
            "history": [["Maus?", "Mouse."]],
        },
    ]
    first, second = read(write, *rows)
    assert first.messages == user("Translate.\n\nHaus")
    assert second.messages == (
        Message("system", "German."),
        *user("Maus?"),
        Message("assistant", "Mouse."),
        *user("And now?"),
    )
    assert second.references == ("mouse",)
    assert explained(write, *rows) == "prompt <- instruction + input + history, answer <- output, system <- system"
    rows[0]["history"] = [["only one"]]
    assert explained(write, *rows) == "prompt <- instruction + input, answer <- output, system <- system"


def test_a_column_called_history_that_holds_no_turns_is_a_column(write: Write) -> None:
    rows = [{"history": f"the story of {n}", "label": "ab"[n % 2]} for n in range(4)]
    assert read(write, *rows)[0].messages == user("the story of 0")


def test_history_is_not_written_twice(write: Write) -> None:
    row = {"instruction": "x", "n": 3, "history": [["a", "b"]], "output": "y"}
    assert read(write, row, prompt="{*}")[0].messages == (
        *user("a"), Message("assistant", "b"), *user("instruction: x\nn: 3"),
    )  # fmt: skip
    assert read(write, row, prompt="{instruction} {history}")[0].messages == user('x [["a", "b"]]')


# ------------------------------------------------------------------------------------------------------ preferences

PAIR = {"prompt": "Say hi.", "chosen": "Hi!", "rejected": "No."}


def ranked(row: dict[str, Any], column: str = "chosen") -> Ranked:
    return PREFERENCE.ranked(row, column)


def test_pairs_of_texts(write: Write) -> None:
    assert ranked(PAIR) == Ranked(user("Say hi."), ("Hi!", "No."), (1, 2))
    (example,) = read(write, PAIR)
    assert (example.messages, example.references) == (user("Say hi."), ("Hi!",))
    assert explained(write, PAIR) == "conversation and answer <- chosen (preferences)"
    other = {**PAIR, "chosen": "Hello!"}
    assert read(write, other)[0].id == example.id  # another answer, the same question


def test_pairs_of_conversations_say_their_prompt_themselves() -> None:
    before = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    row = {name: [*before, {"role": "assistant", "content": name}] for name in ("chosen", "rejected")}
    found = ranked(row)
    assert [m.content for m in found.prompt] == ["a", "b", "c"]
    assert found.completions == ("chosen", "rejected")
    said = [{"role": "user", "content": "a"}]
    assert ranked(
        {"prompt": said, "chosen": [*said, {"role": "assistant", "content": "x"}], "rejected": "y"}
    ) == Ranked(user("a"), ("x", "y"), (1, 2))


def test_dialogues_written_out() -> None:
    talk = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Tell me\n\nmore.\n\nAssistant:"
    row = {"chosen": f"{talk} Sure.\n\nGladly.", "rejected": f"{talk} No."}
    found = ranked(row)
    assert [(m.role, m.content) for m in found.prompt] == [
        ("user", "Hi"), ("assistant", "Hello."), ("user", "Tell me\n\nmore."),
    ]  # fmt: skip
    assert found.completions == ("Sure.\n\nGladly.", "No.")
    assert ranked({"prompt": talk.strip(), "chosen": "Sure.", "rejected": "No."}).prompt == found.prompt
    odd = ranked({"prompt": "Say what a human says.", "chosen": "Human: Hello?", "rejected": "No."})
    assert odd.completions == ("Human: Hello?", "No.")


def test_openai_pairs() -> None:
    row = {
        "input": {"messages": [{"role": "user", "content": "Hi"}], "tools": []},
        "preferred_output": [{"role": "assistant", "content": "Hello!"}],
        "non_preferred_output": [{"role": "assistant", "content": "What?"}],
    }
    assert ranked(row, "preferred_output") == Ranked(user("Hi"), ("Hello!", "What?"), (1, 2))


def test_columns_may_be_written_with_spaces_and_capitals(write: Write) -> None:
    pair = {"Prompt": "q", "Preferred Output": "a", "non-preferred output": "b"}
    assert read(write, pair)[0].references == ("a",)
    other = {**pair, "non-preferred output": "c"}
    assert read(write, pair)[0].id == read(write, other)[0].id  # what is rejected is no part of the question


def test_marked_completions(write: Write) -> None:
    good, bad = ({"prompt": "q", "completion": text, "label": text == "yes"} for text in ("yes", "no"))
    assert ranked(good, "completion") == Ranked(user("q"), ("yes",), (1,))
    assert ranked(bad, "completion") == Ranked(user("q"), ("no",), (2,))
    assert problems(write, good, bad) == ["no completion is marked as the best"]
    (example,) = read(write, good, bad, skip_bad=True)
    assert example.references == ("yes",)


def test_lists_of_completions_with_ranks_or_scores(write: Write) -> None:
    row = {"prompt": "q", "completions": ["a", "b", "c"]}
    assert ranked({**row, "ranks": [3, 1, None]}, "completions").ranks == (2, 1, None)
    assert ranked({**row, "scores": [0.5, 2, 2]}, "completions").ranks == (2, 1, 1)
    assert read(write, {**row, "scores": [0.5, 2, 1]})[0].references == ("b",)
    assert problems(write, {**row, "scores": [0.5, 2, 2]}, {**row, "scores": [1]}, {**row, "scores": [3, 2, 1]}) == [
        "no completion is marked as the best", "'scores' does not give each of 3 completions a number",
    ]  # fmt: skip


def test_pairs_that_cannot_be_used(write: Write) -> None:
    unlike = {
        "chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "x"}],
        "rejected": [{"role": "user", "content": "b"}, {"role": "assistant", "content": "y"}],
    }
    assert problems(write, {**PAIR, "rejected": "Hi!"}, {**PAIR, "chosen": ""}, {**PAIR, "prompt": ""}, PAIR) == [
        "'chosen' and 'rejected' are the same text",
        "'chosen' is empty",
        "there is no user turn before the answer",
    ]
    assert problems(write, unlike) == ["'chosen' is not one assistant turn after the prompt"]


def test_rankings_hold_what_supervised_tuning_leaves_out(write: Write) -> None:
    good, bad = ({"prompt": "q", "completion": text, "label": text == "yes"} for text in ("yes", "no"))
    found = read_rankings(write("kto.jsonl", lines(good, bad)))
    assert [(r.prompt.messages, r.completions, r.ranks) for r in found] == [
        (user("q"), ("yes",), (1,)), (user("q"), ("no",), (2,)),
    ]  # fmt: skip
    (pair,) = read_rankings(write("pair.jsonl", lines(PAIR)))
    assert (pair.prompt.references, pair.completions, pair.ranks) == ((), ("Hi!", "No."), (1, 2))
    with pytest.raises(
        DataError, match=r"holds no preferences \(prompt <- text, answer <- label\)\. They need prompt,"
    ):
        read_rankings(write("labels.csv", "text,label\na,b\n"))


# ------------------------------------------------------------------------------------------------------------ SQuAD

PASSAGE = "Bonn lies on the Rhine. It was the capital."
ANSWERS = {"text": ["the Rhine", "Rhine"], "answer_start": [13, 17]}


def test_squad_files(write: Write) -> None:
    questions = [
        {"id": "q1", "question": "Where is Bonn?", "is_impossible": False,
         "answers": [{"text": "the Rhine", "answer_start": 13}, {"text": "Rhine", "answer_start": 17}]},
        {"id": "q2", "question": "Who founded it?", "is_impossible": True, "answers": []},
    ]  # fmt: skip
    document = {"version": "v2.0", "data": [{"title": "Bonn", "paragraphs": [{"context": PASSAGE, "qas": questions}]}]}
    dataset = read_examples(write("dev.json", json.dumps(document)))
    assert dataset.description == "dev.json: SQuAD (UTF-8), 2 rows"
    assert dataset.mapping.explain() == (
        "prompt <- context + question, answer <- answers, cluster <- passage_id, id <- id"
    )
    first, second = dataset.examples
    assert first.messages == user(f"{PASSAGE}\n\nWhere is Bonn?")
    assert (first.id, first.references, first.cluster) == ("q1", ("the Rhine", "Rhine"), second.cluster)
    assert second.references == ("unanswerable",)


def test_rows_with_squad_answers(write: Write) -> None:
    row = {"id": "1", "title": "Bonn", "context": PASSAGE, "question": "Where?", "answers": ANSWERS}
    assert read(write, row)[0].references == ("the Rhine", "Rhine")
    assert read(write, {**row, "answers": {"text": [], "answer_start": []}})[0].references == ("unanswerable",)
    text = f'context,question,answers\n"{PASSAGE}",Where?,"{json.dumps(ANSWERS).replace(chr(34), chr(34) * 2)}"\n'
    assert read_examples(write("rows.csv", text)).examples[0].references == ("the Rhine", "Rhine")
    moved = {**row, "id": "2", "answers": {"text": ["Rhine"], "answer_start": [16]}}
    absent = {**row, "id": "3", "answers": {"text": ["Elbe"], "answer_start": [16]}}
    uneven = {**row, "id": "4", "answers": {"text": ["Rhine"], "answer_start": []}}
    assert problems(write, row, moved, absent, uneven) == [
        "the answer 'Rhine' does not stand at answer_start 16 of its passage",
        "the answer 'Elbe' does not stand at answer_start 16 of its passage",
        "the answers are not as many texts as places",
    ]


def test_passages_are_clusters_only_where_every_row_has_one(write: Write) -> None:
    rows = [{"passage_id": "p1", "text": "a", "label": "x"}, {"passage_id": "", "text": "b", "label": "y"}]
    assert explained(write, *rows) == "prompt <- text, answer <- label"
    rows[1]["passage_id"] = "p1"
    assert explained(write, *rows) == "prompt <- text, answer <- label, cluster <- passage_id"


def test_squad_files_with_holes(write: Write) -> None:
    qas = [{"id": "1"}, {"id": "2", "question": "Q", "answers": "x"},
           {"id": "3", "question": "Q", "is_impossible": False, "answers": []},
           {"id": "4", "question": "Q", "answers": [{"text": "Bonn", "answer_start": 0}]}]  # fmt: skip
    paragraphs = [{"context": PASSAGE, "qas": qas}, {"qas": qas}]
    document = {"data": [{"title": "t", "paragraphs": paragraphs}, {"title": "u", "paragraphs": None}]}
    with pytest.raises(DataError) as caught:
        read_examples(write("dev.json", json.dumps(document)))
    assert [(row.line, row.problem) for row in caught.value.rows] == [
        (1, "there is no question"),
        (2, "the answers are no list of texts with answer_start"),
        (3, "the question has no answer, and does not say that it is impossible"),
        (5, "paragraph 2 of article 1 has no context, or no list 'qas'"),
        (6, "article 2 has no list of paragraphs"),
    ]


# ----------------------------------------------------------------------------------------------------------- tables


def test_a_row_of_a_table_as_text_on_request(write: Write) -> None:
    path = write("adults.csv", "age,work,id,label\n39,state,r1,low\n52,,r2,high\n")
    dataset = read_examples(path, ReadOptions(prompt="Income?\\n\\n{*}"))
    assert [example.prompt for example in dataset.examples] == [
        "Income?\n\nage: 39\nwork: state", "Income?\n\nage: 52\nwork:",
    ]  # fmt: skip
    assert dataset.mapping.explain() == "prompt <- age + work, answer <- label, id <- id"


def test_dialects_are_told_apart() -> None:
    assert list(DIALECTS) == ["preference", "messages", "sharegpt", "gemini"]
    assert all(DIALECTS.get(name).name == name for name in DIALECTS)
