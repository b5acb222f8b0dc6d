"""Thoughts that a model writes down before its answer: `<think>…</think>` at the beginning of a text.

They may be learned or left out of the loss, and are never scored: the answer is what follows them.
"""

from __future__ import annotations

import re
from dataclasses import replace

from luthier.core.types import Example

_THOUGHTS = re.compile(r"\s*<think>.*?(?:</think>\s*|\Z)", re.DOTALL)


def length_of_thoughts(text: str) -> int:
    """Return how many characters at the beginning of a text are thoughts; all of it where they never end."""
    match = _THOUGHTS.match(text)
    return match.end() if match else 0


def without_thoughts(text: str) -> str:
    """Return what follows the thoughts; nothing where they never end."""
    return text[length_of_thoughts(text) :]


def without_thoughts_in_references(example: Example) -> Example:
    """Return an example whose right answers are what they are scored by."""
    return replace(example, references=tuple(map(without_thoughts, example.references)))
