"""Adapt: try what could help, cheapest first, under a budget; choose on `choose`, claim on `confirm`."""

from __future__ import annotations

import operator
from functools import partial

from luthier.core import config
from luthier.core.budget import Stopwatch
from luthier.core.errors import CompatibilityError, GuardError
from luthier.core.listener import Listener, OnlyProgress, Tracker
from luthier.core.run import RunDirectory
from luthier.core.stages import config_class, run_stage
from luthier.evaluation.statistics import Scores
from luthier.models.cost import release_memory
from luthier.reporting.blocks import Row
from luthier.reporting.inline import escape
from luthier.stages.adapt.calibration import calibrate
from luthier.stages.adapt.choosing import Entry, choose, confirm
from luthier.stages.adapt.plan import Candidate, Plan, make_plan
from luthier.stages.adapt.recipe import Config
from luthier.stages.adapt.report import show_candidates, show_plan, write_reports
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
        entries = _run_candidates(config, plan, watch, run)
        choice = choose(entries, material.task.metric)
        show_candidates(run, material, entries, choice)
        run.update(chosen=str(choice.winner.run.path.relative_to(run.path)))
        proof = confirm(choice, material, run, config.target)
    finally:
        watch.save()
    write_reports(run, config, material, plan, entries, choice, proof, watch.seconds())
    run.finish(proof.to_json())


def plan_once(config: Config, material: Material, run: RunDirectory) -> Plan:
    """Measure the machine for a few seconds, make the plan, and freeze it in the run."""

    def make() -> Plan:
        measured = calibrate(config.model, config.precision, material, run.listener, config.budget_seconds)
        release_memory()
        return make_plan(config, material, measured)

    return run.once("plan", make, Plan.from_json)


def _run_candidates(config: Config, plan: Plan, watch: Stopwatch, run: RunDirectory) -> list[Entry]:
    """Run the planned candidates in their order; one that fails or no longer fits is left out, and remembered."""
    entries = []
    for candidate in plan.candidates:
        run.check_stop()
        left = config.budget_seconds - plan.confirm_seconds - watch.seconds()
        begun = RunDirectory.is_run(run.path / "children" / candidate.name)
        too_late = partial(operator.lt, left, candidate.seconds / 2)
        if not begun and run.once(f"skipped_{candidate.name}", too_late):
            plan.left_out.append(
                (candidate.title, f"the candidates before it took longer than planned; {max(left, 0):.0f} s were left")
            )
            continue
        recipe = config_class(candidate.stage).parse(candidate.recipe, candidate.title)
        child = run.child(candidate.name, candidate.stage, recipe)
        child.listener = _ProgressOf(candidate.title, run.listener)
        problem = run.once(f"problem_{candidate.name}", partial(_attempt, candidate, recipe, child))
        watch.save()
        if problem:
            plan.left_out.append((candidate.title, f"failed: {problem}"))
            run.listener.say(f"**{escape(candidate.title)}** failed: {escape(problem)}")
            continue
        entries.append(Entry(candidate, child, child.once("scores_choose", _never, Scores.from_json)))
    return entries


def _attempt(candidate: Candidate, recipe: config.Config, child: RunDirectory) -> str:
    """Run a candidate; returns why its method does not work here, or nothing."""
    try:
        run_stage(candidate.stage, recipe, child)
    except (CompatibilityError, GuardError) as error:
        return str(error)
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
