"""Ways to break the values of one row: missing, empty, of another type, of unusual size."""

from __future__ import annotations

from random import Random
from typing import Any

from bases import DIALECTS, ROWS
from mutations import Base, Broken, mutation, places, put, with_row


@mutation
def field_missing(base: Base, chance: Random) -> Broken | None:
    if _leaves_a_blank_line(base):
        return None
    number = chance.randrange(ROWS)
    key = chance.choice([DIALECTS[base.dialect].main, str(DIALECTS[base.dialect].answer[0])])
    row = {name: value for name, value in base.rows[number].items() if name != key}
    # A SQuAD row whose answers are gone says that its question has none.
    return with_row(base, number, row, wrong=not (base.format == "squad" and key == "answers"))


@mutation
def answer_empty(base: Base, chance: Random) -> Broken:
    number = chance.randrange(ROWS)
    empty = chance.choice(["", "  ", None, "\n"])
    return with_row(base, number, put(base.rows[number], DIALECTS[base.dialect].answer, empty))


@mutation
def prompt_empty(base: Base, chance: Random) -> Broken | None:
    if base.dialect == "table" or _leaves_a_blank_line(base):
        return None
    number = chance.randrange(ROWS)
    return with_row(
        base, number, put(base.rows[number], (DIALECTS[base.dialect].main,), chance.choice(["", None, " "]))
    )


@mutation
def role_unknown(base: Base, chance: Random) -> Broken | None:
    if not (role := DIALECTS[base.dialect].role):
        return None
    number = chance.randrange(ROWS)
    other = chance.choice(["bot", "User ", "", 3, None, "asistant", ["user"], "narrator"])
    return with_row(base, number, put(base.rows[number], role, other))


@mutation
def conversation_of_another_type(base: Base, chance: Random) -> Broken | None:
    if not DIALECTS[base.dialect].role:
        return None
    number = chance.randrange(ROWS)
    other = chance.choice([3, "text", {"a": 1}, [], True, ["a", "b"], [[]], [None], [{}]])
    return with_row(base, number, put(base.rows[number], (DIALECTS[base.dialect].main,), other))


@mutation
def value_of_another_type(base: Base, chance: Random) -> Broken:
    """Anywhere in a row; some of it is as good as what was there."""
    number = chance.randrange(ROWS)
    path = chance.choice(places(base.rows[number])[1:])
    other = chance.choice([
        3, -1, 2.5, True, None, "", "text", [], {}, ["a"], {"a": 1}, [[1, [2]]], [None], 10**30,
        1e300, {"role": "user"},
    ])  # fmt: skip
    return with_row(base, number, put(base.rows[number], path, other), wrong=False)


@mutation
def number_of_unusual_size(base: Base, chance: Random) -> Broken | None:
    """JSON that no other writer makes: NaN, Infinity, 5,000 digits."""
    if base.format not in ("jsonl", "json"):
        return None
    number = chance.randrange(ROWS)
    written = chance.choice(["NaN", "-Infinity", "1e999", "1" * 5_000, "1" * 400, "-0.0", "1E-400"])
    lines = base.data.decode().split("\n")
    at = base.lines[number] - 1
    key = DIALECTS[base.dialect].answer[0] if chance.random() < 0.5 else "extra"
    lines[at] = lines[at].replace("{", "{" + f'"{key}": {written}, ', 1)
    return Broken("\n".join(lines).encode(), wrong=key != "extra", line=base.lines[number] if key != "extra" else None)


@mutation
def deep_nesting(base: Base, chance: Random) -> Broken:
    number, depth = chance.randrange(ROWS), chance.choice([20, 90, 300])
    value: Any = "x"
    for _ in range(depth):
        value = [value] if chance.random() < 0.5 else {"a": value}
    path = chance.choice(places(base.rows[number])[1:])
    return with_row(base, number, put(base.rows[number], path, value), wrong=False)


@mutation
def nesting_without_end(base: Base, chance: Random) -> Broken | None:
    if base.format not in ("jsonl", "json"):
        return None
    number, depth = chance.randrange(ROWS), chance.choice([900, 5_000, 100_000])
    lines = base.data.decode().split("\n")
    at = base.lines[number] - 1
    lines[at] = lines[at].replace("{", '{"extra": ' + "[" * depth + "]" * depth + ", ", 1)
    return Broken("\n".join(lines).encode(), wrong=depth > 4_000, line=base.lines[number] if depth > 4_000 else None)


@mutation
def very_long_text(base: Base, chance: Random) -> Broken:
    number = chance.randrange(ROWS)
    text = chance.choice(["x", "long ", "é", '"', "{", "[", "\\", "a,"]) * chance.choice([1_000, 20_000, 200_000])
    path = chance.choice([DIALECTS[base.dialect].answer, (DIALECTS[base.dialect].main,)])
    return with_row(base, number, put(base.rows[number], path, text), wrong=False)


@mutation
def half_a_character(base: Base, chance: Random) -> Broken | None:
    if base.format in ("csv", "tsv", "parquet"):
        return None
    number = chance.randrange(ROWS)
    text = chance.choice(["a \ud800 b", "\udc00", "\ud83d"])
    return with_row(base, number, put(base.rows[number], DIALECTS[base.dialect].answer, text))


@mutation
def odd_characters(base: Base, chance: Random) -> Broken:
    number = chance.randrange(ROWS)
    text = chance.choice(
        [
            "\u2028",
            "\u200b",
            "\ufeff",
            "\x85",
            "\x0b",
            "\x1f",
            "\x7f",
            "a\tb",
            "a\nb",
            "a\r\nb",
            "=1+1",
            "\u202e",
            "<|im_end|>",
            "[red]x[/red]",
            "**b**",
            "\x1b[31m",
            "{text}",
            "%s",
            "\U0001f600",
        ]
    )
    at = chance.choice([DIALECTS[base.dialect].answer, (DIALECTS[base.dialect].main,)])
    return with_row(base, number, put(base.rows[number], at, text), wrong=False)


def _leaves_a_blank_line(base: Base) -> bool:
    """Say whether a row without its only value is a blank line, which is no row."""
    return base.format in ("csv", "tsv") and len(base.rows[0]) == 1
