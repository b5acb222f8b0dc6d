"""A language model that answers from a script."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from luthier.core.types import Completion, Request, Usage

Script = Sequence[str] | Callable[[Request], str]
Scores = Callable[[Request], Sequence[float]]


def by_length(request: Request) -> list[float]:
    """Score continuations: the shorter, the likelier."""
    return [-float(len(text)) for text in request.continuations]


class ScriptedLanguageModel:
    """Answers requests from a list (in turn, over and over) or a function; scores continuations by their length.

    Args:
        script: The texts, or a function that gives one.
        scores: Gives the log-probability of each continuation of a request, instead of by length. None in its place
            stands for a model that cannot score: it answers from the script.

    Attributes:
        batches: The requests of every call, for asserting how often the model was called and with what.
    """

    identity = "scripted"

    def __init__(self, script: Script, scores: Scores | None = by_length) -> None:
        self._script = script
        self._scores = scores
        self._asked = 0
        self.batches: list[list[Request]] = []

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, in their order."""
        self.batches.append(list(requests))
        return [self._one(request) for request in requests]

    def stream(self, request: Request) -> Iterator[str]:
        """Yield the answer word by word."""
        for index, word in enumerate(self._one(request).text.split(" ")):
            yield word if index == 0 else f" {word}"

    def _one(self, request: Request) -> Completion:
        usage = Usage(calls=1, prompt_tokens=1, completion_tokens=1)
        if request.continuations and self._scores is not None:
            logps = tuple(self._scores(request))
            return Completion(request.continuations[logps.index(max(logps))], "stop", logps, usage)
        text = self._script(request) if callable(self._script) else self._script[self._asked % len(self._script)]
        self._asked += 1
        return Completion(text, "stop", usage=usage)
