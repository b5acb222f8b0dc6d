"""Ways to break the bytes of a data file: cut, flipped, wrongly encoded, a mark missing or too many."""

from __future__ import annotations

import gzip
import json
from random import Random

from bases import DIALECTS, ROWS
from mutations import Base, Broken, mutation


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
    return Broken(
        text[:cut].encode(), wrong=True, line=text.count("\n", 0, cut) + 1 if base.format == "jsonl" else None
    )


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
    word = f' {number}"'.encode() if base.format not in ("csv", "tsv") else b""
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
    broken = _inserted(base, chance, piece)
    # Where all else is ASCII, such a byte may be a letter in Windows-1252, too.
    return Broken(broken.data) if broken and base.data.isascii() else broken


@mutation
def one_byte_beyond_ascii(base: Base, chance: Random) -> Broken | None:
    """Where nothing else is beyond ASCII, a byte may be a letter in Windows-1252, too."""
    if not base.is_text:
        return None
    plain = Base(base.dialect, base.format, base.rows, base.data.decode().encode("ascii", "replace"), base.lines)
    broken = _inserted(plain, chance, chance.choice([b"\xff", b"\xe9", b"\xc3(", b"\xe2\x82", b"\x81", b"\xf8\x88"]))
    return broken and Broken(broken.data)


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
    return _one_deleted(base, chance, b",:") if base.format in ("jsonl", "json") else None


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
