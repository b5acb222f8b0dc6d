"""Tables of lazily imported entries.

A new adapter, metric, format or strategy is one file and one line in its folder's table. A table drives the recipe's
allowed values, `luthier list` and the contract tests.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

from luthier.core.errors import unknown_name

T = TypeVar("T")


class Table(Generic[T]):
    """Names to `"module:attribute"` addresses; an address is imported when its name is first asked for."""

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def get(self, name: str) -> T:
        """Import and return an entry.

        Raises:
            ConfigError: if no entry has this name; the text lists the names and the nearest one.
        """
        if name not in self._entries:
            raise unknown_name(self.kind, name, self._entries)
        module, _, attribute = self._entries[name].partition(":")
        entry: T = getattr(importlib.import_module(module), attribute)
        return entry

    def summary(self, name: str) -> str:
        """Return the first line of the entry's docstring."""
        doc: Any = getattr(self.get(name), "__doc__", None) or ""
        return str(doc).strip().splitlines()[0] if doc else ""
