"""Errors that a person can act on: what was received, what is allowed, what to do next.

Every error that Luthier raises on purpose is a `LuthierError`; the command line prints its text and no traceback.

    LuthierError
    |- ConfigError        a recipe or a flag is wrong
    |- DataError          rows, columns or files are wrong (carries all bad rows)
    |- ModelError         a model cannot be found, read or used
    |- CompatibilityError a method needs what a model does not have
    |- RunError           a run directory is missing, taken, or does not fit
    |- BudgetError        time, tokens or machine do not suffice
    |  `- OutOfMemoryError memory does not
    |- MissingExtraError  an optional package is not installed
    `- GuardError         a silent fault was about to happen
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class LuthierError(Exception):
    """Base of all errors raised on purpose. Its text is written for the person at the keyboard."""


class ConfigError(LuthierError):
    """A recipe, a flag or an override is wrong."""


class ModelError(LuthierError):
    """A model cannot be found, read or used."""


class CompatibilityError(LuthierError):
    """An adapter, objective or strategy needs something that the model does not have."""


class RunError(LuthierError):
    """A run directory is missing, already taken, or does not fit what is asked."""


class BudgetError(LuthierError):
    """The time, the tokens or the machine do not suffice for what is asked."""


class OutOfMemoryError(BudgetError):
    """There is not enough memory for what is asked."""


class GuardError(LuthierError):
    """A fault that passes in silence elsewhere was about to happen; the run stopped before it cost anything."""


class MissingExtraError(LuthierError):
    """An optional package is missing. The text names the command that installs it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package '{package}'. Install it with: pip install 'luthier[{extra}]'")


@dataclass(frozen=True)
class BadRow:
    """One row that cannot be used: where, what is wrong, what was expected and how to mend it."""

    file: str
    line: int
    problem: str
    expected: str
    fix: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.problem}; expected {self.expected}; {self.fix}"


class DataError(LuthierError):
    """Data cannot be used. `rows` holds every bad row, not only the first."""

    def __init__(self, message: str, rows: Sequence[BadRow] = ()) -> None:
        self.rows = tuple(rows)
        shown = "\n".join(f"  {row}" for row in self.rows[:20])
        more = f"\n  … and {len(self.rows) - 20} more" if len(self.rows) > 20 else ""
        super().__init__(f"{message}\n{shown}{more}" if self.rows else message)


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest allowed name, or an empty string."""
    matches = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean '{matches[0]}'?" if matches else ""


def unknown_name(kind: str, name: str, allowed: Iterable[str], error: type[LuthierError] = ConfigError) -> LuthierError:
    """Build the error for a name that no table holds: what was received, what is allowed, the nearest name."""
    names = sorted(allowed)
    return error(f"Unknown {kind} '{name}'. Known: {', '.join(names)}.{nearest(name, names)}")
