"""What a score is worth: intervals, paired tests, power. Rows are resampled by cluster; everything is seeded.

`Scores` holds one answerer's measured answers; `luthier.evaluation.comparison` compares two of them.
"""

from luthier.evaluation.statistics.intervals import Interval
from luthier.evaluation.statistics.power import power, rows_needed, smallest_difference
from luthier.evaluation.statistics.scores import Scores
from luthier.evaluation.statistics.significance import holm
from luthier.evaluation.statistics.targets import TargetCheck, against_target

__all__ = [
    "Interval",
    "Scores",
    "TargetCheck",
    "against_target",
    "holm",
    "power",
    "rows_needed",
    "smallest_difference",
]
