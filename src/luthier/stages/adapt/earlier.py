"""Going on from an earlier run with a larger budget: what it has finished is taken over, what was seen of it is said.

The new run reads the same rows, divides them alike and keeps the measurements. A child run is taken over if it is
finished, was made from the same recipe, and still has its weights. What is taken over is copied: the earlier run stays
as it is, and may be deleted later.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from luthier.core import config
from luthier.core.budget import format_duration, parse_duration
from luthier.core.disk import is_at_work
from luthier.core.errors import ConfigError, RunError
from luthier.core.files import remove_staged, staged_folder
from luthier.core.run import RunDirectory
from luthier.core.stages import config_class, recipe_of
from luthier.models.memory import release_memory
from luthier.stages.adapt.calibration import Calibration, calibrate
from luthier.stages.adapt.choosing import Choice
from luthier.stages.adapt.plan import Plan
from luthier.stages.adapt.recipe import Config
from luthier.stages.material import Material, require_same_data

_ORDINALS = ("first", "second", "third", "fourth", "fifth")


def recipe_to_go_on(path: Path, budget: str | float) -> Config:
    """Return the recipe of a run that goes on from an earlier one.

    Args:
        path: The earlier run, finished or not.
        budget: Time for the new run; what is taken over costs nothing of it.

    Raises:
        RunError: if it is a run of another stage, or somebody is at work on it.
        ConfigError: if the budget is no larger than the earlier one.
    """
    earlier = RunDirectory.open(path)
    stage = earlier.manifest["stage"]
    if stage != "adapt":
        raise RunError(
            f"{path} is a run of {stage}. adapt takes a file of examples, or a run of adapt to go on from with a "
            "larger budget."
        )
    if is_at_work(earlier):
        raise RunError(f"Another process is at work on {path}. Wait until it has ended, or stop it.")
    before: Config = recipe_of(earlier)
    seconds = parse_duration(budget)
    if seconds <= before.budget_seconds:
        raise ConfigError(
            f"{path} had a budget of {format_duration(before.budget_seconds)}: with {format_duration(seconds)} nothing "
            f"more would be tried. Give it more, such as --budget {_minutes(3 * before.budget_seconds)}m."
        )
    return before.model_copy(update={"budget_seconds": seconds, "continues": str(path)})


def _minutes(seconds: float) -> int:
    return max(1, round(seconds / 60))


def earlier_run(config: Config) -> RunDirectory | None:
    """Return the run that a recipe goes on from, if it is still there."""
    path = Path(config.continues) if config.continues else None
    return RunDirectory(path) if path is not None and RunDirectory.is_run(path) else None


def looks_at_confirm(run: RunDirectory | None) -> int:
    """Return how often the rows to confirm have been answered by a run and those it went on from."""
    if run is None:
        return 0
    return int(run.manifest.get("earlier_looks", 0)) + any((run.path / "steps").glob("scores_confirm_*.json"))


def seen_before(material: Material, run: RunDirectory, earlier: RunDirectory | None) -> Material:
    """Make sure that both runs read the same rows; note, where it is so, that the rows to confirm were seen before.

    Raises:
        RunError: if the data has changed since the earlier run.
    """
    if earlier is None:
        return material
    require_same_data(earlier, material.dataset.source, material.dataset.digest)
    looks = looks_at_confirm(earlier)
    if not looks:
        return material
    run.update(earlier_looks=looks)
    ordinal = _ORDINALS[looks] if looks < len(_ORDINALS) else f"{looks + 1}th"
    note = (
        f"The rows to confirm were already looked at in {earlier.path}, whose verdict could be seen: this is the "
        f"{ordinal} look at them. The p-values do not know of it; rows that nobody has looked at would show more."
    )
    return replace(material, parts=replace(material.parts, notes=(*material.parts.notes, note)))


def measure(config: Config, material: Material, run: RunDirectory) -> Calibration:
    """Measure the machine, or take the earlier run's measurements."""
    earlier = earlier_run(config)
    if earlier is not None and (stored := earlier.step("plan")) is not None:
        found = Plan.from_json(stored).calibration
        if found.usable:
            return found
    measured = calibrate(config.model, config.precision, material, run.listener, config.budget_seconds)
    release_memory()
    return measured


def take_over(
    earlier: RunDirectory | None,
    run: RunDirectory,
    name: str,
    stage: str,
    recipe: config.Config,
    foundation: RunDirectory | None = None,
) -> bool:
    """Copy the earlier run's finished child of the same recipe, whatever its name; True if there was one.

    Args:
        earlier: Where to look.
        run: Whose child it becomes, unless that child is there already.
        name: The child's name in this run.
        stage: The child's stage.
        recipe: The child's recipe.
        foundation: The child of this run that the recipe names as its model. The earlier child must have named the one
            that this one was copied from.
    """
    target = run.path / "children" / name
    if earlier is None or RunDirectory.is_run(target):
        return False
    child = next((c for c in earlier.children() if _is_alike(c, stage, recipe, foundation)), None)
    if child is None:
        return False
    target.parent.mkdir(exist_ok=True)
    remove_staged(target.parent)
    shutil.rmtree(target, ignore_errors=True)  # what a crash left before it was a run
    with staged_folder(target) as staged:
        shutil.copytree(child.path, staged, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))
        copied = RunDirectory(staged)
        if foundation is not None:
            copied.save_recipe(recipe)
            copied.update(answering=copied.manifest["answering"] | {"model": recipe.model_dump()["model"]})
        copied.update(config_digest=recipe.digest(), taken_from=str(child.path))
    return True


def _is_alike(child: RunDirectory, stage: str, recipe: config.Config, foundation: RunDirectory | None) -> bool:
    """Say whether a child can stand for what a recipe asks for; one whose weights were removed cannot answer."""
    manifest = child.manifest
    if manifest["stage"] != stage or manifest["status"] != "finished" or manifest.get("forgotten_bytes"):
        return False
    if foundation is None:
        return bool(manifest["config_digest"] == recipe.digest())
    was_on, is_on = child.recipe.get("model"), foundation.manifest.get("taken_from")
    if not is_on or was_on != f"children/{Path(is_on).name}":
        return False
    return config_class(stage).parse(child.recipe | {"model": recipe.model_dump()["model"]}).digest() == recipe.digest()


def take_over_proof(earlier: RunDirectory | None, run: RunDirectory, choice: Choice) -> None:
    """Copy what the earlier run's winner and rivals answered on the rows to confirm, where they are those of this run.

    So is what tuning has cost in general ability.
    """
    if earlier is None:
        return
    for entry in (choice.winner, *choice.rivals):
        if name := _name_in(earlier, entry.run):
            _copy(earlier, run, f"evaluation/confirm_{name}.jsonl", f"evaluation/confirm_{entry.name}.jsonl")
            _copy(earlier, run, f"steps/scores_confirm_{name}.json", f"steps/scores_confirm_{entry.name}.json")
    if choice.tuned is not None and (name := _name_in(earlier, choice.tuned.run)) and name == _tuned_of(earlier):
        _copy(earlier, run, "steps/forgetting.json", "steps/forgetting.json")


def _name_in(earlier: RunDirectory, child: RunDirectory) -> str:
    """Return the name of the earlier run's child that a child was copied from; empty if it was not."""
    source = Path(child.manifest.get("taken_from", ""))
    return source.name if source.parent == earlier.path / "children" else ""


def _tuned_of(run: RunDirectory) -> str:
    """Return the name of the tuned child that a run's winner answers with; empty if it answers with none."""
    chosen = run.manifest.get("chosen")
    if not chosen:
        return ""
    winner = RunDirectory(run.path / chosen)
    return winner.path.name if winner.manifest["stage"] == "tune" else Path(str(winner.recipe.get("model", ""))).name


def _copy(earlier: RunDirectory, run: RunDirectory, source: str, target: str) -> None:
    if (earlier.path / source).exists() and not (run.path / target).exists():
        run.files.write(target, earlier.files.read(source))
