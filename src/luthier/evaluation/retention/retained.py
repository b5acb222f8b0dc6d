"""What a model can do in general: its answers to general questions, and how well it predicts general text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from luthier.core.run import RunDirectory
from luthier.core.types import Answer
from luthier.evaluation.answerers import Prompted
from luthier.evaluation.answering import collect_answers
from luthier.evaluation.retention.material import General, kind_of, material_digest, passages, questions
from luthier.evaluation.statistics import Scores
from luthier.prompting.strategies.zero_shot import ZeroShot, ZeroShotConfig

if TYPE_CHECKING:
    from luthier.generation.local import LocalModel

MAX_TOKENS = 32
"""Output limit of an answer: the questions want a word or a line."""


@dataclass(frozen=True, eq=False)
class Retained:
    """A model on the general questions and the general text.

    Attributes:
        material: Digest of questions and text.
        scores: Answers to the questions, measured by `General`.
        passages: Each passage's sum of negative log-probabilities (nats), and its number of tokens.
    """

    material: str
    scores: Scores
    passages: tuple[tuple[float, int], ...]

    @property
    def share(self) -> float:
        """Share of questions answered rightly."""
        return self.scores.value(General.name)

    @property
    def perplexity(self) -> float:
        """Perplexity of the general text, all its tokens together."""
        return math.exp(sum(nats for nats, _ in self.passages) / sum(tokens for _, tokens in self.passages))

    def right_by_kind(self) -> dict[str, tuple[int, int]]:
        """Return, for each kind of question, how many are answered rightly, and how many there are."""
        kinds = [kind_of(name) for name in self.scores.example_ids]
        right = Counter(kind for kind, row in zip(kinds, self.scores.rows[General.name], strict=True) if row[0])
        return {kind: (right[kind], count) for kind, count in Counter(kinds).items()}

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        return {
            "material": self.material,
            "scores": self.scores.to_json(),
            "passages": [list(p) for p in self.passages],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Retained:
        """Read it back."""
        scores = Scores.from_json(value["scores"], [General()])
        return cls(value["material"], scores, tuple((float(nats), int(tokens)) for nats, tokens in value["passages"]))


def asked(model: LocalModel) -> Prompted:
    """Return the model as it is asked general questions: once, greedily, its own template, nothing added."""
    return Prompted(model, ZeroShot(ZeroShotConfig(max_tokens=MAX_TOKENS)))


def retention(model: LocalModel, run: RunDirectory, name: str) -> Retained:
    """Ask a model the general questions and let it read the general text.

    Args:
        model: The model, with its adapter on or without.
        run: Where answers are stored, in `evaluation/NAME.jsonl`; an interrupted run goes on with the next wave.
        name: Of the evaluation.

    Raises:
        Paused: between waves, if a stop was asked for.
    """
    from luthier.evaluation.retention.perplexity import perplexity

    answers = collect_answers(asked(model), questions(), run, name)
    return measured(model, answers, perplexity(model, passages()))


def measured(model: LocalModel, answers: Iterable[Answer], rows: Sequence[tuple[float, int]]) -> Retained:
    """Score answers to the general questions."""
    scores = Scores.measure(asked(model).identity, questions(), answers, [General()])
    return Retained(material_digest(), scores, tuple(rows))


def ended(answers: Iterable[Answer]) -> tuple[int, int]:
    """Count the answers that ended their turn by themselves: (ended, all that could have).

    For a user's own rows: a model that was tuned without its end-of-turn token as a target runs on to the output limit.
    Answers that failed or were refused are in neither number. An answer under a constraint ends where this is complete,
    which says nothing about the model.
    """
    finishes = Counter(answer.finish for answer in answers)
    return finishes["stop"], finishes["stop"] + finishes["length"]
