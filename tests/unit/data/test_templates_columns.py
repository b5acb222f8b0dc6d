from __future__ import annotations

import pytest

from luthier.data.templates import Placeholder, Template
from luthier.data.values import RowError, as_prompt_text, as_text


def test_shell_line_breaks_become_line_breaks() -> None:
    template = Template.compile(r"Summarize this dialogue.\n\n{dialogue}\tEnd")
    assert template.render({"dialogue": "A: hi"}) == "Summarize this dialogue.\n\nA: hi\tEnd"
    assert template.columns == ("dialogue",)


def test_braces_that_are_text() -> None:
    template = Template.compile('Answer as {"label": "…", "n": {"m": 1}}: {text}, and write {{name}} as {}.')
    assert template.columns == ("text",)
    assert template.render({"text": "T"}) == 'Answer as {"label": "…", "n": {"m": 1}}: T, and write {name} as {}.'


def test_whatever_could_be_a_column_is_one_so_that_typos_do_not_pass() -> None:
    assert Template.compile("{txt} {my column} {a, b}").columns == ("txt", "my column", "a, b")


def test_names_of_columns_are_taken_as_they_are() -> None:
    template = Template.compile('{Why?} {a "b"}', columns=["Why?", 'a "b"'])
    assert template.placeholders == (Placeholder("Why?"), Placeholder('a "b"'))
    assert Template.compile("{Why?}").placeholders == (Placeholder("Why", optional=True),)


def test_optional_columns_close_up() -> None:
    template = Template.compile("{instruction}\n\n{input?}\n\nAnswer:")
    assert template.render({"instruction": "Do", "input": "this"}) == "Do\n\nthis\n\nAnswer:"
    assert template.render({"instruction": "Do", "input": ""}) == "Do\n\nAnswer:"
    assert template.render({"instruction": "Do"}) == "Do\n\nAnswer:"


@pytest.mark.parametrize(
    ("row", "problem", "fix"),
    [
        ({"a": "x"}, "column 'b' is missing", "fill it, or write {b?} if it may be empty"),
        ({"a": "x", "b": " "}, "column 'b' is empty", "fill it, or write {b?} if it may be empty"),
        ({"a": None, "b": "y"}, "column 'a' is empty", "fill it, or write {a?} if it may be empty"),
    ],
)
def test_columns_that_must_be_filled(row: dict[str, object], problem: str, fix: str) -> None:
    with pytest.raises(RowError) as caught:
        Template.compile("{a} {b}").render(row)
    assert (caught.value.problem, caught.value.fix) == (problem, fix)


def test_all_optional_columns_empty_is_an_empty_prompt() -> None:
    with pytest.raises(RowError, match="the prompt is empty"):
        Template.compile("{a?}\n\n{b?}").render({"a": ""})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("  as it is ", "  as it is "),
        (3, "3"),
        (3.0, "3"),
        (-2.50, "-2.5"),
        (1e20, "1e+20"),
        (True, "true"),
        (None, ""),
        ({"a": "ü", "b": None}, '{"a": "ü", "b": null}'),
        (["x", "y"], '["x", "y"]'),
    ],
)
def test_values_as_text(value: object, text: str) -> None:
    assert as_text(value) == text  # type: ignore[arg-type]


def test_lists_of_texts_go_line_by_line_in_prompts_only() -> None:
    assert as_prompt_text(["First.", "Second."]) == "First.\nSecond."
    assert as_prompt_text([3, 3, 5]) == "[3, 3, 5]"
