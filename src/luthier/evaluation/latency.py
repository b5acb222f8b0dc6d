"""How long one request takes when it comes alone, as it does in use."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from luthier.core.protocols import Answerer
from luthier.core.types import Example

LATENCY_REQUESTS = 3


def median_latency_seconds(answerer: Answerer, examples: Sequence[Example], requests: int = LATENCY_REQUESTS) -> float:
    """Answer a few examples one at a time; return the median seconds of an answer.

    Args:
        answerer: Already used, so that nothing is loaded or compiled now.
        examples: The first `requests` of them are answered.
        requests: How many.
    """
    seconds = []
    for example in examples[:requests]:
        began = time.monotonic()
        list(answerer.answer([example]))
        seconds.append(time.monotonic() - began)
    return round(statistics.median(seconds), 4)
