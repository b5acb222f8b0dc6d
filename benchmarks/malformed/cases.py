"""Input number n: a base and a mutation in turn, so that every pair of them comes about equally often."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

import byte_mutations  # noqa: F401  (fill the table)
import mutations
import recipe_mutations
import structure_mutations  # noqa: F401
import value_mutations  # noqa: F401
from bases import BASES, DIALECTS, RECIPES, suffix_of
from mutations import Base, Broken

SEED = 20_260_101
_RECIPES = (*["tune"] * 8, *["adapt"] * 4, "evaluate", "evaluate", "answer", "prompt", "baseline")
_TARGETS = [*(f"{dialect}/{format}" for dialect, format in BASES), *(f"recipe/{stage}" for stage in _RECIPES)]


@dataclass(frozen=True)
class Case:
    """One malformed input: where it comes from, its bytes, how it is read; `stage` is set for recipes."""

    index: int
    base: str
    mutation: str
    broken: Broken
    suffix: str = ".yaml"
    options: tuple[str, ...] = ()
    stage: str | None = None


@cache
def _base(name: str) -> Base:
    dialect, _, format = name.partition("/")
    return Base.make(dialect, format)


def make(index: int, seed: int = SEED) -> Case:
    """Return input number `index`, from 0; the same from the same seed."""
    chance = Random(f"{seed}-{index}")
    target = index % len(_TARGETS)
    name, visit = _TARGETS[target], index // len(_TARGETS)
    recipe = RECIPES[name.partition("/")[2]] if name.startswith("recipe/") else None
    table = recipe_mutations.MUTATIONS if recipe else mutations.MUTATIONS
    order = Random(f"{seed}-{target}-{visit // len(table)}").sample(sorted(table), len(table))
    turn = visit % len(table)
    for chosen in (*order[turn:], *order[:turn]):  # those that do not apply to this base pass their turn on
        if recipe:
            broken = recipe_mutations.MUTATIONS[chosen](recipe, recipe.text, chance)
        else:
            broken = mutations.MUTATIONS[chosen](_base(name), chance)
        if broken is not None:
            break
    else:
        raise AssertionError(f"no mutation applies to {name}")
    if recipe:
        return Case(index, name, chosen, broken, stage=recipe.stage)
    dialect, _, format = name.partition("/")
    return Case(index, name, chosen, broken, suffix_of(format), DIALECTS[dialect].options)
