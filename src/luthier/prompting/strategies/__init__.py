"""Strategies: one file each, and a line in the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from luthier.core.registry import Table
from luthier.prompting.asking import NOTHING_KNOWN, Known

STRATEGIES: Table[Any] = Table(
    "strategy",
    {
        "zero_shot": "luthier.prompting.strategies.zero_shot:ZeroShot",
        "few_shot": "luthier.prompting.strategies.few_shot:FewShot",
    },
)
"""Name -> class, made from its `Config` and what is `Known`. Beside the protocol's it has `name`, `config`, and
`messages(example)`: the conversation that is sent (for a strategy of several rounds, the first)."""


def build_strategy(settings: Mapping[str, Any], known: Known = NOTHING_KNOWN) -> Any:
    """Build a strategy from its settings, `strategy` naming it, and from what it may know.

    Raises:
        ConfigError: for an unknown strategy or setting, or a strategy that needs to know more.
    """
    entry = STRATEGIES.get(str(settings.get("strategy", "zero_shot")))
    return entry(entry.Config.parse(settings, "strategy"), known)
