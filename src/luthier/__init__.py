"""Luthier adapts language models and proves that it helped.

The life of an adaptation, in eight lines:

    from luthier import adapt, answer, compare, evaluate, load, tune

    run = adapt("tickets.csv", budget="10m")            # tries what could help, cheapest first
    run.verdict                                         # what rows say that nothing was chosen on
    run.scores()                                        # every candidate with its interval, as a DataFrame
    tuned = tune("tickets.csv", ["training.epochs=4"])  # one adaptation, every setting in your hands
    compare(run.path, tuned.path)                       # paired, on the same rows
    evaluate(tuned.path, "more_tickets.csv")            # on rows that came later
    load(tuned.path)                                    # the model itself

Importing this module imports no torch; what needs it is imported when it is first used.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# oneDNN keeps 1,024 compiled products by default; a packed row rarely has the same length twice, and they grow to a
# gigabyte within a minute of training without a step becoming quicker. It reads this when torch first computes.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")

_PUBLIC = (
    "Run", "adapt", "answer", "clean", "compare", "compare_judged", "evaluate", "judge", "load", "merge", "resume",
    "runs", "tune",
)  # fmt: skip

if TYPE_CHECKING:
    from luthier.api import (
        Run,
        adapt,
        answer,
        clean,
        compare,
        compare_judged,
        evaluate,
        judge,
        load,
        merge,
        resume,
        runs,
        tune,
    )

__all__ = [
    "Run",
    "__version__",
    "adapt",
    "answer",
    "clean",
    "compare",
    "compare_judged",
    "evaluate",
    "judge",
    "load",
    "merge",
    "resume",
    "runs",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module("luthier.api"), name)
    raise AttributeError(f"module 'luthier' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
