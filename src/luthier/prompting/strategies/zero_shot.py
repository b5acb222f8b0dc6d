"""Zero-shot prompting: one request, the user's prompt as it is, or with the format told.

When to use it: always first; it is what every other way must beat. When not: the task needs knowledge or a form that no
instruction conveys. Cost: one generation an example.
"""

from __future__ import annotations

from collections.abc import Generator

from pydantic import Field

from luthier.core.config import Config
from luthier.core.files import sha256_text
from luthier.core.types import Answer, Completion, Decoding, Example, Message, Request


class ZeroShotConfig(Config):
    """Zero-shot settings."""

    strategy: str = "zero_shot"
    instruction: str = Field("", description="put before the user's prompt; empty sends the prompt verbatim")
    max_tokens: int = Field(256, ge=1, description="output limit in tokens")
    temperature: float = Field(0.0, ge=0, description="0 is greedy")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus sampling")
    seed: int = Field(0, description="seed of sampling")


class ZeroShot:
    """Asks once."""

    name = "zero_shot"
    Config = ZeroShotConfig

    def __init__(self, config: ZeroShotConfig = ZeroShotConfig()) -> None:
        self.config = config
        self.identity = sha256_text("zero_shot", config.digest())

    def steps(self, example: Example) -> Generator[list[Request], list[Completion], Answer]:
        """Send the conversation, with the instruction before its last user turn."""
        config = self.config
        decoding = Decoding(config.max_tokens, config.temperature, config.top_p, seed=config.seed)
        (completion,) = yield [Request(self.messages(example), decoding)]
        return Answer(example.id, completion.text, completion.finish)

    def messages(self, example: Example) -> tuple[Message, ...]:
        """Return the conversation that is sent."""
        if not self.config.instruction:
            return example.messages
        *before, last = example.messages
        return (*before, Message(last.role, f"{self.config.instruction}\n\n{last.content}"))
