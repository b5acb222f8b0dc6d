"""Cross-validation: K bake-offs, each confirmed on its own fold, so that every row is confirmed by models that never
saw it.

All folds run the same candidates: the machine is measured once, on the first fold, and one plan serves all. Each fold
chooses on its own rows to choose. What is judged is therefore the way, "let adapt choose and train on such rows", over
rows and over K trainings; not one model. So that there is one to use, the candidate that most folds chose is trained
once more with no fold set aside; it is known by the pooled score and has none of its own.

The budget has K + 1 shares: one a fold, and one for that last training. A fold that takes longer than its share goes on
with the same candidates for as long again (folds that tried different things say little together); what is left out
first where time runs short is the last training.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from functools import partial

from luthier.core.budget import Stopwatch
from luthier.core.disk import forget_losers
from luthier.core.run import RunDirectory
from luthier.core.stages import config_class, run_stage
from luthier.data.splits import Parts
from luthier.data.tasks import guess_task
from luthier.evaluation.statistics import Scores
from luthier.reporting.blocks import Row
from luthier.reporting.inline import escape
from luthier.stages.adapt.candidates import Candidate
from luthier.stages.adapt.choosing import Entry, choose, forgetting_of
from luthier.stages.adapt.earlier import earlier_run, looks_at_confirm, measure, seen_before, take_over
from luthier.stages.adapt.folds_found import Final, Fold, FoldsFound
from luthier.stages.adapt.folds_report import write_fold_reports
from luthier.stages.adapt.folds_screen import show_fold_plan
from luthier.stages.adapt.plan import NO_TIME, Plan, make_plan
from luthier.stages.adapt.pooling import favourite_of, pool
from luthier.stages.adapt.recipe import Config
from luthier.stages.adapt.running import ProgressOf, attempt
from luthier.stages.material import DataConfig, Material, read_material


def cross_validate(config: Config, run: RunDirectory) -> None:
    """Plan once, run a bake-off a fold, train what most of them chose on all rows, pool, report."""
    watch, earlier = Stopwatch(run.files), earlier_run(config)
    try:
        material = seen_before(_all_rows(config, run), run, earlier)
        parts = _parts_of_folds(config, material)
        plan = _plan_once(config, material, run)
        run.listener.show(Row("run", f"`{escape(str(run.path))}`"))
        show_fold_plan(run, config, material, parts, plan)
        folds = []
        for number in range(1, _count(config) + 1):
            folds.append(_run_fold(config, material, plan, number, run))
            watch.save()
        final = _train_final(config, material, folds, watch, run)
        run.update(chosen=str(final.run.path.relative_to(run.path)))
        proof = pool(folds, material, run, final.run.path.name, config.target)
        if plan.retention and final.tuned is not None:
            proof = replace(proof, forgetting=forgetting_of(final.tuned, config.precision, run))
    finally:
        watch.save()
    write_fold_reports(
        run, config, FoldsFound(material, tuple(parts), plan, tuple(folds), proof, final, watch.seconds())
    )
    if config.keep == "winner":
        forget_losers(run, final.kept)
    run.finish(proof.to_json(folds, material.task.metric) | {"earlier_looks": looks_at_confirm(earlier)})


def show_folds_that_would_be_tried(config: Config, run: RunDirectory) -> Plan:
    """Plan in a run directory that is thrown away, and show the plan."""
    material = seen_before(_all_rows(config, run), run, earlier_run(config))
    parts = _parts_of_folds(config, material)
    plan = _plan_once(config, material, run)
    show_fold_plan(run, config, material, parts, plan)
    return plan


def _plan_once(config: Config, material: Material, run: RunDirectory) -> Plan:
    """Measure the machine on the first fold's rows, plan for a fold's share of the budget, freeze the plan."""

    def make() -> Plan:
        first = _fold_config(config, material, 1)
        share = first.model_copy(update={"budget_seconds": config.budget_seconds / (_count(config) + 1)})
        rows = read_material(first.data)
        plan = make_plan(share, rows, measure(config, rows, run))
        return replace(plan, left_out=[(title, _of_all_folds(why, config)) for title, why in plan.left_out])

    return run.once("plan", make, Plan.from_json)


def _count(config: Config) -> int:
    assert config.cross_validate is not None
    return config.cross_validate


def _of_all_folds(reason: str, config: Config) -> str:
    """Return a reason whose budget is that of the whole, where it was a fold's share."""
    shares = _count(config) + 1
    if not reason.startswith(NO_TIME):
        return reason
    return re.sub(r"--budget (\d+)m", lambda found: f"--budget {int(found[1]) * shares}m", reason)


# -------------------------------------------------------------------------------------------------------------- rows


def _all_rows(config: Config, run: RunDirectory) -> Material:
    """Read the rows; tune and choose are those of the last training, and all rows are confirmed."""
    whole = read_material(_data_of(config, None, 0), run)
    examples = whole.dataset.examples
    kept = [line for line in run.files.lines("parts.jsonl") if line["part"] != "confirm"]
    lines = [*kept, *({"part": "confirm", **example.to_json()} for example in examples)]
    run.files.write_lines("parts.jsonl", lines)
    parts = replace(whole.parts, confirm=examples)
    run.update(data=run.manifest["data"] | {"parts": parts.sizes, "folds": _count(config)})
    return replace(whole, parts=parts, task=guess_task(examples, config.data.kind))


def _parts_of_folds(config: Config, material: Material) -> list[Parts]:
    """Divide the rows for every fold, so that what cannot be divided is known before anything is spent."""
    return [read_material(_fold_config(config, material, n).data).parts for n in range(1, _count(config) + 1)]


def _data_of(config: Config, kind: str | None, number: int) -> DataConfig:
    """Return the data of a fold. The kind of task is the same in all of them; labels and schema each finds itself."""
    return config.data.model_copy(update={"fold": [number, _count(config)], "kind": kind or config.data.kind})


def _fold_config(config: Config, material: Material, number: int) -> Config:
    """Return the recipe of a fold's bake-off."""
    earlier = f"{config.continues}/children/fold_{number}" if config.continues else None
    return config.model_copy(
        update={
            "data": _data_of(config, material.task.kind, number),
            "budget_seconds": 2 * config.budget_seconds / (_count(config) + 1),  # for candidates that begin late
            "cross_validate": None,
            "continues": earlier,
        }
    )


# ------------------------------------------------------------------------------------------------------------- folds


def _run_fold(config: Config, material: Material, plan: Plan, number: int, run: RunDirectory) -> Fold:
    """Run a fold's bake-off with the plan of all folds; general questions are kept for the last training."""
    run.check_stop()
    recipe = _fold_config(config, material, number)
    child = run.child(f"fold_{number}", "adapt", recipe)
    child.listener = ProgressOf(f"fold {number} of {_count(config)}", run.listener)
    own = replace(plan, candidates=tuple(_on(c, recipe.data) for c in plan.candidates), retention=False)
    child.once("plan", lambda: own, Plan.from_json)
    run_stage("adapt", recipe, child)
    rows = read_material(recipe.data)
    entries = [_entry(candidate, child, rows) for candidate in own.candidates if _has_run(candidate, child)]
    return Fold(number, child, rows, tuple(entries), choose(entries, rows.task.metric))


def _on(candidate: Candidate, data: DataConfig) -> Candidate:
    return replace(candidate, recipe={**candidate.recipe, "data": data.model_dump(mode="json")})


def _has_run(candidate: Candidate, fold: RunDirectory) -> bool:
    path = fold.path / "children" / candidate.name
    return RunDirectory.is_run(path) and RunDirectory(path).status == "finished"


def _entry(candidate: Candidate, fold: RunDirectory, rows: Material) -> Entry:
    child = RunDirectory(fold.path / "children" / candidate.name)
    return Entry(candidate, child, Scores.from_json(child.step("scores_choose")), rows)


# ----------------------------------------------------------------------------------------------------- one to use


def _train_final(config: Config, material: Material, folds: list[Fold], watch: Stopwatch, run: RunDirectory) -> Final:
    """Train what most folds chose once more, with no fold set aside; else take the fold that chose best."""
    metric = material.task.metric
    steps = _last_steps(folds, favourite_of(folds, metric))
    reason, made = run.once("skipped_final", partial(_too_late, config, steps, watch, run)), None
    for name, candidate in steps:
        if not reason:
            reason, made = _make(config, material, name, candidate, made, run)
    if not reason and made is not None:
        last = steps[-1][1]
        tuned = run.path / "children" / steps[0][0] if last.kind == "tuned" else None
        return Final(last, made, "", RunDirectory(tuned) if tuned else None, {name for name, _ in steps})
    best = _best_fold(folds, metric)
    winner, of_winner = best.choice.winner, best.choice.tuned
    return Final(winner.candidate, winner.run, reason, of_winner.run if of_winner else None, {best.run.path.name})


def _last_steps(folds: list[Fold], favourite: Candidate) -> list[tuple[str, Candidate]]:
    """Return the child runs that make the favourite: itself, and before it the tuned model that it answers with."""
    last = ("final", favourite)
    if favourite.on != "tuned":
        return [last]
    winners = [fold.choice for fold in folds if fold.choice.winner.name == favourite.name]
    bases = Counter(choice.tuned.name for choice in winners if choice.tuned is not None)
    (name, _), *_ = bases.most_common(1)
    return [("final_tuned", next(e.candidate for fold in folds for e in fold.entries if e.name == name)), last]


def _make(
    config: Config, material: Material, name: str, candidate: Candidate, before: RunDirectory | None, run: RunDirectory
) -> tuple[str, RunDirectory]:
    """Make a candidate with no fold set aside, on the run made before it if there is one; says why if it failed."""
    values = dict(_on(candidate, _data_of(config, material.task.kind, 0)).recipe)
    if before is not None:
        values["model"] = f"children/{before.path.name}"
    recipe = config_class(candidate.stage).parse(values, candidate.title)
    take_over(earlier_run(config), run, name, candidate.stage, recipe, before)
    child = run.child(name, candidate.stage, recipe)
    child.listener = ProgressOf(f"on all rows: {candidate.title}", run.listener)
    return run.once(f"problem_{name}", partial(attempt, candidate.stage, recipe, child)), child


def _best_fold(folds: list[Fold], metric: str) -> Fold:
    """Return the fold whose winner has the best score on its rows to choose."""
    sign = 1 if folds[0].choice.winner.scores.metric(metric).higher_is_better else -1
    return max(folds, key=lambda fold: sign * fold.choice.winner.scores.value(metric))


def _too_late(config: Config, steps: list[tuple[str, Candidate]], watch: Stopwatch, run: RunDirectory) -> str:
    """Say why the last training is not begun: the time has run out. One that was begun goes on."""
    count = _count(config)
    needed = sum(candidate.seconds for _, candidate in steps) * count / (count - 1)  # it learns from more rows
    left = config.budget_seconds - watch.seconds()
    if left >= needed / 2 or RunDirectory.is_run(run.path / "children" / steps[0][0]):
        return ""
    return f"the folds took longer than planned; {max(left, 0):.0f} s were left for a training on all rows"
