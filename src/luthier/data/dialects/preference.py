"""Preferences: completions of one prompt, the better before the worse.

    {"prompt": …, "chosen": …, "rejected": …}            a pair; without a prompt, what both begin with is the prompt
    {"input": {"messages": […]}, "preferred_output": […], "non_preferred_output": […]}       OpenAI's pairs
    {"prompt": …, "completion": …, "label": true}        one completion, good or bad (KTO)
    {"prompt": …, "completions": […], "ranks": [1, 2, 2]}   or "scores", the highest best

Prompts and completions are texts, messages, or dialogues written out as "Human: … Assistant: …".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from luthier.core.types import Message
from luthier.data.columns import Columns, plain_name
from luthier.data.conversations import check_asks, is_message_list, parse_messages
from luthier.data.values import RowError, as_list, as_text, is_empty

GOOD, BAD = 1, 2
"""Ranks of a single completion that is marked as good, or as bad."""

_PAIRS = (("chosen", "rejected"), ("preferred_output", "non_preferred_output"))
_PROMPTS = ("prompt", "input", "question", "instruction", "query")
_LISTS = ("completions", "responses", "candidates")
_RANKS, _SCORES = ("ranks", "ranking"), ("scores", "ratings")
_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_SPEAKERS = {"Human": "user", "Assistant": "assistant"}


@dataclass(frozen=True)
class Ranked:
    """What one row says: a prompt, its completions, and the rank of each (1 is best; None: not ranked)."""

    prompt: tuple[Message, ...]
    completions: tuple[str, ...]
    ranks: tuple[int | None, ...]

    @property
    def best(self) -> str | None:
        """The completion that is best, or None if all are bad or several are alike best."""
        best = [text for text, rank in zip(self.completions, self.ranks, strict=True) if rank == GOOD]
        return best[0] if len(best) == 1 else None


class Preference:
    """Preferences: chosen and rejected, a completion marked good or bad (KTO), or completions with ranks."""

    name = "preference"
    title = "preferences"
    beside = (*_PROMPTS, *(name for pair in _PAIRS for name in pair), "completion", "label", *_LISTS, *_RANKS, *_SCORES)
    no_answer = (
        "no completion is marked as the best", "one that is right", "leave such rows out with --skip-bad, or mend them"
    )  # fmt: skip

    def find(self, table: Columns) -> str | None:
        """Return the column that names the shape: the chosen one, the completion, or the list of completions."""
        for chosen, rejected in _PAIRS:
            if len(pair := table.named((chosen, rejected))) == 2:
                return pair[0]
        marked = table.named(("prompt", "completion", "label"))
        if len(marked) == 3 and _all_marks(table.values(marked[2])):
            return marked[1]
        lists, order = table.named(_LISTS), table.named((*_RANKS, *_SCORES))
        if lists and order and any(isinstance(as_list(value), list) for value in table.values(lists[0])):
            return lists[0]
        return None

    def messages(self, values: Mapping[str, Any], column: str) -> tuple[Message, ...]:
        """Return the prompt and, where one completion is the best, that one."""
        row = self.ranked(values, column)
        return row.prompt if row.best is None else (*row.prompt, Message("assistant", row.best))

    def ranked(self, values: Mapping[str, Any], column: str) -> Ranked:
        """Return all that a row says.

        Raises:
            RowError: for what is wrong first.
        """
        own = {plain_name(name): value for name, value in values.items()}
        name = plain_name(column)
        if name == "completion":
            return _marked(own)
        return _listed(own, name) if name in _LISTS else _pair(own, name)


PREFERENCE = Preference()


# ---------------------------------------------------------------------------------------------------- the shapes


def _pair(values: Mapping[str, Any], column: str) -> Ranked:
    other = dict(_PAIRS)[column]
    prompt = _prompt(values)
    if not prompt:
        chosen, rejected = (_turns(values.get(name), name, "assistant") for name in (column, other))
        same = takewhile(lambda pair: pair[0] == pair[1], zip(chosen[:-1], rejected[:-1], strict=False))
        prompt = tuple(turn for turn, _ in same)
    texts = [_completion(values.get(name), prompt, name) for name in (column, other)]
    if texts[0] == texts[1]:
        raise RowError(f"'{column}' and '{other}' are the same text", "two different completions", "remove the row")
    check_asks(prompt)
    return Ranked(prompt, tuple(texts), (1, 2))


def _marked(values: Mapping[str, Any]) -> Ranked:
    prompt = _prompt(values)
    check_asks(prompt)
    text = _completion(values.get("completion"), prompt, "completion")
    label = as_text(values.get("label")).strip().lower()
    if label not in ("true", "false"):
        raise RowError(f"'label' is {label!r}" if label else "'label' is empty", "true or false", "say which it is")
    return Ranked(prompt, (text,), (GOOD if label == "true" else BAD,))


def _listed(values: Mapping[str, Any], column: str) -> Ranked:
    prompt = _prompt(values)
    check_asks(prompt)
    items = as_list(values.get(column))
    if not isinstance(items, list) or len(items) < 2:
        raise RowError(f"'{column}' is no list of two texts or more", "a list of completions", "write a list")
    texts = tuple(_completion(item, prompt, column) for item in items)
    order = next(name for name in (*_RANKS, *_SCORES) if name in values)
    figures = as_list(values[order])
    numbers = isinstance(figures, list) and all(
        figure is None or (isinstance(figure, int | float) and not isinstance(figure, bool)) for figure in figures
    )
    if not numbers or len(figures) != len(texts):
        raise RowError(
            f"'{order}' does not give each of {len(texts)} completions a number", "a list", f"mend '{order}'"
        )
    best_first = sorted({f for f in figures if f is not None}, reverse=order in _SCORES)
    return Ranked(prompt, texts, tuple(None if f is None else best_first.index(f) + 1 for f in figures))


# ----------------------------------------------------------------------------------------- prompts and completions


def _all_marks(values: Sequence[Any]) -> bool:
    """Say whether all values are true or false (as CSV writes them, too)."""
    return bool(values) and {as_text(value).strip().lower() for value in values} <= {"true", "false"}


def _prompt(values: Mapping[str, Any]) -> tuple[Message, ...]:
    name = next((name for name in _PROMPTS if not is_empty(values.get(name))), None)
    if name is None:
        return ()
    value = as_list(values[name])
    if isinstance(value, Mapping):  # OpenAI's {"messages": […], "tools": […]}
        value = value.get("messages")
    return _turns(value, name, "user")


def _turns(value: Any, column: str, role: str) -> tuple[Message, ...]:
    """Return what a cell holds as turns: messages, a dialogue written out, or a text that `role` says."""
    value = as_list(value)
    if is_message_list(value):
        return parse_messages(value, column)
    if is_empty(value):
        raise RowError(f"'{column}' is empty", "a text or messages", "fill it, or remove the row")
    text = as_text(value)
    return _dialogue(text) or (Message(role, text.strip()),)


def _dialogue(text: str) -> tuple[Message, ...]:
    """Return the turns of "Human: … Assistant: …"; none if a text does not begin so."""
    if not text.lstrip().startswith(("Human:", "Assistant:")):
        return ()
    pieces = _TURN.split(text.lstrip())
    said = zip(pieces[1::2], pieces[2::2], strict=True)
    return tuple(Message(_SPEAKERS[who], words.strip()) for who, words in said if words.strip())


def _completion(value: Any, prompt: Sequence[Message], column: str) -> str:
    """Return what the assistant says after the prompt: the cell's only turn, or its only one beyond the prompt."""
    turns = _turns(value, column, "assistant")
    own = turns[len(prompt) :] if list(turns[: len(prompt)]) == list(prompt) else turns
    if (len(own) != 1 or own[0].role != "assistant") and prompt and isinstance(as_list(value), str):
        return as_text(value).strip()  # a text that only looks like a dialogue
    if len(own) != 1 or own[0].role != "assistant":
        raise RowError(
            f"'{column}' is not one assistant turn after the prompt", "an answer to the prompt",
            "write the answer alone, or the whole conversation with the same turns before it",
        )  # fmt: skip
    return own[0].content
