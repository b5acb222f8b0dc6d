"""Answers as SQuAD writes them: `{"text": ["Bonn"], "answer_start": [17]}`; none where the passage has no answer.

Rajpurkar et al. 2016 (arXiv:1606.05250) and 2018 (arXiv:1806.03822, "unanswerable" questions). A question without an
answer has the right answer "unanswerable": a model has to say something, and an empty text is also what it says where
it breaks down.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from luthier.data.values import RowError, shorten

UNANSWERABLE = "unanswerable"


def is_squad_answer(value: Any) -> bool:
    """Say whether a value is meant as SQuAD's answers."""
    return isinstance(value, Mapping) and value.keys() == {"text", "answer_start"}


def squad_answers(value: Mapping[str, Any], passage: Any) -> list[str]:
    """Return the right answers.

    Args:
        value: Texts and where they start, counted in characters from 0.
        passage: What they are taken from; None if the row has none, and the places cannot be checked.

    Raises:
        RowError: if texts and places do not belong together, or a text does not stand in the passage where it should.
    """
    texts, starts = value["text"], value["answer_start"]
    lists = isinstance(texts, list) and isinstance(starts, list) and len(texts) == len(starts)
    if not lists or not all(isinstance(text, str) for text in texts):
        raise RowError(
            "the answers are not as many texts as places", '{"text": ["…"], "answer_start": [0]}', "correct the answers"
        )
    for text, start in zip(texts, starts, strict=True):
        if isinstance(passage, str) and isinstance(start, int) and passage[start : start + len(text)] != text:
            found = passage.find(text)
            raise RowError(
                f"the answer '{shorten(text, 40)}' does not stand at answer_start {start} of its passage",
                f"answer_start {found}" if found >= 0 else "a text that stands in the passage",
                "correct answer_start" if found >= 0 else "correct the answer, or remove the row",
            )
    return texts or [UNANSWERABLE]
