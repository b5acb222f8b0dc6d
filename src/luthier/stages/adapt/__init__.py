"""Adapt: try what could help, cheapest first, under a budget; choose on `choose`, claim on `confirm`."""

from __future__ import annotations

from functools import partial

from luthier.core import config
from luthier.core.budget import Stopwatch
from luthier.core.disk import forget_losers
from luthier.core.run import RunDirectory
from luthier.core.stages import config_class
from luthier.evaluation.statistics import Scores
from luthier.reporting.blocks import Row
from luthier.reporting.inline import escape
from luthier.stages.adapt.candidates import Candidate
from luthier.stages.adapt.choosing import Entry, best_tuned, choose, confirm
from luthier.stages.adapt.earlier import (
    earlier_run,
    looks_at_confirm,
    measure,
    seen_before,
    take_over,
    take_over_proof,
)
from luthier.stages.adapt.findings import Findings
from luthier.stages.adapt.folds import cross_validate, show_folds_that_would_be_tried
from luthier.stages.adapt.plan import Plan, make_plan
from luthier.stages.adapt.recipe import Config
from luthier.stages.adapt.report import write_reports
from luthier.stages.adapt.running import ProgressOf, attempt
from luthier.stages.adapt.screen import show_candidates, show_plan
from luthier.stages.material import Material, read_material

__all__ = ["Config", "run", "show_what_would_be_tried"]


def run(config: Config, run: RunDirectory) -> None:
    """Plan once, run the candidates as child runs, choose, confirm, report."""
    if config.cross_validate:
        cross_validate(config, run)
    else:
        _bake_off(config, run)


def _bake_off(config: Config, run: RunDirectory) -> None:
    watch, earlier = Stopwatch(run.files), earlier_run(config)
    try:
        material = seen_before(read_material(config.data, run), run, earlier)
        plan = _plan_once(config, material, run)
        run.listener.show(Row("run", f"`{escape(str(run.path))}`"))
        show_plan(run, config, material, plan)
        entries = _run_candidates(config, material, plan, watch, run)
        choice = choose(entries, material.task.metric)
        show_candidates(run, material, entries, choice)
        run.update(chosen=str(choice.winner.run.path.relative_to(run.path)))
        take_over_proof(earlier, run, choice)
        proof = confirm(choice, material, run, target=config.target, look_at_retention=plan.retention)
    finally:
        watch.save()
    found = Findings(material, plan, tuple(entries), choice, proof, watch.seconds())
    write_reports(run, config, found)
    if config.keep == "winner":  # before the end: a run that is killed in between goes on with it
        forget_losers(run, {entry.run.path.name for entry in (choice.winner, choice.tuned) if entry is not None})
    run.finish(proof.to_json() | {"earlier_looks": looks_at_confirm(earlier)})


def show_what_would_be_tried(config: Config, run: RunDirectory) -> Plan:
    """Plan in a run directory that is thrown away, and show the plan."""
    if config.cross_validate:
        return show_folds_that_would_be_tried(config, run)
    material = seen_before(read_material(config.data), run, earlier_run(config))
    plan = _plan_once(config, material, run)
    show_plan(run, config, material, plan)
    return plan


def _plan_once(config: Config, material: Material, run: RunDirectory) -> Plan:
    """Measure the machine for a few seconds, make the plan, and freeze it in the run."""
    return run.once("plan", lambda: make_plan(config, material, measure(config, material, run)), Plan.from_json)


def _run_candidates(config: Config, material: Material, plan: Plan, watch: Stopwatch, run: RunDirectory) -> list[Entry]:
    """Run the planned candidates in their order; one that fails or no longer fits is left out, and remembered."""
    entries: list[Entry] = []
    earlier = earlier_run(config)
    for candidate in plan.candidates:
        run.check_stop()
        base = best_tuned(entries, material.task.metric) if candidate.on == "tuned" else None
        reason = _needless(candidate, base)
        if not reason:
            recipe = _recipe(candidate, base)
            if take_over(earlier, run, candidate.name, candidate.stage, recipe, base.run if base else None):
                run.listener.say(f"{escape(candidate.title)}: taken over from `{escape(str(config.continues))}`")
            too_late = partial(_too_late, candidate, config, plan, watch, run)
            reason = run.once(f"skipped_{candidate.name}", too_late)
        if not reason:
            child = run.child(candidate.name, candidate.stage, recipe)
            child.listener = ProgressOf(candidate.title, run.listener)
            reason = run.once(f"problem_{candidate.name}", partial(attempt, candidate.stage, recipe, child))
            watch.save()
            if not reason:
                scores = child.once("scores_choose", _never, Scores.from_json)
                entries.append(Entry(candidate, child, scores, material))
                continue
            run.listener.say(f"**{escape(candidate.title)}** {escape(reason)}")
        plan.left_out.append((candidate.title, reason))
    return entries


def _too_late(candidate: Candidate, config: Config, plan: Plan, watch: Stopwatch, run: RunDirectory) -> str:
    """Say why a candidate is not begun: the time has run out. One that was begun goes on; one without a model fits."""
    if not candidate.uses_model:
        return ""  # else a slow look at the model could leave nothing at all
    left = config.budget_seconds - plan.confirm_seconds - watch.seconds()
    if left >= candidate.seconds / 2 or RunDirectory.is_run(run.path / "children" / candidate.name):
        return ""
    return f"the candidates before it took longer than planned; {max(left, 0):.0f} s were left"


def _needless(candidate: Candidate, base: Entry | None) -> str:
    """Say why holding a tuned model to the format would show nothing."""
    if candidate.on != "tuned":
        return ""
    if base is None:
        return "there is no tuned model"
    return "all answers of the tuned model have the right form already" if base.valid_share == 1 else ""


def _recipe(candidate: Candidate, base: Entry | None) -> config.Config:
    """Return a candidate's recipe, on the tuned model where it answers with that one."""
    values = dict(candidate.recipe) | ({"model": f"children/{base.name}"} if base is not None else {})
    return config_class(candidate.stage).parse(values, candidate.title)


def _never() -> Scores:
    raise AssertionError("a finished child has its scores")
