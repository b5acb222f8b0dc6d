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


class Config(BaseModel):
    """Base of all recipes and their sections: unknown keys are errors, values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @classmethod
    def parse(cls, values: Mapping[str, Any], source: str = "the recipe") -> Self:
        """Build from plain values.

        Raises:
            ConfigError: naming every wrong key and value, what is allowed, and the nearest valid key.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            lines = [_explain(cls, problem) for problem in error.errors()]
            raise ConfigError(f"{source} has {len(lines)} mistake(s):\n" + "\n".join(f"  {x}" for x in lines)) from None

    def digest(self) -> str:
        """Return a SHA-256 over all values."""
        return sha256_text(json.dumps(self.model_dump(mode="json"), sort_keys=True))

    def save(self, path: Path) -> None:
        """Write as YAML, with all defaults filled in."""
        write_atomically(path, self.to_yaml())

    def to_yaml(self) -> str:
        """Return the recipe as a YAML text."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _explain(root: type[BaseModel], problem: Any) -> str:
    """Turn one of pydantic's errors into a line with the key, what was received and what is allowed."""
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        keys = _keys_at(root, problem["loc"][:-1])
        return f"{where}: unknown key. Known here: {', '.join(keys)}.{nearest(str(problem['loc'][-1]), keys)}"
    return f"{where}: {problem['msg']} (received {problem['input']!r})"


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
    """Read a recipe file.

    Raises:
        ConfigError: if the file is missing, not YAML, or not a mapping.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"Cannot read the recipe {path}: {error.strerror}.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"The recipe {path} is not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"The recipe {path} must hold keys and values at its top, found {type(values).__name__}.")
    return values


def with_overrides(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Apply `section.key=value` overrides; values are read as YAML, so `1e-4`, `true` and `[q_proj]` work.

    Raises:
        ConfigError: if an override has no "=".
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
        section[last] = yaml.safe_load(text)
    return result
