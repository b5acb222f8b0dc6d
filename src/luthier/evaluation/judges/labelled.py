"""Pairs of answers that people have labelled: which one is better, or a tie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from luthier.core.config import Config
from luthier.core.errors import BadRow, ConfigError, DataError
from luthier.core.files import sha256_text
from luthier.core.types import Example
from luthier.data.columns import plain_name
from luthier.data.dialects.preference import PREFERENCE
from luthier.data.options import ReadOptions
from luthier.data.sources import Dataset, read_examples
from luthier.data.values import as_list, as_text
from luthier.evaluation.judges.pairwise import Outcome

_STEMS = ("response", "answer", "output", "completion", "candidate")
_ENDINGS = (("1", "2"), ("_1", "_2"), ("_a", "_b"))
_PAIRS = tuple((stem + a, stem + b) for stem in _STEMS for a, b in _ENDINGS)
_LABELS = ("label", "winner", "preferred", "preference", "verdict")
_ANNOTATORS = ("annotators", "annotations", "labels")
_SAID: Mapping[str, Outcome] = {
    **dict.fromkeys(("1", "first", "a", "model_a", "left"), "first"),
    **dict.fromkeys(("2", "second", "b", "model_b", "right"), "second"),
    **dict.fromkeys(("0", "tie", "both", "neither", "equal", "draw", "c", "tie_(bothbad)"), "tie"),
}

_TURNED: Mapping[Outcome, Outcome] = {"first": "second", "second": "first", "tie": "tie"}


class PairColumns(Config):
    """Where two answers and the label stand; what is left out is found by usual names."""

    first: str | None = Field(None, description="column with the first answer")
    second: str | None = Field(None, description="column with the second answer")
    label: str | None = Field(None, description="column that says which is better: 1, 2 or tie; A, B; first, second")


@dataclass(frozen=True)
class LabelledPair:
    """Two answers to a question, and what people say of them.

    Attributes:
        example: The question; its cluster is the question's text unless the data names another.
        answers: The two answers.
        label: Which is better.
        annotators: What each person said, where the data tells.
    """

    example: Example
    answers: tuple[str, str]
    label: Outcome
    annotators: tuple[Outcome, ...] = ()


def read_pairs(path: str, options: ReadOptions, columns: PairColumns) -> tuple[Dataset, list[LabelledPair]]:
    """Read labelled pairs: two answers and a label a row, or preferences of two completions.

    Preferences list the better one first; half of the pairs, drawn by the rows' names, are turned round, so that the
    first is not always the better one.

    Raises:
        DataError: if the columns cannot be found, or rows cannot be used; it lists all of them.
    """
    dataset = read_examples(path, options, need_answers=False)
    ranked = dataset.mapping.dialect == PREFERENCE.name
    pairs = _preferences(dataset) if ranked else _from_columns(dataset, columns)
    if len(pairs) < 2:
        raise DataError(f"{path} holds {len(pairs)} pair(s); to measure agreement there must be two or more.")
    return dataset, pairs


def _from_columns(dataset: Dataset, columns: PairColumns) -> list[LabelledPair]:
    names = list(dict.fromkeys(name for example in dataset.examples for name in example.fields))
    first, second = _answer_columns(dataset.source, names, columns)
    label = _label_column(dataset.source, names, columns)
    people = next((name for name in names if plain_name(name) in _ANNOTATORS), None)
    _require_a_tie_or_no_zero(dataset, label)
    pairs, bad = [], []
    for example in dataset.examples:
        said = _outcome(example.fields.get(label), first, second)
        if said is None:
            value = as_text(example.fields.get(label))
            bad.append(BadRow(dataset.source, example.line, f"'{label}' is '{value[:40]}'",
                              "1, 2 or tie; A or B; first or second", "mend it, or remove the row"))  # fmt: skip
            continue
        each = as_list(example.fields.get(people)) if people else []
        by_person = [_outcome(one, first, second) for one in each] if isinstance(each, list) else []
        texts = (as_text(example.fields.get(first)), as_text(example.fields.get(second)))
        known = tuple(one for one in by_person if one is not None)
        pairs.append(LabelledPair(_question(example), texts, said, known))
    if bad:
        raise DataError(f"{dataset.source}: {len(bad):,} of {len(dataset):,} rows have no label.", bad)
    return pairs


def _answer_columns(source: str, names: Sequence[str], columns: PairColumns) -> tuple[str, str]:
    if columns.first and columns.second:
        return _there(source, names, columns.first), _there(source, names, columns.second)
    by_name = {plain_name(name): name for name in names}
    for one, other in _PAIRS:
        if one in by_name and other in by_name:
            return columns.first or by_name[one], columns.second or by_name[other]
    raise DataError(
        f"{source} has no two columns with answers that are known by name, such as response1 and response2 or answer_a "
        f"and answer_b; it has {', '.join(names)}. Name them with --first and --second."
    )


def _label_column(source: str, names: Sequence[str], columns: PairColumns) -> str:
    if columns.label:
        return _there(source, names, columns.label)
    found = next((name for wanted in _LABELS for name in names if plain_name(name) == wanted), None)
    if found is None:
        raise DataError(
            f"{source} has no column that says which answer is better ({', '.join(_LABELS)}); it has "
            f"{', '.join(names)}. Name it with --label."
        )
    return found


def _there(source: str, names: Sequence[str], name: str) -> str:
    if name not in names:
        raise ConfigError(f"{source} has no column '{name}'. It has {', '.join(names)}.")
    return name


def _require_a_tie_or_no_zero(dataset: Dataset, label: str) -> None:
    """Refuse labels of 0 and 1 alone: 0 may be a tie, or the first answer."""
    values = {as_text(example.fields.get(label)).strip() for example in dataset.examples}
    if values == {"0", "1"}:
        raise DataError(
            f"{dataset.source}: '{label}' holds 0 and 1 alone, so that 0 may mean a tie or the first answer. Write "
            "first, second and tie."
        )


def _outcome(value: Any, first: str, second: str) -> Outcome | None:
    """Return what a label says; the answers' columns are names of the answers too."""
    said = plain_name(as_text(value))
    own: dict[str, Outcome] = {plain_name(first): "first", plain_name(second): "second"}
    return own.get(said) or _SAID.get(said)


def _question(example: Example) -> Example:
    """Return the row as a question alone; questions that are the same belong together."""
    cluster = example.cluster or sha256_text(*(turn.content for turn in example.messages))[:16]
    return replace(example, references=(), cluster=cluster)


def _preferences(dataset: Dataset) -> list[LabelledPair]:
    pairs = []
    for example in dataset.examples:
        row = PREFERENCE.ranked(example.fields, dataset.mapping.prompt)
        ranks = [rank for rank in row.ranks if rank is not None]
        if len(row.completions) != 2 or len(ranks) != 2:
            raise DataError(
                f"{dataset.source}: line {example.line} ranks {len(ranks)} of {len(row.completions)} completion(s); "
                "pairs have two, both ranked."
            )
        better: Outcome = "tie" if ranks[0] == ranks[1] else "first" if ranks[0] < ranks[1] else "second"
        one, other = row.completions
        if int(sha256_text(example.id)[:8], 16) % 2:
            one, other, better = other, one, _TURNED[better]
        pairs.append(LabelledPair(_question(example), (one, other), better))
    return pairs
