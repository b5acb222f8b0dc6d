"""What is looked at while rows are rendered, row by row: rows that a model cannot take, targets that are missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from luthier.core.errors import DataError, GuardError
from luthier.core.types import Example
from luthier.data.render import Rendered, Renderer

_SHOWN = 20


@dataclass
class RowProblems:
    """The rows that cannot be used with a model: how many, and the first of them."""

    count: int = 0
    shown: list[str] = field(default_factory=list)

    def render(self, renderer: Renderer, example: Example) -> list[Rendered]:
        """Render a row; one that cannot be used gives nothing, and is noted."""
        try:
            return renderer.render_turns(example)
        except DataError as error:
            place = f"line {example.line}"
            self.count += 1
            if len(self.shown) < _SHOWN:
                self.shown.append(str(error) if str(error).startswith(place) else f"{place}: {error}")
            return []

    def stop_if_any(self, rows: int) -> None:
        """Stop if there was one among so many rows.

        Raises:
            DataError: listing the first of them.
        """
        if not self.count:
            return
        more = f"\n  … and {self.count - _SHOWN} more" if self.count > _SHOWN else ""
        raise DataError(
            f"{self.count} of {rows} rows cannot be used with this model:\n"
            + "\n".join(f"  {problem}" for problem in self.shown)
            + more
        )


@dataclass
class TargetCount:
    """Counts what rows train.

    Attributes:
        rows: How many were looked at.
        trained: Tokens that are trained.
        ends: Rows whose last token is the end of a turn, and is trained.
        without: Rows without a token that is trained, and the first of them.
        endless: Rows that do not train the end of a turn, and the first of them.
    """

    rows: int = 0
    trained: int = 0
    ends: int = 0
    without: tuple[int, str] = (0, "")
    endless: tuple[int, str] = (0, "")

    def add(self, renderer: Renderer, row: Rendered) -> None:
        """Look at a row."""
        ends = bool(row.tokens[-1] == renderer.template.end_of_turn and row.weights[-1] > 0)
        self.rows += 1
        self.trained += row.trained
        self.ends += ends
        if not row.trained:
            self.without = self.without[0] + 1, self.without[1] or row.example_id
        if not ends:
            self.endless = self.endless[0] + 1, self.endless[1] or row.example_id

    def stop_if_any_is_missing(self) -> None:
        """Make sure that every row trains its answer, to its end.

        Raises:
            GuardError: with the number of rows, and one of them.
        """
        self._stop_if(self.without, "have no token that is trained")
        self._stop_if(self.endless, "do not train the token that ends a turn, so the model would never learn to stop")

    def _stop_if(self, bad: tuple[int, str], what: str) -> None:
        if bad[0]:
            raise GuardError(
                f"{bad[0]} of {self.rows} rows {what} (example {bad[1]}). The tokenizer or its chat template "
                "is not what it should be: look at a row with luthier data preview, or choose another model."
            )


class RenderedRows:
    """Rows to learn from, rendered, in memory; `RenderedStore` says the same of rows on disk.

    Attributes:
        trained: Tokens that are targets.
        ends: Sequences whose last token is the end of a turn, and is trained.
    """

    def __init__(self, renderer: Renderer, rows: Sequence[Rendered]) -> None:
        self._rows = rows
        targets = TargetCount()
        for row in rows:
            targets.add(renderer, row)
        self.trained, self.ends = targets.trained, targets.ends

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each sequence."""
        return np.array([len(row) for row in self._rows], dtype=np.int64)

    def token_rows(self) -> Iterator[npt.NDArray[np.int64]]:
        """Yield the tokens of every sequence."""
        return (row.tokens for row in self._rows)

    def name_of(self, position: int) -> str:
        """Return the name of the row that a sequence comes from."""
        return self._rows[position].example_id
