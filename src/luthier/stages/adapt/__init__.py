"""Adapt: try what could help, cheapest first, under a budget; choose on `choose`, claim on `confirm`."""

from __future__ import annotations

from functools import partial

from luthier.core import config
from luthier.core.budget import Stopwatch
from luthier.core.disk import forget_losers
from luthier.core.errors import CompatibilityError, GuardError
from luthier.core.listener import Listener, OnlyProgress, Tracker
from luthier.core.run import RunDirectory
from luthier.core.stages import config_class, run_stage
from luthier.evaluation.statistics import Scores
from luthier.models.cost import release_memory
from luthier.reporting.blocks import Row
from luthier.reporting.inline import escape
from luthier.stages.adapt.calibration import calibrate
from luthier.stages.adapt.candidates import Candidate
from luthier.stages.adapt.choosing import Entry, best_tuned, choose, confirm
from luthier.stages.adapt.findings import Findings
from luthier.stages.adapt.plan import Plan, make_plan
from luthier.stages.adapt.recipe import Config
from luthier.stages.adapt.report import write_reports
from luthier.stages.adapt.screen import show_candidates, show_plan
from luthier.stages.material import Material, read_material

__all__ = ["Config", "plan_once", "run"]


def run(config: Config, run: RunDirectory) -> None:
    """Plan once, run the candidates as child runs, choose, confirm, report."""
    watch = Stopwatch(run.path / "spent.json")
    try:
        material = read_material(config.data, run)
        plan = plan_once(config, material, run)
        run.listener.show(Row("run", f"`{escape(str(run.path))}`"))
        show_plan(run, config, material, plan)
        entries = _run_candidates(config, material, plan, watch, run)
        choice = choose(entries, material.task.metric)
        show_candidates(run, material, entries, choice)
        run.update(chosen=str(choice.winner.run.path.relative_to(run.path)))
        proof = confirm(choice, material, run, target=config.target, look_at_retention=plan.retention)
    finally:
        watch.save()
    found = Findings(material, plan, tuple(entries), choice, proof, watch.seconds())
    write_reports(run, config, found)
    run.finish(proof.to_json())
    if config.keep == "winner":
        forget_losers(run, {entry.run.path.name for entry in (choice.winner, choice.tuned) if entry is not None})


def plan_once(config: Config, material: Material, run: RunDirectory) -> Plan:
    """Measure the machine for a few seconds, make the plan, and freeze it in the run."""

    def make() -> Plan:
        measured = calibrate(config.model, config.precision, material, run.listener, config.budget_seconds)
        release_memory()
        return make_plan(config, material, measured)

    return run.once("plan", make, Plan.from_json)


def _run_candidates(config: Config, material: Material, plan: Plan, watch: Stopwatch, run: RunDirectory) -> list[Entry]:
    """Run the planned candidates in their order; one that fails or no longer fits is left out, and remembered."""
    entries: list[Entry] = []
    for candidate in plan.candidates:
        run.check_stop()
        base = best_tuned(entries, material.task.metric) if candidate.on == "tuned" else None
        too_late = partial(_too_late, candidate, config, plan, watch, run)
        reason = _needless(candidate, base) or run.once(f"skipped_{candidate.name}", too_late)
        if not reason:
            recipe = _recipe(candidate, base)
            child = run.child(candidate.name, candidate.stage, recipe)
            child.listener = _ProgressOf(candidate.title, run.listener)
            reason = run.once(f"problem_{candidate.name}", partial(_attempt, candidate, recipe, child))
            watch.save()
            if not reason:
                scores = child.once("scores_choose", _never, Scores.from_json)
                entries.append(Entry(candidate, child, scores, material))
                continue
            run.listener.say(f"**{escape(candidate.title)}** {escape(reason)}")
        plan.left_out.append((candidate.title, reason))
    return entries


def _too_late(candidate: Candidate, config: Config, plan: Plan, watch: Stopwatch, run: RunDirectory) -> str:
    """Say why a candidate is not begun: the time has run out. One that was begun goes on."""
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
    values = dict(candidate.recipe) | ({"model": str(base.run.path)} if base is not None else {})
    return config_class(candidate.stage).parse(values, candidate.title)


def _attempt(candidate: Candidate, recipe: config.Config, child: RunDirectory) -> str:
    """Run a candidate; returns why its method does not work here, or nothing."""
    try:
        run_stage(candidate.stage, recipe, child)
    except (CompatibilityError, GuardError) as error:
        return f"failed: {error}"
    finally:
        release_memory()
    return ""


class _ProgressOf(OnlyProgress):
    """Passes on a candidate's progress under its title."""

    def __init__(self, title: str, listener: Listener) -> None:
        super().__init__(listener)
        self._title = title

    def track(self, description: str, total: float | None, unit: str = "") -> Tracker:
        return super().track(f"{self._title}: {description}", total, unit)


def _never() -> Scores:
    raise AssertionError("a finished child has its scores")
