"""The Python API: the command line's verbs as functions.

    from luthier import load, adapt, tune, evaluate, compare

    run = adapt("tickets.csv", budget="10m")
    run.scores()              # a DataFrame
    run.verdict               # what `confirm` says
    load("runs/1").complete(...)

Each function makes (or goes on with) a run directory, the same that the command line makes.
"""

from luthier.api.adapting import adapt, plan
from luthier.api.files import clean, runs
from luthier.api.measuring import answer, compare, compare_judged, evaluate, judge
from luthier.api.running import resume, start
from luthier.api.tuning import load, merge, tune
from luthier.handle import Run

__all__ = [
    "Run",
    "adapt",
    "answer",
    "clean",
    "compare",
    "compare_judged",
    "evaluate",
    "judge",
    "load",
    "merge",
    "plan",
    "resume",
    "runs",
    "start",
    "tune",
]
