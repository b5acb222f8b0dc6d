"""The plan of a bake-off: which candidates, in which order, how long each; made once and frozen in the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from luthier.core.budget import format_duration
from luthier.core.run import environment
from luthier.reporting.quantities import size
from luthier.stages.adapt.calibration import Calibration
from luthier.stages.adapt.recipe import Config
from luthier.stages.material import Material

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
    """Fit the candidates into the budget, with time reserved to confirm the winner and its strongest rival.

    Rivals without a model always fit. Of the sets of candidates with a model, the first that fits is taken: all, with
    as many epochs as possible; then without the uninformed prompt, which says least; then tuning alone; then prompts
    alone.
    """
    without_model = _without_model(config)
    prompted = _prompted(config, material, measured)
    if not measured.usable:
        reason = f"{format_duration(config.budget_seconds)} are too few to look at a model; try --budget 10m"
        titles = [*(candidate.title for candidate in prompted), "LoRA"]
        return Plan(without_model, [(title, reason) for title in titles], _REPORT_SECONDS, measured)
    left_out: list[tuple[str, str]] = []
    tuned = [_lora(config, material, measured, epochs) for epochs in _EPOCHS]
    room = environment()["memory_bytes"]
    if room and measured.memory_bytes > room:
        left_out.append(("LoRA", f"takes about {size(measured.memory_bytes)} of memory, this machine has {size(room)}"))
        tuned = []
    left = config.budget_seconds - measured.load_seconds - sum(candidate.seconds for candidate in without_model)
    chosen: tuple[Candidate, ...] = ()
    for chosen in _sets(prompted, tuned):
        confirming = _confirm_seconds(material, measured, chosen)
        if sum(candidate.seconds for candidate in chosen) + confirming <= left:
            break
    kept = {candidate.name for candidate in chosen}
    for candidate in (*prompted, *tuned[-1:]):
        if candidate.name not in kept:
            title = "LoRA" if candidate.stage == "tune" else candidate.title
            needed = _confirm_seconds(material, measured, (*chosen, candidate)) + candidate.seconds
            whole = config.budget_seconds - left + sum(c.seconds for c in chosen) + needed
            left_out.append((title, f"no time for it; --budget {whole / 60 + 1:.0f}m would fit it"))
    return Plan((*without_model, *chosen), left_out, confirming, measured)


def _sets(prompted: Sequence[Candidate], tuned: Sequence[Candidate]) -> Iterator[tuple[Candidate, ...]]:
    """Yield sets of candidates from the fullest to none; `tuned` has the most epochs first, half an epoch last."""
    whole_epochs = tuned[:-1]
    informed = prompted[-1:]
    for kept, tunings in ((prompted, whole_epochs), (informed, tuned), ((), tuned)):
        for candidate in tunings:
            yield (*kept, candidate)
    yield from (tuple(prompted), tuple(informed), ())


def _without_model(config: Config) -> tuple[Candidate, ...]:
    names = (("most_frequent", "most frequent answer"), ("tfidf", "TF-IDF"))
    data = config.data.model_dump(mode="json")
    return tuple(
        Candidate(method, title, "baseline", {"data": data, "method": method, "prove_on": "choose"}, _BASELINE_SECONDS)
        for method, title in names
    )


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
            "told_format",
            "told the format",
            "prompt",
            common | {"tell_format": True},
            _answering(measured, rows, told),
        ),
    ]


def _lora(config: Config, material: Material, measured: Calibration, epochs: float) -> Candidate:
    recipe = {
        "data": config.data.model_dump(mode="json"),
        "model": config.model,
        "precision": config.precision,
        "adapter": {"method": "lora"},
        "training": {"epochs": epochs, "validations": _validations(epochs)},
        "seed": config.seed,
        "prove_on": "choose",
        "compare_before": False,
    }
    read_only = _validations(epochs) * measured.choose_tokens / 3  # a forward is a third of a step
    training = (epochs * measured.tune_tokens + read_only) / measured.train_tokens_per_second
    answering = _answering(measured, len(material.parts.choose), measured.prompt_tokens, measured.answer_tokens * 1.25)
    passes = "half an epoch" if epochs == 0.5 else f"{epochs:g} epoch{'s' if epochs > 1 else ''}"
    return Candidate("lora", f"LoRA r16, {passes}", "tune", recipe, _SAFETY * training + answering)


def _validations(epochs: float) -> int:
    """One look at the loss to choose an epoch, at least; more are for finding the best of many epochs."""
    return 4 if epochs > 1 else 1


def _answering(measured: Calibration, rows: int, prompt_tokens: float, answer_tokens: float | None = None) -> float:
    """Seconds to load a model and answer rows; an untuned model is reckoned to run to the output limit."""
    if not measured.usable:
        return 0.0
    written = measured.output_limit if answer_tokens is None else answer_tokens
    reading = prompt_tokens / measured.prefill_tokens_per_second
    return measured.load_seconds + _SAFETY * rows * (reading + written / measured.generate_tokens_per_second)


def _confirm_seconds(material: Material, measured: Calibration, chosen: Sequence[Candidate]) -> float:
    """Seconds to answer the rows to confirm with the tuned model and one prompted one, and to write the report."""
    rows = len(material.parts.confirm)
    seconds = _REPORT_SECONDS
    if any(candidate.stage == "tune" for candidate in chosen):
        seconds += _answering(measured, rows, measured.prompt_tokens, measured.answer_tokens * 1.25)
    if any(candidate.stage == "prompt" for candidate in chosen):
        seconds += _answering(measured, rows, measured.prompt_tokens + measured.instruction_tokens)
    return seconds
