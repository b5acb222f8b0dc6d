"""Ways to break a recipe. Each says what has to come of it, where that is known."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from bases import Recipe
from mutations import Broken

RecipeMutation = Callable[[Recipe, str, Random], Broken | None]
MUTATIONS: dict[str, RecipeMutation] = {}
_PAIR = re.compile(r"^(\s*)(\w+): (.+)$")


def mutation(function: RecipeMutation) -> RecipeMutation:
    """Put a mutation into the table under its name."""
    MUTATIONS[function.__name__] = function
    return function


def _pairs(text: str) -> list[tuple[int, str, str, str]]:
    """Return the lines that hold a key and a value: index, indentation, key, value."""
    found = []
    for index, line in enumerate(text.split("\n")):
        if match := _PAIR.match(line):
            found.append((index, match[1], match[2], match[3]))
    return found


def _with_line(text: str, index: int, *lines: str) -> bytes:
    all_lines = text.split("\n")
    all_lines[index : index + 1] = lines
    return "\n".join(all_lines).encode("utf-8", "surrogatepass")


# ------------------------------------------------------------------------------------------------------- bytes


@mutation
def cut_anywhere(recipe: Recipe, text: str, chance: Random) -> Broken:
    return Broken(text.encode()[: chance.randrange(len(text))])


@mutation
def byte_flipped(recipe: Recipe, text: str, chance: Random) -> Broken:
    data = bytearray(text.encode())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return Broken(bytes(data))


@mutation
def bytes_dropped(recipe: Recipe, text: str, chance: Random) -> Broken:
    start = chance.randrange(len(text))
    return Broken((text[:start] + text[start + chance.randrange(1, 20) :]).encode())


@mutation
def bad_bytes(recipe: Recipe, text: str, chance: Random) -> Broken:
    """No UTF-8, or characters that YAML does not allow."""
    at = chance.randrange(len(text))
    piece = chance.choice([b"\x00", b"\xff", b"\xc3(", b"\xe2\x82", b"\xed\xa0\x80", b"\x07", b"\x1b[31m"])
    return Broken(text[:at].encode() + piece + text[at:].encode(), wrong=True, line=text.count("\n", 0, at) + 1)


@mutation
def encodings(recipe: Recipe, text: str, chance: Random) -> Broken:
    codec, same = chance.choice([("utf-8-sig", True), ("utf-16", False), ("utf-16-le", False), ("utf-32", False)])
    return Broken(text.encode(codec), same=same)


@mutation
def tab_indented(recipe: Recipe, text: str, chance: Random) -> Broken | None:
    inner = [pair for pair in _pairs(text) if pair[1]]
    index, _, key, value = chance.choice(inner)
    return Broken(_with_line(text, index, f"\t{key}: {value}"), wrong=True, line=index + 1)


@mutation
def colon_deleted(recipe: Recipe, text: str, chance: Random) -> Broken:
    index, space, key, value = chance.choice(_pairs(text))
    return Broken(_with_line(text, index, f"{space}{key} {value}"), wrong=True)


@mutation
def bracket_or_quote_left_open(recipe: Recipe, text: str, chance: Random) -> Broken:
    index, space, key, value = chance.choice(_pairs(text))
    return Broken(_with_line(text, index, f"{space}{key}: {chance.choice('[{')}{value}"), wrong=True)


@mutation
def key_twice(recipe: Recipe, text: str, chance: Random) -> Broken:
    index, space, key, value = chance.choice(_pairs(text))
    return Broken(_with_line(text, index, f"{space}{key}: {value}", f"{space}{key}: {value}"), wrong=True,
                  line=index + 2)  # fmt: skip


# ------------------------------------------------------------------------------------------------------ values

_ODD = (
    "null", "~", "", "3", "-1", "0", "2.5", "1e400", ".nan", ".inf", "-.inf", "1" * 400, "1" * 5_000, "true", "yes",
    "text", "[]", "{}", "[1, 2]", "[[[1]]]", "{a: 1}", "{1: 2}", "{null: 1}", "? [a, b]", "2024-01-31", "2024-13-45",
    "12:30:45", "!!binary aGk=", "!!set {a, b}", "!!omap [a: 1]", "!!python/object/apply:os.system [ls]", "!!int abc",
    "!!float abc", "!!bool maybe", "!!timestamp x", "!!null x", "!unknown x", '"\\ud800"', '"\\0"', "0x_", "0b",
    "1_000", "0o17", "017", "&a [*a]", "*nothing", "'" + "x" * 100_000 + "'", "[" * 200 + "]" * 200, "[" * 5_000,
    "|\n  text", ">", "%", "@x", "`x`", "<<: {a: 1}", "'[red]x[/red]'", "''", '" "', "/", "../..", "é",
    "[lora, 3, null]", "{path: x}",
)  # fmt: skip


@mutation
def value_of_another_type(recipe: Recipe, text: str, chance: Random) -> Broken:
    index, space, key, _ = chance.choice(_pairs(text))
    return Broken(_with_line(text, index, f"{space}{key}: {chance.choice(_ODD)}"))


@mutation
def odd_value(recipe: Recipe, text: str, chance: Random) -> Broken:
    """The same, drawn once more: most of the surprises lie here."""
    return value_of_another_type(recipe, text, chance)


@mutation
def number_wrong(recipe: Recipe, text: str, chance: Random) -> Broken | None:
    if not recipe.numbers:
        return None
    index, space, key, _ = chance.choice([pair for pair in _pairs(text) if pair[2] in recipe.numbers])
    value = chance.choice(["many", "-3", "[4]", "{a: 1}", "2 3", "1,5", "nil", "-1e-3"])
    return Broken(_with_line(text, index, f"{space}{key}: {value}"), wrong=True, line=index + 1)


@mutation
def laughing_aliases(recipe: Recipe, text: str, chance: Random) -> Broken:
    """Aliases of aliases: a few lines that stand for very many values."""
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, chance.choice([3, 9]))]
    return Broken((text + "\n".join(levels) + "\n").encode(), wrong=True)


# --------------------------------------------------------------------------------------------------- structure


@mutation
def key_unknown(recipe: Recipe, text: str, chance: Random) -> Broken | None:
    # The settings of an adapter or a strategy are looked at by these, so their keys have no line.
    pairs = [pair for pair in _pairs(text) if pair[2] not in ("method", "rank", "target_modules")]
    index, space, key, value = chance.choice(pairs)
    other = chance.choice([key[:-1] + "x", key + "s", key.upper(), key.replace("_", "-") + "-", "zzz", '"a b"', "3"])
    return Broken(_with_line(text, index, f"{space}{other}: {value}"), wrong=True, line=index + 1)


@mutation
def key_added(recipe: Recipe, text: str, chance: Random) -> Broken:
    pairs = [pair for pair in _pairs(text) if pair[2] not in ("method", "rank", "target_modules")]
    index, space, key, value = chance.choice(pairs)
    other = chance.choice(["lr", "foo", "learning_rates", "seeds", "modell", "é", "''", "null", "1.5", "2024-01-31"])
    return Broken(_with_line(text, index, f"{space}{key}: {value}", f"{space}{other}: 1"), wrong=True, line=index + 2)


@mutation
def adapter_key_unknown(recipe: Recipe, text: str, chance: Random) -> Broken | None:
    if "  rank:" not in text:
        return None
    other = chance.choice(["ranks", "r", "lora_alpha", "dropouts"])
    index = next(k for k, *_ in _pairs(text) if text.split("\n")[k].startswith("  rank:"))
    return Broken(_with_line(text, index, f"  {other}: 8"), wrong=True, line=index + 1)


@mutation
def path_missing(recipe: Recipe, text: str, chance: Random) -> Broken:
    index = next(k for k, _, key, _ in _pairs(text) if key == "path")
    return Broken(_with_line(text, index), wrong=True)


@mutation
def section_lost(recipe: Recipe, text: str, chance: Random) -> Broken:
    """A section's head goes, and its keys stand at the top."""
    heads = [k for k, line in enumerate(text.split("\n")) if line.endswith(":")]
    return Broken(_with_line(text, chance.choice(heads)), wrong=True)


@mutation
def indentation_lost(recipe: Recipe, text: str, chance: Random) -> Broken:
    index, space, key, value = chance.choice([pair for pair in _pairs(text) if pair[1]])
    return Broken(_with_line(text, index, f"{space[1:]}{key}: {value}"))


@mutation
def another_top(recipe: Recipe, text: str, chance: Random) -> Broken:
    data = chance.choice([
        "", "\n\n", "# only a comment\n", "- a\n- b\n", "text", "3", "null", "[]", "{}",
        "---\n" + text + "---\n" + text, '{"data": {"path": 3}}', "data: rows.csv\n", "text,label\na,b\n",
        "<html></html>", "%YAML 9.9\n---\n" + text, "{" * 3_000,
    ])  # fmt: skip
    return Broken(data.encode(), wrong=True)
