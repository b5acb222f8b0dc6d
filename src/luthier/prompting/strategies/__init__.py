"""Strategies: one file each, and a line in the table."""

from typing import Any

from luthier.core.registry import Table

STRATEGIES: Table[Any] = Table("strategy", {"zero_shot": "luthier.prompting.strategies.zero_shot:ZeroShot"})
