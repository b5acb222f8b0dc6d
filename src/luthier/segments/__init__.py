"""The batch: a forest of segments, its targets, its two layouts. Knows no model.

Shape letters: T tokens of the packed row, B rows, S columns of the padded layout, P target positions, U sequences,
G groups.
"""

from luthier.segments.forest import Batch, Segment, Targets, join, sequence_batch
from luthier.segments.layouts import AttentionPlan, PackedLayout, RowsLayout, Span
from luthier.segments.on_demand import BatchesOnDemand
from luthier.segments.prefixes import share

__all__ = [
    "AttentionPlan",
    "Batch",
    "BatchesOnDemand",
    "PackedLayout",
    "RowsLayout",
    "Segment",
    "Span",
    "Targets",
    "join",
    "sequence_batch",
    "share",
]
