"""What parts promise each other. Protocols, not base classes: whatever has these methods fits."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from luthier.core.types import Answer, Budget, Completion, Example, Request


@runtime_checkable
class LanguageModel(Protocol):
    """Something that completes requests: a local model, a remote one, a scripted one in tests.

    `identity` covers weights, adapter, chat template and precision; every cache key contains it.
    """

    identity: str

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Complete all requests, in their order. A failed request is a completion with finish "failed"."""
        ...

    def stream(self, request: Request) -> Iterator[str]:
        """Yield the pieces of one generated text as they come."""
        ...


class PromptStrategy(Protocol):
    """A way to ask. A generator of requests for one example; it does no input or output and holds no model."""

    identity: str

    def steps(self, example: Example) -> Generator[list[Request], list[Completion], Answer]:
        """Yield requests, receive their completions, and return the answer."""
        ...


class Answerer(Protocol):
    """Whatever is compared: examples in, one answer for every example out, failures included."""

    identity: str

    def answer(self, examples: Sequence[Example], budget: Budget = Budget()) -> Iterator[Answer]:
        """Yield one answer an example, in the examples' order."""
        ...


class Metric(Protocol):
    """Measures an answer. `measure` gives sufficient statistics of one example, `value` maps many of them to a number.

    Corpus measures (macro-F1, BLEU, perplexity) are not means of per-example values: that is why the two are apart.
    """

    name: str
    higher_is_better: bool

    def measure(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """Return one example's row of sufficient statistics, always of the same length."""
        ...

    def value(self, rows: Any) -> Any:
        """Map rows `[..., n, k]` (a numpy array) to values `[...]`: vectorised over leading axes for resampling."""
        ...


class Stateful(Protocol):
    """Something whose state a checkpoint holds. Tensors and JSON values only."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return all that is needed to go on."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        ...
