"""Recipe files that are wrong: each mistake with file, line, what was expected, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, field_validator

from luthier.core.config import Config, lines_left, with_overrides
from luthier.core.errors import ConfigError
from luthier.core.recipe_text import load_recipe


class Method(Config):
    rank: int = Field(8, ge=1)


class Rates(Config):
    rate: float = Field(0.1, gt=0)


class Recipe(Config):
    name: str
    training: Rates = Rates()
    method: dict[str, Any] = Field(default_factory=dict)

    @field_validator("method")
    @classmethod
    def _known(cls, value: dict[str, Any]) -> dict[str, Any]:
        Method.check_section(value)
        return value


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("recipe.yaml")


def refused(path: Path, text: str | bytes, overrides: tuple[str, ...] = ()) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as error:
        parsed(path, overrides)
    return str(error.value)


def parsed(path: Path, overrides: tuple[str, ...]) -> Recipe:
    read = load_recipe(path)
    return Recipe.parse(with_overrides(read.values, overrides), str(path), lines_left(read.lines, overrides))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\na: 2\n", 2, "the key 'a' stands here and on line 1; expected every key once; remove one of them"),
        ("a: 1\n\tb: 2\n", 2, "while scanning for the next token found character '\\t' that cannot start any token"),
        ("a: [1\nb: 2\n", 2, "while parsing a flow sequence expected ',' or ']', but got ':'; expected 'key: value'"),
        (b"a: 1\nb: \xff\n", 2, "byte 0xff is no valid UTF-8; expected text in UTF-8; save the file as UTF-8"),
        (b"a: 1\nb: \x07\n", 2, "the character '\\x07' cannot stand in YAML; expected printable text; remove it"),
        ("a: 1\nb: !!set {x}\n", 2, "the tag !!set; expected plain values: text, numbers, lists, keys; remove it"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, "the tag !!python/object/apply:os.system; expected plain"),
        ("a: !!int abc\n", 1, "'abc' is no !!int; expected a plain value; correct it"),
        ("a: 0x_\n", 1, "'0x_' is no !!int; expected a plain value; correct it"),
        ("a: " + "1" * 5_000 + "\n", 1, "'1111111111111111111111111111111111111111' is no !!int; expected a plain"),
        ('a: 1\nb: "\\ud800"\n', 2, "an escape stands for no character; expected whole characters; correct the escape"),
        ('a: "\\0"\n', 1, "an escape stands for no character; "),
        ("3.5: a\n", 1, "the key '3.5' is no text; expected a name; put it in quotes, or rename it"),
        ("? [a, b]\n: c\n", 1, "the key is no text; expected a name; "),
        ("a: &a [*a]\n", 1, "values are nested too deeply; expected at most 50 levels; flatten them"),
        ("a: " + "[" * 60 + "]" * 60, 1, "values are nested too deeply; expected at most 50 levels; flatten them"),
        ("a: " + "[" * 9_000, 1, "values are nested too deeply; expected at most 50 levels; flatten them"),
        ("---\na: 1\n---\nb: 2\n", 3, "expected a single document in the stream but found another document; "),
    ],
)  # fmt: skip
def test_what_is_no_recipe_names_its_line(recipe: Path, text: str | bytes, line: int, message: str) -> None:
    said = refused(recipe, text)
    assert said.startswith(f"The recipe recipe.yaml is not valid YAML.\n  recipe.yaml:{line}: {message}")


def test_aliases_of_aliases_do_not_fill_the_memory(recipe: Path) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 9)]
    assert "aliases stand for more than 100,000 values; expected fewer; write them out" in refused(
        recipe, "\n".join(levels)
    )


@pytest.mark.parametrize(
    ("text", "found"), [("", "nothing"), ("# note\n", "nothing"), ("text", "str"), ("- a", "list")]
)
def test_a_recipe_without_keys(recipe: Path, text: str, found: str) -> None:
    assert refused(recipe, text) == (
        f"The recipe recipe.yaml must hold keys and values at its top, found {found}. Write lines such as "
        "'model: NAME'."
    )


def test_every_wrong_key_and_value_names_its_line(recipe: Path) -> None:
    text = "training:\n  rate: -1\n  rat: 2\nmethod:\n  rank: many\n  ranks: 3\nseeds: 1\n"
    lines = refused(recipe, text).splitlines()
    assert lines[0] == "recipe.yaml has 6 mistake(s):"
    assert sorted(lines[1:]) == [
        "  recipe.yaml:1: name: Field required. Add it.",
        "  recipe.yaml:2: training.rate: Input should be greater than 0 (received -1). Correct it.",
        "  recipe.yaml:3: training.rat: unknown key. Known here: rate. Did you mean 'rate'? Rename or remove it.",
        "  recipe.yaml:5: method.rank: Input should be a valid integer, unable to parse string as an integer (received "
        "'many'). Correct it.",
        "  recipe.yaml:6: method.ranks: unknown key. Known here: rank. Did you mean 'rank'? Rename or remove it.",
        "  recipe.yaml:7: seeds: unknown key. Known here: name, training, method. Rename or remove it.",
    ]


def test_what_an_override_says_stands_in_no_line(recipe: Path) -> None:
    text = "name: x\ntraining:\n  rate: 1\n"
    assert refused(recipe, text, ("training.rate=-2",)).splitlines()[1:] == [
        "  training.rate: Input should be greater than 0 (received -2). Correct it."
    ]


def test_long_values_are_shown_shortened(recipe: Path) -> None:
    assert len(refused(recipe, "name: x\ntraining: " + "x" * 10_000)) < 300


@pytest.mark.parametrize("value", [".nan", ".inf", "1e400"])
def test_numbers_that_are_none(recipe: Path, value: str) -> None:
    assert "recipe.yaml:3: training.rate: Input should be a finite number" in refused(
        recipe, f"name: x\ntraining:\n  rate: {value}\n"
    )


@pytest.mark.parametrize("text", ["[", "!!set {a}", "{a: 1, a: 2}", "\x07"])
def test_an_override_with_a_value_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"'name=.*' has a value that cannot be read: "):
        with_overrides({}, [f"name={text}"])


def test_what_yaml_may_do_it_still_may(recipe: Path) -> None:
    recipe.write_text("base: &b {rate: 1e-4, hot: true}\nmore:\n  <<: *b\n  rate: 2\nname: 2024-01-31\nagain: *b\n")
    read = load_recipe(recipe)
    base = {"rate": "1e-4", "hot": True}
    assert read.values == {"base": base, "more": {"rate": 2, "hot": True}, "name": "2024-01-31", "again": base}
    assert (read.lines[("more",)], read.lines[("more", "rate")], read.lines[("name",)]) == (2, 4, 5)
    recipe.write_text("name: é\n", encoding="utf-16")
    assert load_recipe(recipe).values == {"name": "é"}
