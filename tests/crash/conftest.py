"""The fixtures of the end-to-end tests are these tests' too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from small_runs import adapted, files, model, place, taught, tuned

__all__ = ["adapted", "files", "model", "place", "taught", "tuned"]
