"""Prompts and answers with `{column}` in them.

    Summarize this dialogue.\\n\\n{dialogue}     the column `dialogue`, which must be filled
    {instruction}\\n\\n{input?}                  `input` may be empty; blank lines around it are closed up
    Write {{name}} as {name}                   doubled braces stay braces: "Write {name} as Ada"

A backslash followed by n or t is a line break or a tab, because that is what shells pass on. Braces that hold quotes,
such as `{"a": 1}`, are plain text; whatever else stands in braces must be a column, so that no typo passes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from luthier.data.values import RowError, as_prompt_text, is_empty

_BRACES = re.compile(r"\{\{([^{}]*)\}\}|\{([^{}]*)\}")
_NAME_LIKE = re.compile(r"[^{}\"'\n]*\w[^{}\"'\n]*")


@dataclass(frozen=True)
class Placeholder:
    """A column that a template asks for."""

    column: str
    optional: bool = False


@dataclass(frozen=True)
class Template:
    """A compiled template: literal texts and placeholders in turn."""

    source: str
    parts: tuple[str | Placeholder, ...]

    @classmethod
    def compile(cls, source: str, columns: Collection[str] = ()) -> Template:
        """Read a template. Names in `columns` are placeholders even if they look unlike names."""
        text = source.replace("\\n", "\n").replace("\\t", "\t")
        parts: list[str | Placeholder] = []
        position = 0
        for match in _BRACES.finditer(text):
            if match[1] is not None:
                found: str | Placeholder | None = "{" + match[1] + "}"
            else:
                found = _placeholder(match[2], columns)
            if found is None:
                continue
            parts += [text[position : match.start()], found]
            position = match.end()
        parts.append(text[position:])
        return cls(source, tuple(part for part in parts if part))

    @property
    def placeholders(self) -> tuple[Placeholder, ...]:
        """The columns asked for, in their order."""
        return tuple(part for part in self.parts if isinstance(part, Placeholder))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns asked for, each once."""
        return tuple(dict.fromkeys(p.column for p in self.placeholders))

    @property
    def only_column(self) -> str | None:
        """The column if the template is nothing but one placeholder."""
        return self.parts[0].column if len(self.parts) == 1 and isinstance(self.parts[0], Placeholder) else None

    def render(self, row: Mapping[str, Any]) -> str:
        """Fill in a row.

        Raises:
            RowError: if a column that must be filled is empty or absent.
        """
        closed_up = False
        filled: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                filled.append(part)
            elif not is_empty(value := row.get(part.column)):
                filled.append(as_prompt_text(value))
            elif part.optional:
                closed_up = True
            else:
                raise self._fault(part, row)
        text = "".join(filled)
        if closed_up:
            text = re.sub(r"\n{3,}", "\n\n", text).strip()
        if not text.strip():
            raise RowError("the prompt is empty", "text in one of its columns", "fill one, or remove the row")
        return text

    def _fault(self, part: Placeholder, row: Mapping[str, Any]) -> RowError:
        state = "empty" if part.column in row else "missing"
        several = len(self.columns) > 1
        fix = f"fill it, or write {{{part.column}?}} if it may be empty" if several else "fill it, or remove the row"
        return RowError(f"column '{part.column}' is {state}", "text", fix)


def _placeholder(inner: str, columns: Collection[str]) -> Placeholder | None:
    """Return what braces stand for, or None if they are plain text."""
    if inner in columns:
        return Placeholder(inner)
    name = inner.strip()
    optional = name.endswith("?")
    name = name.removesuffix("?")
    return Placeholder(name, optional) if name in columns or _NAME_LIKE.fullmatch(name) else None
