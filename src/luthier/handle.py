"""What the verbs of the Python API return: a run directory as an object, for notebooks and scripts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.core.run import RunDirectory
from luthier.core.types import Answer

if TYPE_CHECKING:
    import pandas

    from luthier.evaluation.statistics import Scores


class Run:
    """A finished (or paused) run, for notebooks and scripts."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.directory.path

    @property
    def status(self) -> str:
        """One of running, paused, finished, failed."""
        return self.directory.status

    @property
    def verdict(self) -> Any:
        """The verdict as JSON; None while there is none."""
        return self.directory.manifest.get("verdict")

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.path / "report.html"

    def scores_of(self) -> dict[str, Scores]:
        """Return every stored evaluation of the run and its children, by name."""
        from luthier.evaluation.statistics import Scores

        found = {}
        for directory in (self.directory, *self.directory.children()):
            prefix = "" if directory is self.directory else f"{directory.path.name}/"
            for file in sorted((directory.path / "steps").glob("scores*.json")):
                found[prefix + file.stem.removeprefix("scores_")] = Scores.from_json(directory.step(file.stem))
        return found

    def scores(self) -> pandas.DataFrame:
        """Return a line an evaluation and metric: evaluation, metric, value, low, high, rows."""
        import pandas

        lines = []
        for name, scores in self.scores_of().items():
            for metric in scores.names:
                found = scores.interval(metric)
                lines.append((name, metric, found.value, found.low, found.high, len(scores)))
        return pandas.DataFrame(lines, columns=["evaluation", "metric", "value", "low", "high", "rows"])

    def answers(self, evaluation: str) -> list[Answer]:
        """Return the answers of one evaluation, such as "confirm"."""
        from luthier.evaluation.answering import stored_answers

        return stored_answers(self.directory, evaluation)

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        manifest = self.directory.manifest
        scores = {name: {m: _score_json(s, m) for m in s.names} for name, s in self.scores_of().items()}
        kept = ("stage", "status", "chosen", "verdict", "data", "model", "answers", "sampling", "export")
        return {"run": str(self.path), **{k: manifest[k] for k in kept if k in manifest}, "scores": scores}

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.directory.manifest['stage']}, {self.status})"


def _score_json(scores: Scores, metric: str) -> dict[str, Any]:
    found, signature = scores.interval(metric), scores.signature(metric)
    figures = {"value": found.value, "low": found.low, "high": found.high, "rows": len(scores)}
    return figures | ({"signature": signature} if signature else {})
