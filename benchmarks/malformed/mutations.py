"""Ways to break a data file: its bytes, its values, its structure. Each says what has to come of it, where that is known.

A mutation takes a base and a stream of chance, and gives a `Broken`, or None where it does not apply.
"""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import bases
from bases import DIALECTS, ROWS, Row


@dataclass(frozen=True)
class Base:
    """A valid file: the dialect's name, the format's, its rows, its bytes and lines."""

    dialect: str
    format: str
    rows: list[Row]
    data: bytes
    lines: tuple[int, ...]

    @classmethod
    def make(cls, dialect: str, format: str) -> Base:
        """Write the base."""
        rows = [DIALECTS[dialect].row(n) for n in range(ROWS)]
        written = bases.write(rows, format)
        return cls(dialect, format, rows, written.data, written.lines)

    @property
    def is_text(self) -> bool:
        """Whether the file is text."""
        return self.format != "parquet"


@dataclass(frozen=True)
class Broken:
    """A broken file.

    Attributes:
        data: Its bytes.
        wrong: Whether it must be refused, whole or in one row: it is wrong by construction.
        line: The line (or the row's number) that a message must name; None where no line is known.
        same: Whether it must be read exactly as the base: the change only looks like one.
    """

    data: bytes
    wrong: bool = False
    line: int | None = None
    same: bool = False


Mutation = Callable[[Base, Random], Broken | None]
MUTATIONS: dict[str, Mutation] = {}


def mutation(function: Mutation) -> Mutation:
    """Put a mutation into the table under its name."""
    MUTATIONS[function.__name__] = function
    return function


# ------------------------------------------------------------------------------------------------------- bytes


@mutation
def cut_anywhere(base: Base, chance: Random) -> Broken:
    return Broken(base.data[: chance.randrange(len(base.data))], wrong=not base.is_text)


@mutation
def last_line_torn(base: Base, chance: Random) -> Broken | None:
    """Only where a row ends in a bracket can a torn one be told from a whole one for sure."""
    if base.format not in ("jsonl", "json", "squad"):
        return None
    text = base.data.decode().rstrip("]}\n ") if base.format != "jsonl" else base.data.decode()
    start = text.rstrip().rfind("\n") + 1
    cut = chance.randrange(start + 2, len(text.rstrip()) - 1)
    return Broken(text[:cut].encode(), wrong=True, line=text.count("\n", 0, cut) + 1 if base.format == "jsonl" else None)


@mutation
def byte_flipped(base: Base, chance: Random) -> Broken:
    data = bytearray(base.data)
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return Broken(bytes(data))


@mutation
def bytes_dropped(base: Base, chance: Random) -> Broken:
    start = chance.randrange(len(base.data))
    return Broken(base.data[:start] + base.data[start + chance.randrange(1, 40) :])


@mutation
def bytes_repeated(base: Base, chance: Random) -> Broken:
    start = chance.randrange(len(base.data))
    end = start + chance.randrange(1, 40)
    return Broken(base.data[:end] + base.data[start:])


def _inserted(base: Base, chance: Random, piece: bytes, *, line_known: bool = True) -> Broken | None:
    """Insert a piece within one row's text, after a letter."""
    if not base.is_text:
        return None
    number = chance.randrange(ROWS)
    word = f" {number}\"".encode() if base.format not in ("csv", "tsv") else b""
    text = base.data.split(b"\n")
    line = text[_text_line(base, number)]
    letters = [k for k, byte in enumerate(line) if chr(byte).isalpha() and byte < 128]
    at = (line.find(word) if word and word in line else chance.choice(letters)) if letters else 0
    text[_text_line(base, number)] = line[:at] + piece + line[at:]
    return Broken(b"\n".join(text), wrong=True, line=base.lines[number] if line_known else None)


def _text_line(base: Base, number: int) -> int:
    """Return the index of the text's line that holds a row."""
    return base.lines[number] - 1 if base.format != "squad" else number + 1


@mutation
def nul_byte(base: Base, chance: Random) -> Broken | None:
    return _inserted(base, chance, b"\x00", line_known=base.format != "squad")


@mutation
def invalid_utf8(base: Base, chance: Random) -> Broken | None:
    piece = chance.choice([b"\xff", b"\xc3(", b"\xe2\x82", b"\xed\xa0\x80", b"\xf8\x88\x80\x80", b"\x80", b"\xfe"])
    return _inserted(base, chance, piece)


@mutation
def byte_order_mark(base: Base, chance: Random) -> Broken | None:
    return Broken(b"\xef\xbb\xbf" + base.data, same=True) if base.is_text else None


@mutation
def utf16(base: Base, chance: Random) -> Broken | None:
    if not base.is_text:
        return None
    text = base.data.decode()
    data = text.encode(chance.choice(["utf-16", "utf-16-le", "utf-16-be"]))
    return Broken(data, same=data[:2] in (b"\xff\xfe", b"\xfe\xff"))


@mutation
def utf16_cut(base: Base, chance: Random) -> Broken | None:
    if not base.is_text:
        return None
    data = base.data.decode().encode("utf-16")
    return Broken(data[: chance.randrange(3, len(data)) | 1], wrong=True)


@mutation
def line_ends(base: Base, chance: Random) -> Broken | None:
    if not base.is_text:
        return None
    crlf = chance.random() < 0.5
    return Broken(base.data.replace(b"\n", b"\r\n" if crlf else b"\r"), same=crlf)


def _one_deleted(base: Base, chance: Random, marks: bytes) -> Broken | None:
    places = [k for k, byte in enumerate(base.data) if byte in marks] if base.is_text else []
    if not places:
        return None
    at = chance.choice(places)
    json_like = base.format in ("jsonl", "json", "squad")
    return Broken(base.data[:at] + base.data[at + 1 :], wrong=json_like,
                  line=base.data.count(b"\n", 0, at) + 1 if base.format == "jsonl" else None)  # fmt: skip


@mutation
def quote_deleted(base: Base, chance: Random) -> Broken | None:
    return _one_deleted(base, chance, b'"')


@mutation
def bracket_deleted(base: Base, chance: Random) -> Broken | None:
    return _one_deleted(base, chance, b"[]{}") if base.format not in ("csv", "tsv") else None


@mutation
def comma_deleted(base: Base, chance: Random) -> Broken | None:
    return _one_deleted(base, chance, b",:") if base.format in ("jsonl", "json") else _extra_or_missing(base, chance, -1)


@mutation
def key_twice(base: Base, chance: Random) -> Broken | None:
    if base.format not in ("jsonl", "json"):
        return None
    number = chance.randrange(ROWS)
    row = base.rows[number]
    key = DIALECTS[base.dialect].answer[0]
    second = chance.choice([row[str(key)], "another", None])
    lines = base.data.decode().split("\n")
    at = base.lines[number] - 1
    lines[at] = lines[at].replace("{", "{" + f"{json.dumps(key)}: {json.dumps(second)}, ", 1)
    return Broken("\n".join(lines).encode(), wrong=True, line=base.lines[number])


@mutation
def not_json(base: Base, chance: Random) -> Broken | None:
    """Python's and JavaScript's ways of writing what is no JSON."""
    if base.format != "jsonl":
        return None
    number = chance.randrange(ROWS)
    lines = base.data.decode().split("\n")
    old = lines[number]
    lines[number] = chance.choice([
        repr(base.rows[number]), old[:-1] + ",}", old + ",", old + " // note", "# " + old, old + old, f"[{old}]",
        old[:-1] + ', "x": undefined}', old[:-1] + ', "x": 01}', json.dumps(old), "null", "true", "12", "{}", "[]",
    ])  # fmt: skip
    return Broken("\n".join(lines).encode(), wrong=True, line=number + 1)


@mutation
def no_data(base: Base, chance: Random) -> Broken:
    return Broken(
        chance.choice([
            b"", b"\n \n", b"\xef\xbb\xbf", b"\x00\x00", gzip.compress(base.data, mtime=0), b"PK\x03\x04" + base.data,
            b"<!DOCTYPE html><html></html>", b"%PDF-1.7 " + base.data, b"PAR1", b"PAR1" + base.data + b"PAR1", b"[]",
            b"{}", b"null", b"[[[[", b"{" * 5_000, b"[" * 100_000, b'"', b"text", chance.randbytes(400),
        ]),
        wrong=True,
    )  # fmt: skip


@mutation
def twice_in_one_file(base: Base, chance: Random) -> Broken | None:
    if not base.is_text:
        return None
    return Broken(base.data + base.data, wrong=base.format in ("json", "squad"))


# ------------------------------------------------------------------------------------------------------ values


def put(row: Any, path: Sequence[str | int], value: Any) -> Any:
    """Return a row with another value at a place."""
    if not path:
        return value
    changed = copy.copy(row)
    changed[path[0]] = put(row[path[0]], path[1:], value)
    return changed


def _with_row(base: Base, number: int, row: Any, *, wrong: bool = True) -> Broken:
    rows = [*base.rows]
    rows[number] = row
    written = bases.write(rows, base.format)
    return Broken(written.data, wrong=wrong, line=written.lines[number] if wrong else None)


@mutation
def field_missing(base: Base, chance: Random) -> Broken:
    number = chance.randrange(ROWS)
    key = chance.choice([DIALECTS[base.dialect].main, str(DIALECTS[base.dialect].answer[0])])
    row = {name: value for name, value in base.rows[number].items() if name != key}
    # A SQuAD row whose answers are gone says that its question has none.
    return _with_row(base, number, row, wrong=not (base.format == "squad" and key == "answers"))


@mutation
def answer_empty(base: Base, chance: Random) -> Broken:
    number = chance.randrange(ROWS)
    empty = chance.choice(["", "  ", None, "\n"])
    return _with_row(base, number, put(base.rows[number], DIALECTS[base.dialect].answer, empty))


@mutation
def prompt_empty(base: Base, chance: Random) -> Broken | None:
    if base.dialect == "table":
        return None
    number = chance.randrange(ROWS)
    return _with_row(base, number, put(base.rows[number], (DIALECTS[base.dialect].main,), chance.choice(["", None, " "])))


@mutation
def role_unknown(base: Base, chance: Random) -> Broken | None:
    if not (role := DIALECTS[base.dialect].role):
        return None
    number = chance.randrange(ROWS)
    other = chance.choice(["bot", "User ", "", 3, None, "asistant", ["user"], "narrator"])
    return _with_row(base, number, put(base.rows[number], role, other))


@mutation
def conversation_of_another_type(base: Base, chance: Random) -> Broken | None:
    if not DIALECTS[base.dialect].role:
        return None
    number = chance.randrange(ROWS)
    other = chance.choice([3, "text", {"a": 1}, [], True, ["a", "b"], [[]], [None], [{}]])
    return _with_row(base, number, put(base.rows[number], (DIALECTS[base.dialect].main,), other))


@mutation
def value_of_another_type(base: Base, chance: Random) -> Broken:
    """Anywhere in a row; some of it is as good as what was there."""
    number = chance.randrange(ROWS)
    path = chance.choice(_places(base.rows[number])[1:])
    other = chance.choice([
        3, -1, 2.5, True, None, "", "text", [], {}, ["a"], {"a": 1}, [[1, [2]]], [None], 10**30, 1e300, {"role": "user"},
    ])  # fmt: skip
    return _with_row(base, number, put(base.rows[number], path, other), wrong=False)


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
    path = chance.choice(_places(base.rows[number])[1:])
    return _with_row(base, number, put(base.rows[number], path, value), wrong=False)


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
    return _with_row(base, number, put(base.rows[number], path, text), wrong=False)


@mutation
def half_a_character(base: Base, chance: Random) -> Broken | None:
    if base.format in ("csv", "tsv", "parquet"):
        return None
    number = chance.randrange(ROWS)
    text = chance.choice(["a \ud800 b", "\udc00", "\ud83d"])
    return _with_row(base, number, put(base.rows[number], DIALECTS[base.dialect].answer, text))


@mutation
def odd_characters(base: Base, chance: Random) -> Broken:
    number = chance.randrange(ROWS)
    text = chance.choice(["\u2028", "\u200b", "\ufeff", "\x85", "\x0b", "\x1f", "\x7f", "a\tb", "a\nb", "a\r\nb", "=1+1",
                          "\u202e", "<|im_end|>", "[red]x[/red]", "**b**", "\x1b[31m", "{text}", "%s", "\U0001f600"])
    at = chance.choice([DIALECTS[base.dialect].answer, (DIALECTS[base.dialect].main,)])
    return _with_row(base, number, put(base.rows[number], at, text), wrong=False)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, part in inner for found in _places(part, (*path, key)))]


# --------------------------------------------------------------------------------------------------- structure


@mutation
def few_rows(base: Base, chance: Random) -> Broken:
    kept = chance.choice([1, 2, 3, 29])
    return Broken(bases.write(base.rows[:kept], base.format).data)


@mutation
def no_rows(base: Base, chance: Random) -> Broken | None:
    if base.format in ("csv", "tsv"):
        return Broken(base.data.split(b"\n")[0] + b"\n", wrong=True)
    return Broken(bases.write([], base.format).data, wrong=True) if base.format != "parquet" else None


@mutation
def columns_renamed(base: Base, chance: Random) -> Broken:
    names = chance.choice([("a", "b", "c", "d", "e"), ("x y", "", "é", "{q}", "None"), ("1", "2", "3", "4", "5")])
    rows = [dict(zip(names, row.values(), strict=False)) for row in base.rows]
    return Broken(bases.write(rows, base.format).data)


@mutation
def column_named_twice(base: Base, chance: Random) -> Broken | None:
    if base.format not in ("csv", "tsv"):
        return None
    header, rest = base.data.split(b"\n", 1)
    delimiter = b"\t" if base.format == "tsv" else b","
    names = header.split(delimiter)
    if len(names) < 2:
        return None
    return Broken(delimiter.join([names[0], names[0], *names[2:]]) + b"\n" + rest, wrong=True, line=1)


@mutation
def header_missing(base: Base, chance: Random) -> Broken | None:
    return Broken(base.data.split(b"\n", 1)[1], wrong=True) if base.format in ("csv", "tsv") else None


def _extra_or_missing(base: Base, chance: Random, change: int) -> Broken | None:
    if base.format not in ("csv", "tsv") or len(base.rows[0]) < 2:
        return None
    number = chance.randrange(ROWS)
    lines = base.data.decode().split("\n")
    at = base.lines[number] - 1
    delimiter = "\t" if base.format == "tsv" else ","
    lines[at] = lines[at] + f"{delimiter}extra" if change > 0 else lines[at].rpartition(delimiter)[0]
    whole = '"' not in lines[at]
    return Broken("\n".join(lines).encode(), wrong=whole, line=base.lines[number] if whole else None)


@mutation
def cell_too_many(base: Base, chance: Random) -> Broken | None:
    return _extra_or_missing(base, chance, 1)


@mutation
def row_of_another_dialect(base: Base, chance: Random) -> Broken:
    number = chance.randrange(ROWS)
    other = chance.choice([name for name in DIALECTS if name != base.dialect])
    return _with_row(base, number, DIALECTS[other].row(number), wrong=False)


@mutation
def halves_of_two_dialects(base: Base, chance: Random) -> Broken:
    other = chance.choice([name for name in DIALECTS if name != base.dialect])
    rows = [DIALECTS[other].row(n) if n % 2 else base.rows[n] for n in range(ROWS)]
    return Broken(bases.write(rows, base.format).data)


@mutation
def wrapped(base: Base, chance: Random) -> Broken | None:
    if base.format != "json":
        return None
    value = chance.choice([{"data": base.rows}, {"a": base.rows, "b": base.rows}, {"rows": {"x": base.rows}}, [base.rows],
                           {str(n): row for n, row in enumerate(base.rows)}, [json.dumps(r) for r in base.rows]])
    return Broken(json.dumps(value).encode())


@mutation
def answers_all_equal(base: Base, chance: Random) -> Broken:
    dialect = DIALECTS[base.dialect]
    rows = [put(row, dialect.answer, "yes") for row in base.rows]
    return Broken(bases.write(rows, base.format).data)
