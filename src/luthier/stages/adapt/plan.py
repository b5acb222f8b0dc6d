"""The plan of a bake-off: which candidates, in which order, how long each; made once and frozen in the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from luthier.core.budget import format_duration
from luthier.core.run import environment
from luthier.reporting.quantities import size
from luthier.stages.adapt.calibration import Calibration
from luthier.stages.material import Material

if TYPE_CHECKING:
    from luthier.stages.adapt import Config

_EPOCHS = (3.0, 2.0, 1.0, 0.5)
"""Passes tried from the most to the fewest; the recommended 2 to 4 where the budget allows."""
_SAFETY = 1.2
"""Plans reckon with 20 % more than measured: other programs run too."""
_BASELINE_SECONDS = 2.0
_REPORT_SECONDS = 3.0


@dataclass(frozen=True)
class Candidate:
    """One way to do the task: a stage and its recipe, run as a child run called `name`."""

    name: str
    title: str
    stage: str
    recipe: Mapping[str, Any]
    seconds: float

    @property
    def uses_model(self) -> bool:
        """Whether a language model answers."""
        return self.stage != "baseline"


@dataclass(frozen=True)
class Plan:
    """Candidates in order, what was left out and why, and the time kept for `confirm`."""

    candidates: tuple[Candidate, ...]
    left_out: list[tuple[str, str]]
    confirm_seconds: float
    calibration: Calibration

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
        )


def make_plan(config: Config, material: Material, measured: Calibration) -> Plan:
    """Fit the candidates into the budget, cheapest first, with time reserved to confirm.

    Rivals without a model always fit. Each prompted model is taken if it leaves time to confirm it; tuning is taken
    with as many epochs as fit.
    """
    candidates = list(_without_model(config))
    left_out: list[tuple[str, str]] = []
    prompted = _prompted(config, material, measured)
    if not measured.usable:
        reason = f"{format_duration(config.budget_seconds)} are too few to look at a model; try --budget 10m"
        return Plan(
            tuple(candidates),
            [(title, reason) for title in [*(c.title for c in prompted), "LoRA"]],
            _REPORT_SECONDS,
            measured,
        )

    def left(further: float, confirming: float) -> float:
        planned = sum(candidate.seconds for candidate in candidates)
        return config.budget_seconds - measured.load_seconds - planned - further - confirming

    confirming = _confirm_seconds(material, measured, models=1)
    for candidate in prompted:
        if left(candidate.seconds, confirming) >= 0:
            candidates.append(candidate)
        else:
            left_out.append((candidate.title, f"takes about {format_duration(candidate.seconds)}"))
    confirming = _confirm_seconds(material, measured, models=2)
    room = environment()["memory_bytes"]
    if room and measured.memory_bytes > room:
        left_out.append(("LoRA", f"takes about {size(measured.memory_bytes)} of memory, this machine has {size(room)}"))
        return Plan(tuple(candidates), left_out, _confirm_seconds(material, measured, models=1), measured)
    tuned = [_lora(config, material, measured, epochs) for epochs in _EPOCHS]
    fitting = [candidate for candidate in tuned if left(candidate.seconds, confirming) >= 0]
    if fitting:
        candidates.append(fitting[0])
    else:
        needed = config.budget_seconds - left(tuned[-1].seconds, confirming)
        left_out.append(
            (
                "LoRA",
                f"half an epoch takes about {format_duration(tuned[-1].seconds)}; --budget {needed / 60 + 1:.0f}m "
                "would fit it",
            )
        )
        confirming = _confirm_seconds(material, measured, models=1)
    return Plan(tuple(candidates), left_out, confirming, measured)


def _without_model(config: Config) -> list[Candidate]:
    names = (("most_frequent", "most frequent answer"), ("tfidf", "TF-IDF"))
    data = config.data.model_dump(mode="json")
    return [
        Candidate(method, title, "baseline", {"data": data, "method": method, "prove_on": "choose"}, _BASELINE_SECONDS)
        for method, title in names
    ]


def _prompted(config: Config, material: Material, measured: Calibration) -> list[Candidate]:
    common = {
        "data": config.data.model_dump(mode="json"),
        "model": config.model,
        "precision": config.precision,
        "prove_on": "choose",
    }
    rows = len(material.parts.choose)
    told = measured.prompt_tokens + measured.instruction_tokens
    return [
        Candidate("as_is", "as it is", "prompt", common, _answering(measured, rows, measured.prompt_tokens)),
        Candidate(
            "told_format", "told the format", "prompt", common | {"tell_format": True}, _answering(measured, rows, told)
        ),
    ]


def _lora(config: Config, material: Material, measured: Calibration, epochs: float) -> Candidate:
    recipe = {
        "data": config.data.model_dump(mode="json"),
        "model": config.model,
        "precision": config.precision,
        "adapter": {"method": "lora"},
        "training": {"epochs": epochs},
        "seed": config.seed,
        "prove_on": "choose",
        "compare_before": False,
    }
    training = (epochs * measured.tune_tokens + 4 * measured.choose_tokens / 3) / measured.train_tokens_per_second
    answering = _answering(measured, len(material.parts.choose), measured.prompt_tokens, measured.answer_tokens * 1.25)
    passes = "half an epoch" if epochs == 0.5 else f"{epochs:g} epoch{'s' if epochs > 1 else ''}"
    return Candidate("lora", f"LoRA r16, {passes}", "tune", recipe, _SAFETY * training + answering)


def _answering(measured: Calibration, rows: int, prompt_tokens: float, answer_tokens: float | None = None) -> float:
    """Seconds to load a model and answer rows; an untuned model is reckoned to run to the output limit."""
    if not measured.usable:
        return 0.0
    written = measured.output_limit if answer_tokens is None else answer_tokens
    reading = prompt_tokens / measured.prefill_tokens_per_second
    return measured.load_seconds + _SAFETY * rows * (reading + written / measured.generate_tokens_per_second)


def _confirm_seconds(material: Material, measured: Calibration, models: int) -> float:
    prompt = measured.prompt_tokens + measured.instruction_tokens
    return _REPORT_SECONDS + models * _answering(measured, len(material.parts.confirm), prompt)
