"""Data: files in any dialect become examples, are understood, and are divided into tune, choose and confirm.

    dataset = read_examples("tickets.csv")              # sources, formats, guessing, mapping
    parts = split(dataset.examples, given=dataset.given)  # splits, overlap
    task = guess_task(parts.tune)                       # tasks, schema
    measure_diversity(parts.tune)                       # diversity

What a model is trained on is made of these in `chat_template` and `render`, which are imported by their own names.
"""

from __future__ import annotations

from luthier.data.diversity import Diversity, measure_diversity
from luthier.data.formats import FORMATS
from luthier.data.lengths import estimate_tokens, iterations, length_statistics, output_limit
from luthier.data.mapping import RowMapping
from luthier.data.options import ReadOptions
from luthier.data.overlap import remove_overlap
from luthier.data.rankings import read_rankings
from luthier.data.sources import Dataset, read_examples
from luthier.data.splits import Parts, split
from luthier.data.tasks import Task, guess_task

__all__ = [
    "FORMATS",
    "Dataset",
    "Diversity",
    "Parts",
    "ReadOptions",
    "RowMapping",
    "Task",
    "estimate_tokens",
    "guess_task",
    "iterations",
    "length_statistics",
    "measure_diversity",
    "output_limit",
    "read_examples",
    "read_rankings",
    "remove_overlap",
    "split",
]
