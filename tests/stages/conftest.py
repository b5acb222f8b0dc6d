"""The end-to-end tests share their fixtures with those of the command line and of the faults."""

from small_runs import adapted, files, model, place, same_waves, taught, tuned

__all__ = ["adapted", "files", "model", "place", "same_waves", "taught", "tuned"]
