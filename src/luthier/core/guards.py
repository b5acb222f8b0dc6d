"""The guards against faults that pass in silence elsewhere: one entry each, with the number of its saboteur test.

The table (`guard_table.py`) is what `luthier list guards` and the docs page print. `where` is the code that guards,
`test_NN_…` in `tests/saboteurs` plants fault NN and sees it stopped. A test holds the three together.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Literal

When = Literal["impossible", "before the start", "during", "after"]


@dataclass(frozen=True)
class Guard:
    """One guard.

    Attributes:
        number: The fault's number.
        name: The guard's name.
        fault: What happens elsewhere.
        does: What happens here.
        when: When it strikes: the fault cannot be expressed, or is found before the start, during the run, or after it.
        where: The code, as "module:attribute".
        advice: What to do when it has struck; empty where nothing can be done wrong.
    """

    number: int
    name: str
    fault: str
    does: str
    when: When
    where: str
    advice: str = ""

    def code(self) -> Any:
        """Import and return the code that guards."""
        module, _, attribute = self.where.partition(":")
        found: Any = importlib.import_module(module)
        for name in attribute.split("."):
            found = getattr(found, name)
        return found
