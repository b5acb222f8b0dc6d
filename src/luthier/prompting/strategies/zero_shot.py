"""Zero-shot prompting: one request, the user's prompt as it is, or with the format told.

When to use it: always first; it is what every other way must beat. When not: the task needs knowledge or a form that no
instruction conveys. Cost: one generation an example.
"""

from __future__ import annotations

from collections.abc import Generator

from luthier.core.types import Answer, Completion, Example, Message, Request
from luthier.prompting.asking import NOTHING_KNOWN, AskingConfig, Known, ask_once, instructed


class ZeroShotConfig(AskingConfig):
    """Zero-shot settings."""

    strategy: str = "zero_shot"


class ZeroShot:
    """Asks once."""

    name = "zero_shot"
    Config = ZeroShotConfig

    def __init__(self, config: ZeroShotConfig = ZeroShotConfig(), known: Known = NOTHING_KNOWN) -> None:
        self.config = config
        self.identity = config.identity()

    def steps(self, example: Example) -> Generator[list[Request], list[Completion], Answer]:
        """Send the conversation, with the instruction before its last user turn."""
        return ask_once(example, self.messages(example), self.config.decoding)

    def messages(self, example: Example) -> tuple[Message, ...]:
        """Return the conversation that is sent."""
        *before, last = example.messages
        return (*before, instructed(last, self.config.instruction))
