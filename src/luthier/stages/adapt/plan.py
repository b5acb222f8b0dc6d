"""The plan of a bake-off: which candidates, in which order, how long each; made once and frozen in the run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from luthier.core.budget import format_duration
from luthier.models.device import memory_bytes, pick_device
from luthier.reporting.quantities import size
from luthier.stages.adapt.calibration import Calibration
from luthier.stages.adapt.candidates import Candidate, Candidates
from luthier.stages.adapt.recipe import Config
from luthier.stages.material import Material

NO_TIME = "no time for it; fits with "
"""Begins the reason for what a larger budget would fit; the rest is the budget."""
_REPORT_SECONDS = 3.0
_ORDER = (
    "most_frequent", "tfidf", "as_is", "told_format", "held_to_format", "few_shot_random", "few_shot_nearest",
    "lora_fewer", "lora", "tuned_held",
)  # fmt: skip
"""In which candidates run and are shown: cheapest first."""


@dataclass(frozen=True)
class Plan:
    """Candidates in order, what was left out and why, and the time kept for `confirm`.

    `retention` says whether the general questions are asked before and after tuning.
    """

    candidates: tuple[Candidate, ...]
    left_out: list[tuple[str, str]]
    confirm_seconds: float
    calibration: Calibration
    retention: bool = False

    @property
    def seconds(self) -> float:
        """Estimated time of everything."""
        return sum(candidate.seconds for candidate in self.candidates) + self.confirm_seconds

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Plan:
        """Read a plan back."""
        return cls(
            tuple(Candidate(**candidate) for candidate in value["candidates"]),
            [(title, reason) for title, reason in value["left_out"]],
            value["confirm_seconds"],
            Calibration(**value["calibration"]),
            value["retention"],
        )


def make_plan(config: Config, material: Material, measured: Calibration) -> Plan:
    """Fit the candidates into the budget, with time reserved to confirm the winner and its strongest rivals.

    Rivals without a model always fit. The others are taken in the order of how much they tell, each if it still fits:
    see `_wishes`.
    """
    candidates = Candidates(config, material, measured)
    free = candidates.without_model()
    if not measured.usable:
        reason = f"{format_duration(config.budget_seconds)} are too few to look at a model; try --budget 10m"
        looked_for = [candidates.as_is(), candidates.informed(), candidates.few_shot("random"), candidates.lora(1.0)]
        titles = [_title(wish, _Draft(candidates)) for wish in looked_for if candidates.asked_for(wish.name)]
        return Plan(tuple(free), [(title, reason) for title in titles], _REPORT_SECONDS, measured)
    left_out: list[tuple[str, str]] = []
    room = memory_bytes(pick_device())
    tunable = room is None or measured.memory_bytes <= room
    if room is not None and not tunable and candidates.asked_for("lora"):
        left_out.append(("LoRA", f"takes about {size(measured.memory_bytes)} of memory, this machine has {size(room)}"))
    spent = measured.load_seconds + sum(candidate.seconds for candidate in free)
    draft = _drafted(candidates, tunable, config.budget_seconds - spent)
    least = int(config.budget_seconds // 60) + 1
    for wish in draft.refused.values():
        fitting = next(m for m in itertools.count(least) if _drafted(candidates, tunable, 60 * m - spent).grants(wish))
        left_out.append((_title(wish, draft), f"{NO_TIME}--budget {fitting}m"))
    chosen = [*free, *sorted(draft.chosen.values(), key=lambda candidate: _ORDER.index(candidate.name))]
    return Plan(tuple(chosen), left_out, draft.confirm_seconds, measured, draft.retention)


@dataclass(frozen=True)
class _Retention:
    """The wish to know what was forgotten."""

    name: str = "retention"
    title: str = "forgetting"


_Wish = Candidate | _Retention


def _title(wish: _Wish, draft: _Draft) -> str:
    """Name a wish that was not granted: LoRA, or so many epochs of it where fewer were."""
    return "LoRA" if wish.name == "lora" and "lora" not in draft.chosen else wish.title


def _drafted(candidates: Candidates, tunable: bool, seconds: float) -> _Draft:
    """Grant the wishes that are asked for and fit, in their order."""
    draft = _Draft(candidates)
    for wish in _wishes(draft, candidates, tunable):
        if not candidates.asked_for(wish.name):
            continue
        tried = draft.with_wish(wish)
        if tried.seconds <= seconds:
            draft.chosen, draft.retention = tried.chosen, tried.retention
        elif not draft.grants(wish):
            draft.refused[wish.name] = wish
    return draft


class _Draft:
    """A plan on its way: what has been granted so far, what that takes, and what was refused."""

    def __init__(self, candidates: Candidates) -> None:
        self._candidates = candidates
        self.chosen: dict[str, Candidate] = {}
        self.retention = False
        self.refused: dict[str, _Wish] = {}

    def with_wish(self, wish: _Wish) -> _Draft:
        """Return the draft with one more wish; a candidate takes the place of one of the same name."""
        tried = _Draft(self._candidates)
        tried.chosen, tried.retention = dict(self.chosen), self.retention
        if isinstance(wish, _Retention):
            tried.retention = True
        else:
            tried.chosen[wish.name] = wish
        return tried

    def grants(self, wish: _Wish) -> bool:
        """Say whether a wish, or more of the same (such as more epochs), is granted."""
        if isinstance(wish, _Retention):
            return self.retention
        granted = self.chosen.get(wish.name)
        return granted is not None and granted.epochs >= wish.epochs

    @property
    def confirm_seconds(self) -> float:
        """Seconds after the choice: the rows to confirm, what was forgotten, the report."""
        seconds = self._candidates.confirming_seconds(list(self.chosen.values()))
        return _REPORT_SECONDS + seconds + (self._candidates.retention_seconds() if self.retention else 0.0)

    @property
    def seconds(self) -> float:
        """Seconds of everything chosen."""
        return sum(candidate.seconds for candidate in self.chosen.values()) + self.confirm_seconds


def _wishes(draft: _Draft, candidates: Candidates, tunable: bool) -> Iterator[_Wish]:
    """Yield what one would like to try, what tells most first; `draft` says what has been granted so far.

    An informed prompt and a short tuning come first: they are the two answers that people look for. Then the rival with
    demonstrations, more epochs, the uninformed prompt, which shows why answers are wrong, and what was forgotten.
    """
    yield candidates.informed()
    if tunable:
        yield candidates.lora(0.5)
        yield candidates.lora(1.0)
    yield candidates.few_shot("random")
    if "lora" in draft.chosen:
        yield candidates.lora(2.0)
        yield candidates.lora(3.0)
    yield candidates.as_is()
    if "lora" in draft.chosen:
        yield _Retention()
    if candidates.constrained:
        yield candidates.told_format()
    if "lora" in draft.chosen:
        if candidates.constrained:
            yield candidates.tuned_held_to_format()
        if draft.chosen["lora"].recipe["training"]["epochs"] > 1:
            yield candidates.lora(1.0, name="lora_fewer")
    yield candidates.few_shot("nearest")
