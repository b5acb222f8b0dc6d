"""Runs side by side: what each was, how it ended, what it takes on disk; and deleting them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from luthier.core.disk import check_deletable, delete_run, disk_use, is_at_work, runs_in, weights_use
from luthier.core.errors import ConfigError, LuthierError, RunError, nearest
from luthier.core.run import SCHEMA_VERSION, RunDirectory
from luthier.evaluation.metrics import METRICS, title_of
from luthier.reporting.blocks import Cell, CellLike, Column, Table, Text
from luthier.reporting.inline import escape
from luthier.reporting.quantities import Unit, quantity, size

DEFAULT_FOLDER = Path("runs")
COLUMNS = ["run", "stage", "status", "data", "model", "verdict", "created_at", "bytes", "weights_bytes"]
"""What is told of a run, see `describe_run`."""
_LONGEST_REASON = 60


# ------------------------------------------------------------------------------------------------------------ finding


def find_runs(folder: Path = DEFAULT_FOLDER, names: Sequence[str] = ()) -> list[Path]:
    """Return the run directories of a folder, or those that are named: by their name in the folder, or by a path.

    Raises:
        RunError: if there is no such folder (the default one may be missing), or no such run.
    """
    if not folder.is_dir() and folder != DEFAULT_FOLDER:
        raise RunError(f"There is no folder {folder}. Say where the runs are: luthier runs --in FOLDER.")
    if not names:
        return [run.path for run in runs_in(folder)]
    found, missing = [], []
    for name in dict.fromkeys(names):
        path = next((p for p in (folder / name, Path(name)) if RunDirectory.is_run(p)), None)
        if path is None and Path(name).exists():
            raise RunError(f"{name} is not a run directory (it has no manifest.json and recipe.yaml).")
        if path is None:
            missing.append(name)
        elif path not in found:
            found.append(path)
    if missing:
        there = [run.path.name for run in runs_in(folder)]
        held = f"{folder} holds: {', '.join(there[-10:])}." if there else f"{folder} holds no runs."
        raise RunError(f"No run {', '.join(missing)}; {held}{nearest(missing[0], there)}")
    return found


# --------------------------------------------------------------------------------------------------------- describing


def list_runs(folder: Path = DEFAULT_FOLDER, names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Describe the runs of a folder, or those that are named (see `find_runs`, `describe_run`)."""
    return [describe_run(path) for path in find_runs(folder, names)]


def describe_run(path: Path) -> dict[str, Any]:
    """Return a run as a line of a table.

    Returns:
        run (its path), stage, status, data, model, verdict (a few words), created_at (ISO 8601), bytes, weights_bytes
        (of its adapters, models and checkpoints, children included). `status` is one of running, paused, finished,
        failed; "stopped" where nobody is at work on a run that says it is running; "unreadable" where the manifest or
        the recipe is broken, or of a newer Luthier. What is not known is None.
    """
    run = RunDirectory(path)
    line: dict[str, Any] = dict.fromkeys(COLUMNS)
    line |= {"run": str(path), "bytes": disk_use(path), "weights_bytes": weights_use(run)}
    try:
        manifest, recipe = run.manifest, run.recipe
        newer = manifest.get("schema_version", 0) > SCHEMA_VERSION
        stage, status = str(manifest["stage"]), str(manifest["status"])
    except (OSError, ValueError, KeyError, TypeError, LuthierError):
        return line | {"status": "unreadable", "verdict": "the manifest or the recipe is broken"}
    if newer:
        return line | {"status": "unreadable", "verdict": "made by a newer Luthier", "stage": stage}
    if status == "running" and not is_at_work(run):
        status = "stopped"
    return line | {
        "stage": stage,
        "status": status,
        "data": _data_of(recipe),
        "model": recipe.get("model", recipe.get("answerer")),
        "verdict": verdict_in_words(manifest),
        "created_at": manifest.get("created_at"),
    }


def _data_of(recipe: Mapping[str, Any]) -> str | None:
    data = recipe.get("data")
    return data.get("path") if isinstance(data, dict) else None


def verdict_in_words(manifest: Mapping[str, Any]) -> str:
    """Say in a few words what a run found; an empty text where it has found nothing yet.

    The shapes are those of the stages: comparisons with rivals (adapt), one comparison (tune), a metric and its value
    (prompt, baseline, evaluate), counts of answers (answer).
    """
    verdict = manifest.get("verdict")
    if manifest.get("status") == "failed":
        return _first_line(str(manifest.get("reason", "")))
    if not isinstance(verdict, dict):
        return ""
    if "comparisons" in verdict:
        return _bake_off(str(manifest.get("chosen", "")).rpartition("/")[2], verdict)
    if {"base_value", "candidate_value", "verdict"} <= verdict.keys():
        values = " -> ".join(_score(verdict["metric"], verdict[key]) for key in ("base_value", "candidate_value"))
        return f"{title_of(verdict['metric'])} {values}: {verdict['verdict']}"
    if {"metric", "value"} <= verdict.keys():
        return f"{title_of(verdict['metric'])} {_score(verdict['metric'], verdict['value'])}"
    if "answers" in verdict:
        parts = [f"{verdict['answers']} answers", *(f"{verdict[k]} {k}" for k in ("cut", "failed") if verdict.get(k))]
        return ", ".join(parts)
    return _first_line(str(verdict.get("verdict", "")))


def _bake_off(winner: str, verdict: Mapping[str, Any]) -> str:
    """Name the winner, its score on `confirm`, whether every rival is beaten, and what became of the target."""
    comparisons = verdict["comparisons"] or []
    target = verdict.get("target")
    reached = {"shown": ", target reached", "not reached": ", target not reached", "not shown": ", target not shown"}
    end = reached.get(target["status"], "") if target else ""
    if not comparisons:
        return f"{winner}{end}"
    metric = comparisons[0]["metric"]
    beaten = [c["verdict"] == "better" for c in comparisons]
    rivals = {1: "its rival", 2: "both rivals"}.get(len(beaten), f"all {len(beaten)} rivals")
    claim = f"better than {rivals}" if all(beaten) else "better: not shown"
    return f"{winner} {title_of(metric)} {_score(metric, comparisons[0]['candidate_value'])}, {claim}{end}"


def _score(metric: str, value: float) -> str:
    """Write a score: in percent, unless its metric is no share."""
    unit: Unit = getattr(METRICS.get(metric), "unit", "share") if metric in METRICS else "share"
    return quantity(value, unit)


def _first_line(text: str) -> str:
    line = text.splitlines()[0] if text else ""
    return line if len(line) <= _LONGEST_REASON else f"{line[: _LONGEST_REASON - 2].rstrip()} …"


# ------------------------------------------------------------------------------------------------------------ showing


def runs_table(lines: Sequence[Mapping[str, Any]], now: datetime | None = None) -> Table | Text:
    """Tabulate runs, with what they take together; where there are none, say how to make one."""
    if not lines:
        return Text("No runs here yet. Start with: `luthier adapt YOUR_EXAMPLES.csv`")
    columns = [Column(title) for title in ("run", "stage", "status", "data", "model", "verdict")]
    columns += [Column("age", "right"), Column("disk", "right")]
    now = now or datetime.now(UTC)
    rows: list[list[CellLike]] = [
        [
            str(line["run"]),
            line["stage"] or "",
            Cell(line["status"], tone="bad" if line["status"] in ("failed", "unreadable") else "neutral"),
            Path(line["data"]).name if line["data"] else "",
            short_model(line["model"] or ""),
            line["verdict"] or "",
            age(line["created_at"], now),
            size(line["bytes"]),
        ]
        for line in lines
    ]
    return Table(columns, rows, caption=_together(lines))


def _together(lines: Sequence[Mapping[str, Any]]) -> str:
    total, weights = (sum(line[key] for line in lines) for key in ("bytes", "weights_bytes"))
    count = "1 run" if len(lines) == 1 else f"{len(lines)} runs"
    text = f"{count}, {size(total)}, of which {size(weights)} are weights."
    waiting = [line["run"] for line in lines if line["status"] in ("paused", "stopped")]
    return text + (f" Go on with what was interrupted: `luthier resume {escape(waiting[-1])}`" if waiting else "")


def short_model(name: str) -> str:
    """Shorten a path to its last two parts; a hub's or a built-in name stays as it is."""
    parts = Path(name).parts
    return name if len(parts) <= 2 else f"…/{'/'.join(parts[-2:])}"


def age(created_at: str | None, now: datetime) -> str:
    """Write how long ago something was made, in one unit: "5 min", "3 h", "12 d"; empty where it is not known."""
    try:
        seconds = (now - datetime.fromisoformat(created_at or "")).total_seconds()
    except (ValueError, TypeError):  # no time, or one without a zone
        return ""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return "now"


# ----------------------------------------------------------------------------------------------------------- deleting


def deletable_runs(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return what a deletion would remove, checked against all runs beside it.

    Raises:
        ConfigError: if nothing is named.
        RunError: if something must not be deleted (see `luthier.core.disk.check_deletable`).
    """
    if not names:
        raise ConfigError("Say which runs to delete, by number or path: luthier runs --delete 3 7.")
    paths = find_runs(folder, names)
    beside = {path.resolve(): path for path in (*(p.resolve().parent for p in paths), DEFAULT_FOLDER, folder)}
    check_deletable(paths, [run for place in beside.values() for run in runs_in(place)])
    return paths


def delete_runs(paths: Sequence[Path]) -> dict[str, Any]:
    """Delete runs for good; returns what was deleted and the bytes freed."""
    return {"deleted": [str(path) for path in paths], "bytes": sum(map(delete_run, paths))}
