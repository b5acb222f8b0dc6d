"""Retention: does a tuned model still know what it knew?

    before = retention_of_base(base, run)                 # answers to general questions, perplexity of general text
    after = retention(tuned, run, "retention_after")
    compare_retention(before, after).sentence()           # "no worse than 5 points: shown (-0.5 [-3.0, +2.0]); …"

Questions and text are Luthier's own and lie in `luthier/data/general`. What loads a model is imported by its own name
(`luthier.evaluation.retention.perplexity`).
"""

from luthier.evaluation.retention.base import retention_of_base
from luthier.evaluation.retention.forgetting import Forgetting, KindRetained, compare_retention
from luthier.evaluation.retention.material import General, passages, questions
from luthier.evaluation.retention.retained import Retained, ended, retention

__all__ = [
    "Forgetting",
    "General",
    "KindRetained",
    "Retained",
    "compare_retention",
    "ended",
    "passages",
    "questions",
    "retention",
    "retention_of_base",
]
