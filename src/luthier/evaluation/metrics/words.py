"""Words of any script, for the metrics that compare texts word by word.

rouge-score and SQuAD's script know the words of English: the one drops every letter beyond a to z (two equal Chinese
texts score 0), the other takes a Chinese sentence for one word. On ASCII nothing differs; here is what they miss.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Literal

_SPACELESS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul letters
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # iteration mark, closing mark, zero
    (0x3040, 0x31FF),  # kana, bopomofo, Hangul compatibility letters
    (0x3400, 0x4DBF),  # Han, extension A
    (0x4E00, 0x9FFF),  # Han
    (0xAC00, 0xD7AF),  # Hangul syllables
    (0xF900, 0xFAFF),  # Han, compatibility
    (0xFF66, 0xFF9F),  # half-width kana
    (0x20000, 0x3FFFF),  # Han, further extensions
)
"""Scripts written without spaces, or (Korean) with words too long to match whole: one character is one token."""

_LATIN_LIKE = (
    (0x80, 0x2FF),  # Latin and its extensions, phonetic letters
    (0x1D00, 0x1DBF),  # phonetic extensions
    (0x1E00, 0x1EFF),  # Latin, additional
    (0x2100, 0x214F),  # letter-like symbols
    (0x2C60, 0x2C7F),  # Latin, extension C
    (0xA720, 0xA7FF),  # Latin, extension D
    (0x1D400, 0x1D7FF),  # mathematical letters
)
"""Latin letters with accents and letter-like symbols: rouge-score reads them as gaps, and its figures are kept."""

_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_HANGUL_LETTERS = re.compile("[\u1100-\u11ff]")

Kind = Literal["ascii", "character", "word", "mark", "gap"]


def _within(code: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(low <= code <= high for low, high in ranges)


@lru_cache(maxsize=65_536)
def _kind(char: str) -> Kind:
    """Say what a lower-case character is part of."""
    if "a" <= char <= "z" or "0" <= char <= "9":
        return "ascii"
    category = unicodedata.category(char)
    if category[0] not in "LM" and category != "Nd" and char != "〇":
        return "gap"
    if _within(ord(char), _SPACELESS):
        return "character"
    if category[0] == "M":
        return "mark"
    return "gap" if _within(ord(char), _LATIN_LIKE) else "word"


def unify(text: str) -> str:
    """Return a text with full-width Latin letters and digits as ASCII, and Korean syllables composed."""
    text = text.translate(_FULL_WIDTH)
    return unicodedata.normalize("NFC", text) if _HANGUL_LETTERS.search(text) else text


def words_of_any_script(text: str) -> list[str]:
    """Cut a text into lower-case tokens.

    Runs of a-z and 0-9 as rouge-score has them; each character of Chinese, Japanese, Korean and other scripts without
    spaces; runs of letters of other scripts (Greek, Cyrillic, Arabic, Devanagari) with their marks.
    """
    tokens: list[str] = []
    before: Kind = "gap"
    for char in unify(text).lower():
        kind = _kind(char)
        if kind == "mark":
            if before == "word":
                tokens[-1] += char
            else:
                before = "gap"
            continue
        if kind == "character" or (kind != "gap" and kind != before):
            tokens.append(char)
        elif kind != "gap":
            tokens[-1] += char
        before = kind
    return tokens


def space_out_characters(text: str) -> str:
    """Return a text with spaces around each character of scripts that are written without them."""
    if text.isascii():
        return text
    return "".join(f" {char} " if _kind(char) == "character" else char for char in unify(text))


def share_without_spaces(text: str) -> tuple[float, float]:
    """Return which shares of a text's letters and digits are Chinese characters, and of other scripts without spaces.

    0 to 1 each; a text without letters has neither.
    """
    kinds = [(_kind(char), char) for char in unify(text).lower()]
    known = [(kind, char) for kind, char in kinds if kind != "gap" or char.isalpha()]
    characters = [char for kind, char in known if kind == "character"]
    chinese = sum(unicodedata.name(char, "").startswith("CJK") for char in characters)
    total = max(len(known), 1)
    return chinese / total, (len(characters) - chinese) / total
