"""The Python API: the command line's verbs as functions.

    from luthier import load, adapt, tune, evaluate, compare

    run = adapt("tickets.csv", budget="10m")
    run.scores()              # a DataFrame
    run.verdict               # what `confirm` says
    load("runs/1").complete(...)

Each function makes (or goes on with) a run directory, the same that the command line makes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.core.config import Config, lines_left, with_overrides
from luthier.core.errors import ConfigError, LuthierError, RunError
from luthier.core.listener import Listener, SilentListener
from luthier.core.recipe_text import RecipeText, load_recipe
from luthier.core.run import RunDirectory
from luthier.core.sealed import SEAL
from luthier.core.stages import config_class, recipe_of, run_stage
from luthier.core.stopping import StopFlag
from luthier.handle import Run

if TYPE_CHECKING:
    import pandas

    from luthier.evaluation.comparison import Comparison
    from luthier.generation.local import LocalModel


def load(
    model: str | Path, *, precision: str = "auto", device: str = "auto", listener: Listener | None = None
) -> LocalModel:
    """Load a model, adapter or run, ready to complete requests.

    Args:
        model: A hub name, local folder, PEFT folder, run directory or built-in name.
        precision: fp32, bf16, or auto.
        device: cpu, cuda, mps, or auto.
        listener: Told of downloads.
    """
    from luthier.evaluation.opening import reading_weights
    from luthier.generation.local import open_local
    from luthier.models.source import find_model

    _require_there(model)
    source = find_model(str(model), listener)
    with reading_weights(source):
        return open_local(source, precision=precision, device=device)


def start(
    stage: str,
    recipe: Config,
    *,
    run: str | Path | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
    stop: StopFlag | None = None,
) -> Run:
    """Run a stage in a new run directory; where nothing could be done, none is left."""
    directory = RunDirectory.create(Path(run) if run else None, stage, recipe, overwrite=overwrite, listener=listener)
    directory.stop = directory.stop if stop is None else stop
    try:
        run_stage(stage, recipe, directory)
    except (LuthierError, OSError) as error:
        if directory.made_something:
            error.add_note(_kept(directory))
        raise
    finally:
        directory.settle()
    return Run(directory)


def _kept(run: RunDirectory) -> str:
    return f"What was done is kept in {run.path}; luthier resume {run.path} goes on with it."


def resume(run: str | Path, *, listener: Listener | None = None, stop: StopFlag | None = None) -> Run:
    """Go on with an interrupted run; a finished one is returned as it is."""
    _require_there(run)
    directory = RunDirectory.open(Path(run), listener)
    directory.stop = directory.stop if stop is None else stop
    stage, status = directory.manifest["stage"], directory.status
    if status == "finished":
        directory.tidy()
        directory.listener.say(f"`{directory.path}` ({stage}) is finished: there is nothing left to do.")
        return Run(directory)
    directory.listener.say(f"Going on with `{directory.path}` ({stage}).")
    with _begun_elsewhere(directory.path):
        try:
            run_stage(stage, recipe_of(directory), directory)
        except OSError as error:
            error.add_note(_kept(directory))
            raise
    directory.settle()
    return Run(directory)


@contextmanager
def _begun_elsewhere(run: Path) -> Iterator[None]:
    """Say with an error that the paths in a run's recipe are seen from another folder, if they are."""
    try:
        yield
    except LuthierError as error:
        begun_in = os.getcwd()
        with suppress(LuthierError):  # a manifest that cannot be read is what the error is about
            begun_in = RunDirectory(run).manifest.get("folder", begun_in) if RunDirectory.is_run(run) else begun_in
        if begun_in != os.getcwd():
            error.add_note(f"The run was begun in {begun_in}: the paths in its recipe are seen from there.")
        raise


def adapt(
    data: str | Path,
    *,
    model: str | None = None,
    target: float | None = None,
    budget: str | float = "10m",
    read: dict[str, Any] | None = None,
    kind: str | None = None,
    precision: str = "auto",
    seed: int = 0,
    cross_validate: int | None = None,
    candidates: Sequence[str] = (),
    keep: str = "winner",
    redact: bool = False,
    **running: Any,
) -> Run:
    """Try what could help on the examples of a file, and prove what did.

    Args:
        data: A file or folder of examples; or a run of adapt, to go on from with a larger budget. Its rows, recipe and
            division are kept, and what it has finished is not computed again; nothing but `budget` and `redact` can be
            changed.
        model: The model to adapt; the built-in one by default.
        target: A score that would be good enough, such as 0.8.
        budget: Time for everything: seconds, "90s", "10m".
        read: How to read the file: prompt, answer, system, cluster, id, split (see `luthier.data.options`).
        kind: Kind of task; guessed if left out.
        precision: fp32, bf16, or auto.
        seed: Seed of the split, initialisation and order.
        cross_validate: Number of folds, for few rows: every row is confirmed once.
        candidates: What is tried beside the rivals without a model, by name; all that fits if left out.
        keep: Whose weights stay when the winner is known: winner or all.
        redact: Leave rows, answers, labels and prompts out of report.html and card.md; only figures remain.
        running: run, overwrite, listener, stop (see `start`).

    Raises:
        DataError, ModelError, BudgetError: each says what to do.
    """
    recipe = _adapt_recipe(
        data, budget, read, kind, model=model, target=target, precision=precision, seed=seed,
        cross_validate=cross_validate, candidates=list(candidates), keep=keep,
    )  # fmt: skip
    if redact:
        recipe = recipe.model_copy(update={"redact": True})
    with _begun_elsewhere(Path(data)):
        return start("adapt", recipe, **running)


def plan(
    data: str | Path,
    *,
    model: str | None = None,
    target: float | None = None,
    budget: str | float = "10m",
    read: dict[str, Any] | None = None,
    kind: str | None = None,
    precision: str = "auto",
    seed: int = 0,
    cross_validate: int | None = None,
    candidates: Sequence[str] = (),
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Return what `adapt` would try, and show it; takes the same arguments, leaves no run directory."""
    import tempfile

    from luthier.stages.adapt import show_what_would_be_tried

    recipe: Any = _adapt_recipe(
        data, budget, read, kind, model=model, target=target, precision=precision, seed=seed,
        cross_validate=cross_validate, candidates=list(candidates),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, _begun_elsewhere(Path(data)):
        directory = RunDirectory.create(Path(folder) / "plan", "adapt", recipe, listener=listener)
        return show_what_would_be_tried(recipe, directory).to_json()


def _adapt_recipe(
    data: str | Path, budget: str | float, read: dict[str, Any] | None, kind: str | None, **settings: Any
) -> Config:
    """Return the recipe; `settings` are its other fields, those at their default left out of the question."""
    asked = {name: value for name, value in settings.items() if value not in (None, "auto", 0, (), [], "winner")}
    if RunDirectory.is_run(Path(data)):
        names = [name for name, value in {"read": read, "kind": kind}.items() if value]
        return _recipe_to_go_on(Path(data), budget, [_OPTIONS.get(name, name) for name in (*asked, *names)])
    section = data_section(data, read, kind, settings.get("seed", 0))
    return config_class("adapt").parse({"data": section, "budget_seconds": budget, **asked}, "adapt")


_OPTIONS = {"cross_validate": "cross-validate", "candidates": "try"}
"""What settings are called on the command line, where that is otherwise."""


def _recipe_to_go_on(run: Path, budget: str | float, given: Sequence[str]) -> Config:
    from luthier.stages.adapt.earlier import recipe_to_go_on

    recipe = recipe_to_go_on(run, budget)
    if given:
        raise ConfigError(
            f"{run} says itself what is adapted, and how; only its budget can be changed, not: {', '.join(given)}. "
            f"For other settings begin anew: luthier adapt {recipe.data.path}."
        )
    return recipe


def tune(
    what: str | Path,
    overrides: Sequence[str] = (),
    *,
    model: str | None = None,
    read: dict[str, Any] | None = None,
    kind: str | None = None,
    **running: Any,
) -> Run:
    """Tune a model: one adaptation by training, with the proof of what it did.

    Args:
        what: A data file or folder, or a recipe (`.yaml`). With the override "objective=causal_lm" a corpus: a text, a
            table of texts, or a folder of these.
        overrides: Changes of the recipe, such as "training.learning_rate=1e-4".
        model: The model; the built-in one by default.
        read: How to read the file (see `luthier.data.options`).
        kind: Kind of task; guessed if left out.
        running: run, overwrite, listener, stop (see `start`).
    """
    path = Path(what)
    is_recipe = path.suffix in (".yaml", ".yml")
    text = load_recipe(path) if is_recipe else RecipeText({"data": data_section(what, read, kind, 0)}, {})
    values = text.values
    if is_recipe and (read or kind):
        raise ConfigError(
            "A recipe says itself how its data is read; change it with overrides such as data.read.prompt=…."
        )
    if model is not None:
        values |= {"model": model}
    changed = with_overrides(values, overrides)
    if is_recipe:
        recipe = config_class("tune").parse(changed, str(path), lines_left(text.lines, overrides))
    else:
        recipe = config_class("tune").parse(changed, "tune")
    return start("tune", recipe, **running)


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
    _require_there(what)
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
    _require_there(what)
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
        _require_there(name)
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


def merge(run: str | Path, folder: str | Path | None = None) -> Path:
    """Merge a run's adapter into its base and write a plain model; returns its folder.

    Raises:
        RunError: if the run has no adapter, or the folder exists.
    """
    from luthier.evaluation.opening import reading_weights, winner_of
    from luthier.generation.merging import merge_adapter
    from luthier.models.source import find_model

    _require_there(run)
    directory = winner_of(RunDirectory.open(Path(run)))
    directory = directory.named_run(str(directory.recipe.get("model"))) or directory
    if not (directory.path / "adapter").exists():
        raise RunError(f"{directory.path} has no adapter to merge.")
    target = Path(folder) if folder else directory.path / "merged"
    with reading_weights(find_model(str(directory.path / "adapter"))):
        merged = merge_adapter(directory.path / "adapter", target)
    if merged.parent == directory.path:
        directory.files.record(f"{merged.name}/{SEAL}", (merged / SEAL).read_bytes())
    return merged


def data_section(data: str | Path, read: dict[str, Any] | None, kind: str | None, seed: int) -> dict[str, Any]:
    """Return the `data` section of a recipe."""
    if RunDirectory.is_run(Path(data)):
        raise ConfigError(
            f"{data} is a run directory, not data. Go on with it: luthier resume {data}. Its recipe can be run again: "
            f"luthier tune {data}/recipe.yaml."
        )
    given = {key: value for key, value in (read or {}).items() if value is not None}
    return {"path": str(data), "read": given, "kind": kind, "seed": seed}


def _require_there(spec: str | Path) -> None:
    """Stop where a run or a file was meant and nothing is there, before anything is made or fetched."""
    from luthier.evaluation.opening import require_there

    require_there(str(spec))


def runs(folder: str | Path = "runs") -> pandas.DataFrame:
    """Return a line a run of a folder: run, stage, status, data, model, verdict, created_at, bytes, weights_bytes.

    Args:
        folder: Where the runs are; `runs`, the default one, may be missing.

    Raises:
        RunError: if there is no such folder.
    """
    import pandas

    from luthier.stages.runs import COLUMNS, list_runs

    found = pandas.DataFrame(list_runs(Path(folder)), columns=COLUMNS)
    return found.assign(created_at=pandas.to_datetime(found["created_at"], utc=True))


def clean(
    data: str | Path,
    out: str | Path | None = None,
    *,
    rules: Sequence[str] = (),
    settings: Sequence[str] = (),
    read: dict[str, Any] | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Write a cleaned copy of a data file, and beside it which rows were removed or changed, and why.

    Args:
        data: A CSV, JSON, JSON Lines or Parquet file; it stays as it is.
        out: The copy; FILE.clean.SUFFIX beside the file if left out.
        rules: Names of rules (`luthier.data.cleaning.RULES`); "default", or none, for duplicates, length, repetition.
        settings: Settings of the rules, such as "length.most_words=500".
        read: How to read the file (see `luthier.data.options`).
        dry_run: Write nothing.
        overwrite: Replace the copy if it exists.
        listener: Told what was found.

    Returns:
        rows, kept, removed, changed; under "rules" each rule's counts and samples; the files written, out and log.

    Raises:
        ConfigError, DataError, MissingExtraError: each says what to do.
    """
    from luthier.stages.cleaning import clean_data

    return clean_data(
        str(data),
        None if out is None else str(out),
        rules,
        with_overrides({}, settings),
        {key: value for key, value in (read or {}).items() if value is not None},
        listener or SilentListener(),
        dry_run=dry_run,
        overwrite=overwrite,
    )
