"""Rivals that need no language model: what a tuned model must beat to have earned its cost.

Most frequent answer; TF-IDF with a linear model (a model a field for JSON answers), or, where answers are free text,
the answer of the most similar known prompt.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from luthier.core.files import sha256_text
from luthier.core.registry import Table
from luthier.core.types import Answer, Budget, Example
from luthier.data.labels import spelled_alike
from luthier.data.schema import parse_objects
from luthier.data.tasks import Task

BASELINES: Table[Any] = Table(
    "baseline",
    {
        "most_frequent": "luthier.evaluation.model_free:MostFrequent",
        "tfidf": "luthier.evaluation.model_free:Tfidf",
    },
)


class MostFrequent:
    """Always the answer that was most frequent among the known rows."""

    name = "most frequent answer"

    def __init__(self, known: Sequence[Example], task: Task) -> None:
        self._text = Counter(_answers(known, task)).most_common(1)[0][0]
        self.identity = sha256_text("most_frequent", self._text)

    def answer(self, examples: Sequence[Example], budget: Budget = Budget()) -> Iterator[Answer]:
        """Give it to every example."""
        for example in examples:
            yield Answer(example.id, self._text, "stop")


class Tfidf:
    """TF-IDF of the prompt's words and word pairs, with a linear model of the answers.

    Logistic regression with balanced classes for labels; one for each field of JSON answers, where a value seen once is
    its own class (so a number to be copied is beyond it); the most similar known row's answer for free text.
    """

    name = "TF-IDF"

    def __init__(self, known: Sequence[Example], task: Task) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[^\w\s]")
        features = self._vectorizer.fit_transform([_text(example) for example in known])
        answers = _answers(known, task)
        self.identity = sha256_text("tfidf", *(f"{_text(e)}\t{e.reference}" for e in known))
        if task.kind == "classification":
            self._predict: Any = _Labels(features, answers)
        elif task.kind == "extraction":
            self._predict = _Fields(features, parse_objects(answers))
        else:
            self._predict = _Nearest(features, answers)

    def answer(self, examples: Sequence[Example], budget: Budget = Budget()) -> Iterator[Answer]:
        """Predict all examples at once."""
        features = self._vectorizer.transform([_text(example) for example in examples])
        for example, text in zip(examples, self._predict(features), strict=True):
            yield Answer(example.id, text, "stop")


def _answers(known: Sequence[Example], task: Task) -> list[str]:
    """Return the answers to learn; a label that is spelled in several ways is one."""
    answers = [example.reference for example in known]
    return spelled_alike(answers) if task.kind == "classification" else answers


def _text(example: Example) -> str:
    return "\n".join(message.content for message in example.messages)


class _Labels:
    """Logistic regression over labels; a single label needs no model."""

    def __init__(self, features: Any, labels: Sequence[str]) -> None:
        from sklearn.linear_model import LogisticRegression

        self._only = labels[0] if len(set(labels)) == 1 else None
        if self._only is None:
            self._model = LogisticRegression(C=10.0, class_weight="balanced", max_iter=1000)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._model.fit(features, labels)

    def __call__(self, features: Any) -> list[str]:
        if self._only is not None:
            return [self._only] * features.shape[0]
        return [str(label) for label in self._model.predict(features)]


class _Fields:
    """One model a field; values are compared as JSON."""

    def __init__(self, features: Any, objects: Sequence[dict[str, Any]]) -> None:
        names = list(dict.fromkeys(name for item in objects for name in item))
        self._models = {
            name: _Labels(features, [json.dumps(item.get(name), sort_keys=True) for item in objects]) for name in names
        }

    def __call__(self, features: Any) -> list[str]:
        columns = {name: model(features) for name, model in self._models.items()}
        rows = range(features.shape[0])
        return [
            json.dumps({n: json.loads(column[i]) for n, column in columns.items()}, ensure_ascii=False) for i in rows
        ]


class _Nearest:
    """The answer of the most similar known row (cosine)."""

    def __init__(self, features: Any, answers: Sequence[str]) -> None:
        self._features = features
        self._answers = answers

    def __call__(self, features: Any) -> list[str]:
        similarity = features @ self._features.T
        return [self._answers[int(i)] for i in similarity.toarray().argmax(axis=1)]
