"""Answers, scores and comparisons, by metrics or by a judge."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.api.running import data_section, require_run_or_file, start
from luthier.core.errors import ConfigError
from luthier.core.listener import Listener, SilentListener
from luthier.core.stages import config_class
from luthier.handle import Run

if TYPE_CHECKING:
    from luthier.evaluation.comparison import Comparison


def evaluate(
    what: str | Path,
    data: str | Path,
    *,
    metrics: Sequence[str] = (),
    read: dict[str, Any] | None = None,
    kind: str | None = None,
    precision: str = "auto",
    samples: int = 1,
    temperature: float | None = None,
    seed: int = 0,
    export: str | None = None,
    judge: str | Path | None = None,
    rubric: str | Path | None = None,
    **running: Any,
) -> Run:
    """Score a run, a model or a file of finished answers on labelled rows.

    Args:
        what: A run directory, a model, or an answers file (`.jsonl`).
        data: Rows with right answers; for a run that was tuned on raw text, or with the kind "corpus", text.
        metrics: Names of metrics; those of the task by default.
        read: How to read the file; a run knows it.
        kind: Kind of task; guessed if left out.
        precision: fp32, bf16, or auto.
        samples: Sampled answers to each row, whose mean counts.
        temperature: At which answers are sampled, 0 or more; by default the run's own, else 0 (greedy).
        seed: Of the first sample; each further one adds 1.
        export: "csv" or "parquet", to write a table with a row an example into the run directory too.
        judge: A model that grades the answers, or the run of `judge` that measured one; rows then need no right
            answers.
        rubric: What the judge is told, a YAML or Markdown file; ours by default.
        running: run, overwrite, listener, stop (see `start`).
    """
    require_run_or_file(what)
    values = {
        "answerer": str(what),
        "data": data_section(data, read, kind, 0),
        "metrics": list(metrics),
        "precision": precision,
        "sampling": {"samples": samples, "temperature": temperature, "seed": seed},
        "export": export,
        "judge": judge_section(judge, rubric),
    }
    return start("evaluate", config_class("evaluate").parse(values, "evaluate"), **running)


def answer(
    what: str | Path, data: str | Path, *, read: dict[str, Any] | None = None, precision: str = "auto", **running: Any
) -> Run:
    """Answer new, unlabelled rows; the answers are in the run's `answers.jsonl`.

    Args:
        what: A run directory or a model.
        data: Rows without answers, with the columns that the run was made from.
        read: How to read the file; a run knows it.
        precision: fp32, bf16, or auto.
        running: run, overwrite, listener, stop (see `start`).
    """
    require_run_or_file(what)
    values = {"answerer": str(what), "data": data_section(data, read, None, 0), "precision": precision}
    return start("answer", config_class("answer").parse(values, "answer"), **running)


def compare(
    base: str | Path | Sequence[str | Path],
    *candidates: str | Path | Sequence[str | Path],
    data: str | Path | None = None,
    metrics: Sequence[str] = (),
    margin: float | None = None,
    read: dict[str, Any] | None = None,
    kind: str | None = None,
    precision: str = "auto",
    listener: Listener | None = None,
) -> list[Comparison]:
    """Compare answerers on the same rows: each candidate against the base, claims adjusted together.

    Runs of one method with different seeds, as a list or joined by commas ("runs/1,runs/2"), stand for the method: the
    verdict then holds for other seeds too.

    Args:
        base: What is to be beaten: a run, a model, an answers file, or a group of runs.
        candidates: What is compared with it.
        data: Labelled rows; without them runs are compared on the rows they were proved on.
        metrics: Metrics to compare by; the task's primary one by default.
        margin: A difference that would not matter, in the metric's unit.
        read: How to read the file, such as {"cluster": "customer"}.
        kind: Kind of task; guessed if left out.
        precision: fp32, bf16, or auto.
        listener: Told of progress.
    """
    from luthier.stages.compare import compare_all

    if not candidates:
        raise ConfigError("compare needs two or more: luthier compare A B [C …].")
    section = data_section(data, read, kind, 0) if data is not None else None
    return compare_all([base, *candidates], section, metrics, margin, precision, listener or SilentListener())


def judge(
    model: str | Path,
    pairs: str | Path,
    *,
    rubric: str | Path | None = None,
    by: str = "pairs",
    columns: dict[str, str] | None = None,
    read: dict[str, Any] | None = None,
    precision: str = "auto",
    **running: Any,
) -> Run:
    """Measure how far a judge agrees with people on pairs of answers that they labelled.

    Args:
        model: The model that judges.
        pairs: A file with two answers and a label a row, or of preferences.
        rubric: What the judge is told, a YAML or Markdown file; ours by default.
        by: "pairs", to compare two answers in both orders; "grades", to grade each.
        columns: first, second and label: where they stand; found by usual names if left out.
        read: How to read the file, such as {"cluster": "customer"}.
        precision: fp32, bf16, or auto.
        running: run, overwrite, listener, stop (see `start`).
    """
    values = {
        "judge": judge_section(model, rubric),
        "data": data_section(pairs, read, None, 0),
        "columns": columns or {},
        "by": by,
        "precision": precision,
    }
    return start("judge", config_class("judge").parse(values, "judge"), **running)


def compare_judged(
    base: str | Path,
    *candidates: str | Path,
    data: str | Path | None,
    judge: str | Path | None,
    rubric: str | Path | None = None,
    metrics: Sequence[str] = (),
    margin: float | None = None,
    read: dict[str, Any] | None = None,
    kind: str | None = None,
    precision: str = "auto",
    **running: Any,
) -> Run:
    """Compare answerers by a judge's verdicts on pairs of their answers: each candidate against the base.

    Args:
        base: What is to be beaten: a run, a model, an answers file.
        candidates: What is compared with it.
        data: Rows; they need no right answers.
        judge: A model, or the run of `judge` that measured one.
        rubric: What the judge is told, a YAML or Markdown file; ours by default.
        metrics: None: the judge is the measure.
        margin: Distance of a win rate from a half that would not matter, such as 0.05.
        read: How to read the file; a run knows it.
        kind: Kind of task; guessed if left out.
        precision: fp32, bf16, or auto.
        running: run, overwrite, listener, stop (see `start`).
    """
    names = [str(one) for one in (base, *candidates)]
    if judge is None:
        raise ConfigError("--rubric and --run are for comparisons by a judge. Name one: --judge MODEL.")
    if data is None:
        raise ConfigError("A judge compares answers to rows: name their file with --data FILE.")
    if metrics:
        raise ConfigError("A comparison is by metrics or by a judge: leave --metrics or --judge out.")
    if group := next((name for name in names if "," in name and not os.path.exists(name)), None):
        raise ConfigError(f"A judge compares single answerers, and {group} is a group. Name one of its runs.")
    for name in names:
        require_run_or_file(name)
    section = data_section(data, read, kind, 0)
    values = {"answerers": names, "data": section, "judge": judge_section(judge, rubric)}
    recipe = config_class("compare").parse(values | {"margin": margin, "precision": precision}, "compare")
    return start("compare", recipe, **running)


def judge_section(judge: str | Path | None, rubric: str | Path | None) -> dict[str, Any] | None:
    """Return the `judge` section of a recipe; None without a judge."""
    from luthier.evaluation.judges.judge import judge_settings

    if judge is None:
        if rubric is not None:
            raise ConfigError("A rubric is for a judge. Name one: --judge MODEL.")
        return None
    return judge_settings(str(judge), None if rubric is None else Path(rubric))
