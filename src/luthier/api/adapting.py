"""The main job: adapt, and what it would try."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from luthier.api.running import begun_elsewhere, data_section, start
from luthier.core.config import Config
from luthier.core.errors import ConfigError
from luthier.core.listener import Listener
from luthier.core.run import RunDirectory
from luthier.core.stages import config_class
from luthier.handle import Run


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
    with begun_elsewhere(Path(data)):
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
    with tempfile.TemporaryDirectory() as folder, begun_elsewhere(Path(data)):
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
