"""What methods need against what a model has, in one place, before any weight is read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from luthier.core.errors import CompatibilityError
from luthier.models.facts import ModelFacts

_EXPLAINED = {
    "causal": "a decoder-only language model (a class named …ForCausalLM)",
}


class Needy(Protocol):
    """Anything that declares what it needs of a model."""

    name: str
    needs: frozenset[str]


def check_compatible(facts: ModelFacts, parts: Iterable[Needy]) -> None:
    """Stop where a part needs what the model does not have.

    Raises:
        CompatibilityError: naming the model, the part and what is missing.
    """
    for part in parts:
        missing = part.needs - facts.has
        if missing:
            wanted = ", ".join(_EXPLAINED.get(need, need) for need in sorted(missing))
            raise CompatibilityError(
                f"'{part.name}' needs {wanted}; {facts.name} is {facts.kind} ({facts.architecture}). "
                "Choose another --model: luthier list models."
            )
