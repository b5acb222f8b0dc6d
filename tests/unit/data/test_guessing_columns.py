from __future__ import annotations

from typing import Any

import pytest

from luthier.core.errors import ConfigError, DataError
from luthier.data import ReadOptions, RowMapping
from luthier.data.guessing import guess_mapping


def guess(
    columns: str | list[str], rows: list[dict[str, Any]] | None = None, *, need: bool = True, **options: Any
) -> RowMapping:
    names = columns.split() if isinstance(columns, str) else columns
    rows = rows or [{name: f"some words of {name} {n}" for name in names} for n in range(3)]
    return guess_mapping("tickets.csv", names, rows, ReadOptions(**options), need_answers=need)


@pytest.mark.parametrize(
    ("columns", "prompt", "answer"),
    [
        ("text label", "{text}", "label"),
        ("sentence label", "{sentence}", "label"),
        ("Review Sentiment", "{Review}", "Sentiment"),
        ("message answer", "{message}", "answer"),
        ("dialogue summaries topics", "{dialogue}", "summaries"),
        ("document summary", "{document}", "summary"),
        ("article highlights", "{article}", "highlights"),
        ("input output options", "{input}", "output"),
        ("prompt completion", "{prompt}", "completion"),
        ("prompt response text", "{prompt}", "response"),
        ("question answer equation", "{question}", "answer"),
        ("title text label", "{title?}\n\n{text}", "label"),
        ("subject body category", "{subject?}\n\n{body}", "category"),
        ("instruction input output", "{instruction}\n\n{input?}", "output"),
        ("instruction context response", "{instruction}\n\n{context?}", "response"),
        ("question contexts answer", "{contexts}\n\n{question}", "answer"),
        ("question document answers", "{document}\n\n{question}", "answers"),
        ("premise hypothesis label", "premise: {premise}\nhypothesis: {hypothesis}", "label"),
        ("phrase label", "{phrase}", "label"),
        ("text json", "{text}", "json"),
        ("text label topic", "{text}", "label"),
    ],
)
def test_common_names(columns: str, prompt: str, answer: str) -> None:
    mapping = guess(columns)
    assert (mapping.prompt, mapping.answer) == (prompt, answer)


def test_the_guess_is_said_in_words() -> None:
    assert guess("text label").explain() == "prompt <- text, answer <- label"
    rows = [
        {"id": n, "title": "t t", "text": "x x", "label": '{"a": 1}', "split": s}
        for n, s in enumerate(["train", "test"])
    ]
    mapping = guess("id title text label split", rows)
    assert mapping.explain() == "prompt <- title + text, answer <- label (JSON), id <- id, split <- split"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            "question answer answer_text labels",
            "tickets.csv: several columns could be the answer: labels, answer, answer_text. Say which, for example "
            "--answer labels. All columns: question, answer, answer_text, labels.",
        ),
        (
            "prompt first second",
            "tickets.csv: no column is known to be the answer. Columns: prompt, first, second. Say which, for "
            "example --answer first. If these columns are a row of data, put a header row above it.",
        ),
        (
            "text message label",
            "tickets.csv: it is not clear which columns make the prompt. Columns: text, message, label. Say which, for "
            "example --prompt '{text}' or --prompt '{text}\\n\\n{message}', or all but the answer: --prompt '{*}'.",
        ),
        (
            "one two label",
            "tickets.csv: it is not clear which columns make the prompt. Columns: one, two, label. Say which, for "
            "example --prompt '{one}' or --prompt '{one}\\n\\n{two}', or all but the answer: --prompt '{*}'.",
        ),
        (
            "text",
            "tickets.csv: there is no column with the right answer. Columns: text. Add one, for example 'label' or "
            "'answer'; rows without answers can only be answered (luthier answer).",
        ),
        (
            "label",
            "tickets.csv: no column is left to make the prompt of. Columns: label. A data file needs a column with the "
            "text and, for training, one with the answer.",
        ),
    ],
)
def test_ambiguous_columns_are_an_error_that_shows_them_and_the_flag(columns: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        guess(columns)
    assert str(caught.value) == message


def test_what_the_user_says_is_taken() -> None:
    mapping = guess("a b c d", prompt=r"Say:\n{a}", answer="b", system="Be brief, please.", cluster="c", id="d")
    assert mapping.prompt_template.render({"a": "x"}) == "Say:\nx"
    assert (mapping.answer, mapping.system, mapping.cluster, mapping.id) == ("b", "Be brief, please.", "c", "d")
    assert guess("a b", prompt="a", answer="b").prompt == "{a}"
    assert guess("text label note", answer="note").prompt == "{text}"
    assert guess("text label document", prompt="{document}").answer == "label"
    assert guess("a b c", prompt="{a}", answer="{b}; {c}").answer_columns == ("b", "c")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"answer": "lable"},
            "--answer names the column 'lable', which tickets.csv does not have. It has: text, label. Did you mean "
            "'label'? Name one of these.",
        ),
        (
            {"prompt": "Read {txt}", "answer": "label"},
            "--prompt names the column 'txt', which tickets.csv does not have. It has: text, label. Did you mean "
            "'text'? Name one of these. (Braces that are meant as text are doubled: {{…}}.)",
        ),
        (
            {"answer": "{label} {x}"},
            "--answer names the column 'x', which tickets.csv does not have. It has: text, label. Name one of these.",
        ),
        (
            {"cluster": "user"},
            "--cluster names the column 'user', which tickets.csv does not have. It has: text, label. Name one of "
            "these.",
        ),
        (
            {"system": "sys"},
            "--system names the column 'sys', which tickets.csv does not have. It has: text, label. Name one of these.",
        ),
        (
            {"prompt": "Classify it.", "answer": "label"},
            "--prompt 'Classify it.' names no column, so every row would ask the same. Write a column in braces, such "
            "as --prompt 'Classify it. {text}'. Columns of tickets.csv: text, label.",
        ),
        (
            {"prompt": "{text} is {label}", "answer": "label"},
            "The prompt contains the column 'label', which is also the answer: the model would be told what to say. "
            "Take it out of --prompt, or choose another --answer. Columns of tickets.csv: text, label.",
        ),
    ],
)
def test_wrong_options_say_what_there_is(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        guess("text label", **options)
    assert str(caught.value) == message


def test_unlabelled_files_need_no_answer() -> None:
    mapping = guess("text", need=False)
    assert (mapping.prompt, mapping.answer, mapping.explain()) == ("{text}", None, "prompt <- text, no answers")
    assert guess("question answer labels", need=False).answer is None


def test_numbers_are_no_prompt() -> None:
    rows = [{"article": n, "question": "Who is it?", "answer": "me"} for n in range(3)]
    assert guess("article question answer", rows).prompt == "{question}"


def test_foreign_names_are_told_apart_by_what_repeats() -> None:
    rows = [{"Kundentext": f"Guten Tag, Nummer {n}", "Kategorie": "AB"[n % 2]} for n in range(20)]
    mapping = guess("Kundentext Kategorie", rows)
    assert (mapping.prompt, mapping.answer) == ("{Kundentext}", "Kategorie")
    with pytest.raises(DataError, match="no column is known to be the answer"):
        guess("Kundentext Kategorie", rows[:9])
    without_header = [{"Guten Tag": f"Guten Tag, Nummer {n}", "A": "AB"[n % 2]} for n in range(20)]
    with pytest.raises(DataError, match="put a header row above it"):
        guess(["Guten Tag", "A"], without_header)


def test_ids_are_used_only_where_they_are_unique() -> None:
    rows = [{"id": n % 2, "uid": n, "text": "x", "label": "y"} for n in range(4)]
    assert guess("id uid text label", rows).id == "uid"
    assert guess("id text label", rows).id is None


def test_split_columns_are_used_only_where_all_values_are_parts() -> None:
    rows = [{"split": s, "text": "x", "label": "y"} for s in ("train", "Validation", "held_out")]
    assert guess("split text label", rows).split == "split"
    assert guess("split text label", [*rows, {"split": "left", "text": "x", "label": "y"}]).split is None


@pytest.mark.parametrize(
    ("answers", "answer_format"),
    [
        (['{"a": 1}', '{"a": 2}'], "json"),
        ([{"a": 1}, {"a": 2}], "json"),
        (["{'a': 1}", "{'a': 2}"], "json"),  # meant as JSON; that it is none is said row by row
        (["a {b}", "c"], "text"),
        (['{"a": 1}'] * 8 + ["none"] * 2, "text"),
        (['{"a": 1}'] * 9 + ["none"], "json"),
        (['["a"]', '["b"]'], "text"),
        ([["a", "b"], ["c"]], "text"),
    ],
)
def test_answers_that_are_meant_as_json_objects(answers: list[Any], answer_format: str) -> None:
    assert guess("text label", [{"text": "x", "label": a} for a in answers]).answer_format == answer_format


def test_messages_win_unless_columns_are_named() -> None:
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": '{"a": 1}'}]
    mapping = guess("messages text label", [{"messages": turns, "text": "x", "label": "y"}])
    assert (mapping.dialect, mapping.prompt, mapping.answer_format) == ("messages", "messages", "json")
    assert mapping.explain() == "conversation and answer <- messages"
    assert guess("messages text label", [{"messages": turns}], prompt="{text}", answer="label").dialect == "columns"


def test_a_mapping_travels_as_json() -> None:
    mapping = guess(["Why?", "label"], prompt="{Why?}")
    again = RowMapping.parse(mapping.to_json())
    assert again == mapping
    assert again.input_columns == ("Why?",)
