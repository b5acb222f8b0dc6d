"""Recipe files: YAML read strictly, with the line of every key, so that a mistake can be pointed at.

Stricter than YAML: a key that stands twice, tags such as `!!python/object`, keys that are no text, half characters, and
aliases that stand for very many values are mistakes. Dates, and whole numbers as keys, are texts. Anchors,
aliases and `<<` work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from luthier.core.errors import BadRow, ConfigError

Location = tuple[str | int, ...]
"""A path of keys and list indices from the top."""
_TAG = "tag:yaml.org,2002:"
_PLAIN = frozenset(_TAG + name for name in ("null", "bool", "int", "float", "str", "seq", "map"))
_KEYS = frozenset({f"{_TAG}str", f"{_TAG}int"})
"""What a key may be; a whole number, such as a grade, is read as its text."""
_DEEPEST, _MOST_VALUES = 50, 100_000
_NO_TEXT = "\x00"


class _Loader(yaml.SafeLoader):
    """YAML without timestamps: a date in a recipe is part of a name."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != f"{_TAG}timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class RecipeText:
    """What a recipe file holds.

    Attributes:
        values: Its keys and values, in JSON's types.
        lines: The line of every key and list item, by its path from the top.
    """

    values: dict[str, Any]
    lines: Mapping[Location, int]


class _MistakeError(Exception):
    """What is wrong with a text, and in which of its lines."""

    def __init__(self, line: int, problem: str, expected: str, fix: str) -> None:
        super().__init__(f"{problem}; expected {expected}; {fix}")
        self.line, self.problem, self.expected, self.fix = line, problem, expected, fix


def load_recipe(path: Path) -> RecipeText:
    """Read a recipe file.

    Raises:
        ConfigError: if the file is missing, not YAML, or not a mapping; with its line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"Cannot read the recipe {path}: {error.strerror}.") from None
    lines: dict[Location, int] = {}
    try:
        values = _read(_decoded(data), lines)
    except _MistakeError as error:
        where = BadRow(str(path), error.line, error.problem, error.expected, error.fix)
        raise ConfigError(f"The recipe {path} is not valid YAML.\n  {where}") from None
    if not isinstance(values, dict):
        found = "nothing" if values is None else type(values).__name__
        raise ConfigError(
            f"The recipe {path} must hold keys and values at its top, found {found}. Write lines such as 'model: NAME'."
        )
    return RecipeText(values, lines)


def read_value(text: str) -> Any:
    """Read a value as a recipe would hold it, such as `1e-4`, `true` or `[q_proj]`.

    Raises:
        ValueError: with what is wrong, what was expected, and what to do.
    """
    try:
        return _read(text, {})
    except _MistakeError as error:
        raise ValueError(str(error)) from None


def _decoded(data: bytes) -> str:
    codec = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = f"byte 0x{data[error.start]:02x} is no valid {codec.removesuffix('-sig').upper()}"
        raise _MistakeError(line, problem, "text in UTF-8", "save the file as UTF-8") from None


def _read(text: str, lines: dict[Location, int]) -> Any:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return None if node is None else _Reader(loader, lines).plain(node, ())
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"the character {chr(error.character)!r} cannot stand in YAML"
        raise _MistakeError(line, problem, "printable text", "remove it") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(filter(None, (error.context, error.problem)))
        line = mark.line + 1 if mark else 1
        raise _MistakeError(
            line, problem or "no valid YAML", "'key: value'", "correct this line or the one above"
        ) from None
    except RecursionError:
        raise _MistakeError(1, "values are nested too deeply", f"at most {_DEEPEST} levels", "flatten them") from None


class _Reader:
    """Turns YAML nodes into plain values; notes where keys and items stand."""

    def __init__(self, loader: _Loader, lines: dict[Location, int]) -> None:
        self._loader, self._lines, self._count = loader, lines, 0

    def plain(self, node: yaml.Node, path: Location) -> Any:
        """Return a node's value."""
        line = node.start_mark.line + 1
        self._count += 1
        if self._count > _MOST_VALUES:
            raise _MistakeError(line, f"aliases stand for more than {_MOST_VALUES:,} values", "fewer", "write them out")
        if len(path) > _DEEPEST:  # also where a value holds itself
            raise _MistakeError(line, "values are nested too deeply", f"at most {_DEEPEST} levels", "flatten them")
        if node.tag not in _PLAIN:
            tag = node.tag.replace(_TAG, "!!")
            raise _MistakeError(line, f"the tag {tag}", "plain values: text, numbers, lists, keys", "remove it")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            items = enumerate(node.value)
            return [self.plain(item, self._at((*path, index), item)) for index, item in items]
        return self._scalar(node, line)

    def _at(self, path: Location, node: yaml.Node) -> Location:
        self._lines[path] = node.start_mark.line + 1
        return path

    def _mapping(self, node: yaml.MappingNode, path: Location) -> dict[str, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.tag == f"{_TAG}merge":
                continue
            if not isinstance(key, yaml.ScalarNode) or key.tag not in _KEYS or not key.value:
                shown = f" {key.value!r}" if isinstance(key, yaml.ScalarNode) else ""
                raise _MistakeError(line, f"the key{shown} is no text", "a name", "put it in quotes, or rename it")
            if key.value in seen:
                problem = f"the key '{key.value}' stands here and on line {seen[key.value]}"
                raise _MistakeError(line, problem, "every key once", "remove one of them")
            self._scalar(key, line)
            seen[key.value] = line
        self._loader.flatten_mapping(node)
        return {key.value: self.plain(value, self._at((*path, key.value), key)) for key, value in node.value}

    def _scalar(self, node: yaml.Node, line: int) -> Any:
        try:
            value = self._loader.construct_object(node)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):  # "!!int abc", 5,000 digits
            kind = node.tag.replace(_TAG, "!!")
            raise _MistakeError(line, f"'{str(node.value)[:40]}' is no {kind}", "a plain value", "correct it") from None
        if isinstance(value, str) and (_NO_TEXT in value or any("\ud800" <= letter <= "\udfff" for letter in value)):
            raise _MistakeError(line, "an escape stands for no character", "whole characters", "correct the escape")
        return value
