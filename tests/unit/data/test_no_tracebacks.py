"""Whatever bytes a file holds, the reader gives examples or one of its own errors."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from luthier.core.errors import ConfigError, DataError
from luthier.core.types import Example
from luthier.data import ReadOptions, RowMapping, guess_task, read_examples, split

SLOW = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
SUFFIXES = st.sampled_from([".csv", ".tsv", ".jsonl", ".json", ".parquet", ".txt", ""])
NAMES = st.sampled_from(
    ["text", "label", "messages", "id", "split", "prompt", "completion", "question", "a b", "", "x?"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
TURNS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system", "bot"]), "content": SCALARS})
    | st.dictionaries(st.sampled_from(["role", "content", "weight"]), SCALARS),
    max_size=4,
)
VALUES = st.recursive(
    SCALARS | TURNS | TURNS.map(json.dumps),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
ROWS = st.lists(st.dictionaries(NAMES, VALUES, max_size=4) | SCALARS, min_size=1, max_size=8)


def attempt(data: bytes, suffix: str, options: ReadOptions | None = None) -> None:
    """Read, and do with the examples what a run does with them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows{suffix}"
        path.write_bytes(data)
        for need_answers in (True, False):
            try:
                found = read_examples(path, options, need_answers=need_answers)
                assert found.examples
                assert len({e.id for e in found.examples}) == len(found.examples)
                assert all(e.references for e in found.examples) or not need_answers
                again = [
                    Example.from_json(json.loads(json.dumps(e.to_json(), allow_nan=False))) for e in found.examples
                ]
                assert again == list(found.examples)
                for e in found.examples:
                    "".join([e.id, *(m.content for m in e.messages), *e.references]).encode()
                mapping = RowMapping.parse(json.loads(json.dumps(found.mapping.to_json())))
                assert read_examples(path, options, mapping=mapping, need_answers=need_answers) == found
                guess_task(found.examples)
                split(found.examples * 30)
            except (DataError, ConfigError) as error:
                texts = (
                    [str(error), *(f"{row}" for row in error.rows)] if isinstance(error, DataError) else [str(error)]
                )
                "".join(texts).encode()


@SLOW
@given(st.binary(max_size=300), SUFFIXES)
@example(b"PAR1" + b"\x00" * 20 + b"PAR1", ".parquet")
@example(b"\xff\xfe", ".csv")
@example(b"\x80\xc2\x80\xc2\x80", ".csv")
@example(rb'{"\ud800": 1, "b": "\ud800"}', ".json")
@example(b"\x80\xc2\x80\xc2\x80,a\nb,c\n", ".csv")
@example(b'"', ".csv")
@example(b"[" * 100_000, ".json")
@example(b'{"a":' * 3_000 + b"1" + b"}" * 3_000, ".jsonl")
def test_any_bytes(data: bytes, suffix: str) -> None:
    attempt(data, suffix)


@SLOW
@given(st.text(st.sampled_from("text,label;\t\"' \r\n{}[]:ab\u2028é"), max_size=200), SUFFIXES)
@example("text,label\n\r\n,\n", ".csv")
@example('text,label\n"a\n', ".csv")
@example("{a,label\nx,y\n", ".csv")
def test_any_text(text: str, suffix: str) -> None:
    attempt(text.encode(), suffix)


@SLOW
@given(ROWS)
@example([{"text": "x", "label": '{"a": "\\ud800"}'}])
@example([{"text": "\ud800", "label": "x"}, {"text": "y", "label": "z"}])
@example([{"\ud800": 1, "text": "y"}, {"text": "y", "label": "z"}])
@example([{"messages": '[{"role": "user", "content": "\\ud800"}, {"role": "assistant", "content": "x"}]'}])
@example([{"text": "y", "label": 10**400}])
def test_any_rows(rows: list[Any]) -> None:
    attempt("\n".join(map(json.dumps, rows)).encode(), ".jsonl")
    attempt(json.dumps(rows).encode(), ".json")


HELLO = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
CALL = {"function": {"name": "f", "arguments": "{}"}}
ANSWERS = {"text": ["b"], "answer_start": [1]}
QUESTION = {"id": "1", "question": "q", "answers": [{"text": "a", "answer_start": 0}], "is_impossible": False}
DIALECTS: list[dict[str, Any]] = [
    {"messages": [HELLO[0], {"role": "assistant", "content": None, "tool_calls": [CALL], "weight": 1}]},
    {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "system": "s"},
    {"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}],
     "systemInstruction": {"parts": [{"text": "s"}]}},
    {"prompt": "a", "chosen": "b", "rejected": "c"},
    {"chosen": HELLO, "rejected": [HELLO[0], {"role": "assistant", "content": "c"}]},
    {"input": {"messages": HELLO[:1]}, "preferred_output": HELLO[1:], "non_preferred_output": [HELLO[1]]},
    {"prompt": "a", "completion": "b", "label": True},
    {"prompt": "a", "completions": ["b", "c"], "ranks": [1, 2]},
    {"prompt": "a", "responses": ["b", "c"], "scores": [1, 2.5]},
    {"instruction": "a", "input": "", "output": "b", "history": [["c", "d"]], "system": ""},
    {"id": "1", "title": "t", "context": "abc", "question": "q", "answers": ANSWERS},
    {"data": [{"title": "t", "paragraphs": [{"context": "abc", "qas": [QUESTION]}]}]},
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values within a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, part in inner for found in places(part, (*path, key)))]


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a value with another one at a place."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


@st.composite
def broken_dialects(draw: st.DrawFn) -> list[Any]:
    """Two rows of one dialect, one of them with another value somewhere."""
    row = draw(st.sampled_from(DIALECTS))
    return [row, put(row, draw(st.sampled_from(places(row))), draw(VALUES))]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(broken_dialects())
@example([DIALECTS[1], put(DIALECTS[1], ("conversations", 0, "from"), ["human"])])
@example([DIALECTS[2], put(DIALECTS[2], ("contents", 0, "role"), {})])
def test_any_broken_dialect(rows: list[Any]) -> None:
    attempt("\n".join(map(json.dumps, rows)).encode(), ".jsonl")
    attempt(json.dumps(rows[1]).encode(), ".json")


@SLOW
@given(
    st.builds(
        ReadOptions,
        prompt=st.none() | st.text("{}textlb\\n? \"'", max_size=12) | st.sampled_from(["text", "{text}", "{x?}{text}"]),
        answer=st.none() | st.text("{}label ", max_size=8) | st.sampled_from(["label", "{label}", "{label}{text}"]),
        system=st.none() | st.text("{}tex ", max_size=8) | st.just("text"),
        cluster=st.none() | st.sampled_from(["label", "text", ""]),
        id=st.none() | st.sampled_from(["text", "n"]),
        split=st.none() | st.sampled_from(["label", "n"]),
        skip_bad=st.booleans(),
    )
)
def test_any_options(options: ReadOptions) -> None:
    attempt(
        b'{"text": "a", "label": "train", "n": 1}\n{"text": "b", "label": "test", "n": 2}\n{"n": 3}\n',
        ".jsonl",
        options,
    )
