"""What several tests of this folder share."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

from luthier.core.types import Example, user

Write = Callable[[str, str | bytes], Path]

_WORDS = re.findall(
    r"\w+",
    """
river garden window teacher paper silver morning engine bottle forest letter market winter pocket island button
castle danger effort flavor guitar hammer insect jacket kettle ladder mirror needle orange pencil quartz ribbon
saddle tunnel umbrella velvet walnut yellow zipper anchor basket candle dragon eleven feather gravel harbor
    """,
)


def sentence(number: int, words: int = 14) -> str:
    """Return a sentence that differs from those of all other numbers."""
    return " ".join(random.Random(number).choices(_WORDS, k=words))


def example(number: int, text: str | None = None, answer: str = "yes", cluster: str | None = None) -> Example:
    """Return an example called after its number."""
    return Example(f"e{number}", user(text or sentence(number)), (answer,), cluster=cluster)


def examples(count: int, start: int = 0) -> list[Example]:
    """Return examples that are all different."""
    return [example(number) for number in range(start, start + count)]
