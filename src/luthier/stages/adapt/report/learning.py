"""How the tuned candidate learned."""

from __future__ import annotations

from luthier.reporting.blocks import Block, Heading, Text
from luthier.reporting.inline import escape
from luthier.stages.adapt.choosing import Entry
from luthier.stages.adapt.findings import Findings
from luthier.stages.blocks import curves

_WHAT = (
    "How {title} learned, step by step. A falling loss on the rows to tune proves nothing: rows can be learned by "
    "heart. The line of the rows to choose, which were not learned from, should fall with it."
)


def learning_section(found: Findings) -> list[Block]:
    """Draw the learning curves of the tuned candidate."""
    tuned = tuned_candidate(found)
    drawn = curves(tuned.run) if tuned else []
    if tuned is None or not drawn:
        return []
    return [Heading("How it learned"), Text(_WHAT.format(title=escape(tuned.title))), *drawn]


def tuned_candidate(found: Findings) -> Entry | None:
    """Return the candidate whose training is shown: the winner's, else the longest one that was tried."""
    trained = [entry for entry in found.entries if entry.candidate.stage == "tune"]
    return found.choice.tuned or (trained[-1] if trained else None)
