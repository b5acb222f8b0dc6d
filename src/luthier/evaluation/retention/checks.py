"""Checks of short answers to general questions: small declarative objects, such as {"number": 12} or {"words": 2}.

A check is an object of conditions, and an answer passes if it fulfils all of them:

- `one_of`: names one of some words or phrases, as whole words, whatever their case and punctuation.
- `choice`: of the options, a right one is named first: "a brick is heavier than a feather" chooses the brick.
- `number`: its last number is this one. Digits come before words: "12 is the right one" says 12, "twelve apples" too.
- `words`, `lines`, `items`: has so many words, lines that are not empty, or items between commas.
- `case`: all its letters are "upper" or "lower".
- `starts_with`, `ends_with`: begins or ends so, after quotes and marks at its ends are left out; case counts.
- `regex`: a regular expression finds something in it.

They look at the surface, as a reader in a hurry does: "not the brick but the feather" is taken for the brick. The same
answer always passes or fails alike, so such errors stand on both sides of a comparison.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from luthier.core.errors import DataError, nearest

_SURROUNDING = " \t\r\n\"'“”‘’«»`*_.,;!"
"""What may stand around an answer without being part of it: quotes, marks, Markdown."""
_ITEM_WORDS = 4
"""Most words of a listed item: a sentence with commas in it is no list."""

_UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_UNITS += ["thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORDS = {word: value for value, word in enumerate(_UNITS)} | {"hundred": 100}
_WORDS |= {word: 20 + 10 * i for i, word in enumerate(_TENS)}
_WORDS |= {f"{tens} {_UNITS[i]}": _WORDS[tens] + i for tens in _TENS for i in range(1, 10)}
_NUMBER_WORD = re.compile(r"\b(" + "|".join(sorted(_WORDS, key=len, reverse=True)) + r")\b")
_DIGITS = re.compile(r"(?<!\w)(?<!\d\.)(?:(?<!\))[-−])?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?")


def passes(check: Mapping[str, Any], text: str) -> bool:
    """Say whether an answer fulfils all conditions of a check; an empty answer fulfils none.

    Raises:
        DataError: for a check without a condition, or with one that does not exist.
    """
    if not check:
        raise DataError(f"A check needs a condition: one of {', '.join(CONDITIONS)}.")
    for name in check:
        if name not in CONDITIONS:
            raise DataError(
                f"There is no condition '{name}' of a check. There are: {', '.join(CONDITIONS)}."
                f"{nearest(name, CONDITIONS)}"
            )
    text = text.strip()
    return bool(text) and all(CONDITIONS[name](text, wanted) for name, wanted in check.items())


def plain_words(text: str) -> str:
    """Return a text in lower case, everything but letters and digits as single spaces, with a space at both ends."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return f" {' '.join(''.join(char if char.isalnum() else ' ' for char in text).split())} "


def repeats(question: str, text: str) -> bool:
    """Say whether an answer is nothing but its question, or the first half of it or more (and then cut)."""
    asked, words = plain_words(question), plain_words(text)
    return asked.startswith(words) and 2 * len(words) >= len(asked)


def last_number(text: str) -> float | None:
    """Return the last number in digits or, where there are no digits, the last one in words (up to a hundred)."""
    if digits := _DIGITS.findall(unicodedata.normalize("NFKC", text)):
        return float(digits[-1].replace(",", "").replace("−", "-"))
    words = _NUMBER_WORD.findall(plain_words(text))
    return float(_WORDS[words[-1]]) if words else None


def _place(text: str, phrases: Sequence[str]) -> float:
    """Return where the first of some phrases is named in a text as `plain_words` gives it; infinity for nowhere."""
    places = [text.find(plain_words(phrase)) for phrase in phrases]
    return min((place for place in places if place >= 0), default=float("inf"))


def _one_of(text: str, phrases: Sequence[str]) -> bool:
    return _place(plain_words(text), phrases) < float("inf")


def _choice(text: str, options: Mapping[str, Sequence[str]]) -> bool:
    plain = plain_words(text)
    return _place(plain, options["right"]) < _place(plain, options["wrong"])


def _number(text: str, wanted: float) -> bool:
    return last_number(text) == wanted


def _words(text: str, count: int) -> bool:
    return sum(any(map(str.isalnum, piece)) for piece in text.split()) == count


def _lines(text: str, count: int) -> bool:
    return sum(bool(line.strip()) for line in text.splitlines()) == count


def _items(text: str, count: int) -> bool:
    """Count items between commas, behind a colon if there is one ("Three colours: red, blue, green")."""
    items = [item.split() for item in text.rsplit(":", 1)[-1].strip(_SURROUNDING).split(",")]
    return len(items) == count and all(0 < len(words) <= _ITEM_WORDS for words in items)


def _case(text: str, case: str) -> bool:
    return text.isupper() if case == "upper" else text.islower()


def _starts_with(text: str, beginning: str) -> bool:
    text = text.lstrip(_SURROUNDING)
    return text.startswith(beginning) and not text[len(beginning) : len(beginning) + 1].isalnum()


def _ends_with(text: str, end: str) -> bool:
    kept = "".join(mark for mark in _SURROUNDING if mark not in end)
    text = text.rstrip(kept)
    before = text[: -len(end)][-1:]
    return text.endswith(end) and not (end[0].isalnum() and before.isalnum())


def _regex(text: str, pattern: str) -> bool:
    return re.search(pattern, text) is not None


CONDITIONS: Mapping[str, Callable[[str, Any], bool]] = {
    "one_of": _one_of,
    "choice": _choice,
    "number": _number,
    "words": _words,
    "lines": _lines,
    "items": _items,
    "case": _case,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "regex": _regex,
}
"""Name -> function of the answer and of what the check asks for."""
