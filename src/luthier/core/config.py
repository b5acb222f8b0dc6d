"""Recipes: strict, frozen, reported with all their errors at once.

A class of `Config` is at the same time the defaults, the documentation and the command line's vocabulary: the text
under `Field(description=...)` is what `--help` and the docs print.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from luthier.core.errors import ConfigError, nearest
from luthier.core.files import sha256_text, write_atomically
from luthier.core.recipe_text import Location, load_recipe, read_value

_SHOWN = 80


class SectionError(ValueError):
    """Mistakes in a section that is read by another class of `Config`; a validator raises them, `parse` lists them."""

    def __init__(self, mistakes: Sequence[tuple[Location, str]]) -> None:
        super().__init__("; ".join(text for _, text in mistakes))
        self.mistakes = mistakes


class Config(BaseModel):
    """Base of all recipes and their sections: unknown keys are errors, values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @classmethod
    def parse(
        cls, values: Mapping[str, Any], source: str = "the recipe", lines: Mapping[Location, int | None] | None = None
    ) -> Self:
        """Build from plain values.

        Args:
            values: Keys and values.
            source: Where they are from, for errors.
            lines: Lines of keys, if the source is a file.

        Raises:
            ConfigError: naming every wrong key and value with its line, what is allowed, and the nearest valid key.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            found = _mistakes(cls, error)
        texts = [f"{_place(source, lines or {}, where)}{text}" for where, text in found]
        raise ConfigError(f"{source} has {len(texts)} mistake(s):\n" + "\n".join(f"  {text}" for text in texts))

    @classmethod
    def check_section(cls, values: Mapping[str, Any]) -> None:
        """Look whether this class could be built from a section of another's recipe; for that one's validator.

        Raises:
            SectionError: with every mistake.
        """
        try:
            cls.model_validate(dict(values))
        except ValidationError as error:
            raise SectionError(_mistakes(cls, error)) from None

    def digest(self) -> str:
        """Return a SHA-256 over all values."""
        return sha256_text(json.dumps(self.model_dump(mode="json"), sort_keys=True))

    def save(self, path: Path) -> None:
        """Write as YAML, with all defaults filled in."""
        write_atomically(path, self.to_yaml())

    def to_yaml(self) -> str:
        """Return the recipe as a YAML text."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _place(source: str, lines: Mapping[Location, int | None], where: Location) -> str:
    """Return "FILE:LINE: " for the nearest key with a known line (where one is missing, its section's)."""
    known = next((lines[where[:depth]] for depth in range(len(where), 0, -1) if where[:depth] in lines), 0)
    return f"{source}:{known or 1}: " if lines and known is not None else ""


def _mistakes(root: type[BaseModel], error: ValidationError) -> list[tuple[Location, str]]:
    """Return where each mistake is, and what."""
    found: list[tuple[Location, str]] = []
    for problem in error.errors():
        inner = problem.get("ctx", {}).get("error")
        if isinstance(inner, SectionError):
            section = ".".join(map(str, problem["loc"]))
            joint = {True: ".", False: ": "}
            found += [
                ((*problem["loc"], *where), f"{section}{joint[bool(where)]}{text}") for where, text in inner.mistakes
            ]
        else:
            found.append((problem["loc"], _explain(root, problem)))
    return found


def _explain(root: type[BaseModel], problem: Any) -> str:
    """Turn one of pydantic's errors into a line: the key, what was received, what is allowed, what to do."""
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        keys = _keys_at(root, problem["loc"][:-1])
        hint = nearest(str(problem["loc"][-1]), keys)
        return f"{where}: unknown key. Known here: {', '.join(keys)}.{hint} Rename or remove it."
    if problem["type"] == "missing":
        return f"{where}: {problem['msg']}. Add it."
    received = repr(problem["input"])
    received = received if len(received) <= _SHOWN else received[: _SHOWN - 1] + "…"
    return f"{where}: {problem['msg']} (received {received}). Correct it."


def _keys_at(root: type[BaseModel], path: Sequence[Any]) -> list[str]:
    """Return the valid keys of the section at `path`."""
    for part in path:
        field = root.model_fields.get(str(part))
        sections = (
            [t for t in _flatten(field.annotation) if isinstance(t, type) and issubclass(t, BaseModel)] if field else []
        )
        if not sections:
            return []
        root = sections[0]
    return list(root.model_fields)


def _flatten(annotation: Any) -> list[Any]:
    parts = typing.get_args(annotation)
    return [annotation] if not parts else [leaf for part in parts for leaf in _flatten(part)]


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a recipe file's values.

    Raises:
        ConfigError: if the file is missing, not YAML, or not a mapping.
    """
    return load_recipe(path).values


def with_overrides(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Apply `section.key=value` overrides; values are read as YAML, so `1e-4`, `true` and `[q_proj]` work.

    Raises:
        ConfigError: if an override has no "=", or its value is no YAML.
    """
    result = json.loads(json.dumps(dict(values)))
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise ConfigError(
                f"'{override}' is not an override. Write section.key=value, e.g. training.learning_rate=1e-4."
            )
        section = result
        *path, last = key.split(".")
        for part in path:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise ConfigError(f"'{override}': '{part}' is a value, not a section.")
        try:
            section[last] = read_value(text)
        except ValueError as error:
            raise ConfigError(f"'{override}' has a value that cannot be read: {error}.") from None
    return result


def lines_left(lines: Mapping[Location, int], overrides: Sequence[str]) -> dict[Location, int | None]:
    """Return the lines of a recipe's keys; None for those that an override replaced, which stand in no line."""
    replaced = [tuple(override.partition("=")[0].split(".")) for override in overrides]
    kept: dict[Location, int | None] = {
        where: line for where, line in lines.items() if not any(where[: len(r)] == r for r in replaced)
    }
    return kept | dict.fromkeys(replaced, None)
