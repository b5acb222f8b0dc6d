"""The report of a finished run, written anew from what the run stored: after an upgrade, or to pass it on redacted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from luthier.core.errors import RunError
from luthier.core.run import RunDirectory
from luthier.core.stages import recipe_of
from luthier.evaluation.statistics import Scores
from luthier.stages.adapt.choosing import Choice, Entry, best_tuned, confirm
from luthier.stages.adapt.earlier import earlier_run, seen_before
from luthier.stages.adapt.findings import Findings
from luthier.stages.adapt.plan import Plan
from luthier.stages.adapt.recipe import Config
from luthier.stages.adapt.report import write_reports
from luthier.stages.material import Material, read_material

_NEEDLESS = "it would show nothing that the tuned model does not"


def write_reports_again(run: RunDirectory, *, redact: bool = False) -> None:
    """Write report.html and card.md of a finished bake-off anew; no model is asked.

    Args:
        run: The run; its data must still be where the recipe says, and unchanged.
        redact: Leave out rows, answers, labels and prompts, whatever the recipe says.

    Raises:
        RunError: if the run is no finished one of adapt, was cross-validated, or its data has changed.
    """
    if run.manifest["stage"] != "adapt" or run.status != "finished":
        raise RunError(f"{run.path} is no finished run of adapt ({run.manifest['stage']}, {run.status}).")
    config: Config = recipe_of(run)
    if config.cross_validate:
        raise RunError(f"{run.path} was cross-validated; its report cannot be written again.")
    found = stored_findings(run, config)
    write_reports(run, config.model_copy(update={"redact": redact or config.redact}), found)


def stored_findings(run: RunDirectory, config: Config) -> Findings:
    """Return what a finished run found, from its files."""
    material = seen_before(read_material(config.data, run), run, earlier_run(config))
    plan = Plan.from_json(run.step("plan"))
    entries = _stored_entries(run, plan, material)
    choice = _stored_choice(run, entries, material.task.metric)
    proof = confirm(choice, material, run, target=config.target, look_at_retention=plan.retention)
    seconds = float(run.files.read_json("spent.json")["seconds"])
    return Findings(material, plan, tuple(entries), choice, proof, seconds)


def _stored_entries(run: RunDirectory, plan: Plan, material: Material) -> list[Entry]:
    """Return the candidates that were run; those that were not are added to what the plan left out."""
    entries = []
    for candidate in plan.candidates:
        child = RunDirectory(run.path / "children" / candidate.name, run.listener, run.stop)
        scores = child.step("scores_choose")
        reason = _stored_reason(run, candidate.name) or ("" if scores is not None else _NEEDLESS)
        if reason:
            plan.left_out.append((candidate.title, reason))
        else:
            entries.append(Entry(candidate, child, Scores.from_json(scores), material))
    return entries


def _stored_choice(run: RunDirectory, entries: Sequence[Entry], metric: str) -> Choice:
    """Return the winner and the rivals that the run confirmed: a later Luthier might choose otherwise."""
    manifest = run.manifest
    winner = next(entry for entry in entries if entry.name == Path(manifest["chosen"]).name)
    confirmed = {}
    for entry in entries:
        if (stored := run.step(f"scores_confirm_{entry.name}")) is not None:
            confirmed[Scores.from_json(stored).answerer] = entry
    rivals = tuple(confirmed[claim["base"]] for claim in manifest["verdict"]["comparisons"])
    return Choice(winner, rivals, best_tuned(entries, metric) if winner.candidate.kind == "tuned" else None)


def _stored_reason(run: RunDirectory, name: str) -> str:
    """Return why a candidate was skipped or failed; nothing if it was run."""
    return next((reason for step in ("skipped", "problem") if (reason := run.step(f"{step}_{name}"))), "")
