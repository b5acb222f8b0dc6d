"""luthier env."""

from __future__ import annotations

from typing import Any

from luthier.cli import options
from luthier.cli.session import perform


def env(as_json: options.Json = False) -> None:
    """Show versions, the machine, and what it can compute; paste it into bug reports."""

    def work(listener: Any, stop: object) -> dict[str, Any]:
        from luthier.models.machine import describe_machine
        from luthier.reporting.blocks import KeyValues

        facts = describe_machine()
        listener.show(KeyValues([(key, str(value)) for key, value in facts.items()]))
        return facts

    perform(as_json, work)
