"""What a bake-off may try: each way to do the task as a stage and its recipe, with the time it is reckoned to take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from luthier.evaluation.latency import LATENCY_REQUESTS
from luthier.evaluation.retention import questions
from luthier.evaluation.retention.retained import MAX_TOKENS
from luthier.prompting.format_instruction import constraint_for
from luthier.stages.adapt.calibration import Calibration
from luthier.stages.adapt.recipe import Config
from luthier.stages.material import Material

Kind = Literal["tuned", "prompted", "without a model"]

DEMONSTRATIONS = 4
_SAFETY = 1.2
"""Plans reckon with 20 % more than measured: other programs run too."""
_BASELINE_SECONDS = 2.0
_QUESTION_TOKENS = 60
"""Of a general question with its template, about."""


@dataclass(frozen=True)
class Candidate:
    """One way to do the task: a stage and its recipe, run as a child run called `name`.

    Attributes:
        on: "tuned" answers with the adapter of the best tuned candidate before it, in place of the recipe's model.
    """

    name: str
    title: str
    stage: str
    recipe: Mapping[str, Any]
    seconds: float
    on: str = ""

    @property
    def kind(self) -> Kind:
        """What kind of rival it is."""
        if self.stage == "baseline":
            return "without a model"
        return "tuned" if self.stage == "tune" or self.on else "prompted"

    @property
    def epochs(self) -> float:
        """Passes over the rows to learn from; 0 where nothing is trained."""
        return float(self.recipe["training"]["epochs"]) if self.stage == "tune" else 0.0

    @property
    def adaptation(self) -> str:
        """What helped where it wins, as a sentence begins."""
        if self.name == "as_is":
            return "No adaptation"
        return {"tuned": "Tuning", "prompted": "Prompting", "without a model": "A model-free method"}[self.kind]

    @property
    def uses_model(self) -> bool:
        """Whether a language model answers."""
        return self.kind != "without a model"


class Candidates:
    """The candidates for one task, model and machine."""

    def __init__(self, config: Config, material: Material, measured: Calibration) -> None:
        self._config = config
        self._measured = measured
        self._parts = material.parts
        self._data = config.data.model_dump(mode="json")
        self.constrained = bool(constraint_for(material.task))
        self._held_to = "schema" if material.task.kind == "extraction" else "labels"

    def asked_for(self, name: str) -> bool:
        """Say whether a candidate with a model, or the look at what was forgotten, may be tried."""
        return not self._config.candidates or name in self._config.candidates

    # ---------------------------------------------------------------- the candidates

    def without_model(self) -> list[Candidate]:
        """The rivals that any language model should beat."""
        named = (("most_frequent", "most frequent answer"), ("tfidf", "TF-IDF"))
        common = {"data": self._data, "prove_on": "choose"}
        return [Candidate(n, t, "baseline", common | {"method": n}, _BASELINE_SECONDS) for n, t in named]

    def as_is(self) -> Candidate:
        """The user's prompt verbatim."""
        return self._prompted("as_is", "as it is", {}, self._measured.prompt_tokens)

    def told_format(self) -> Candidate:
        """The task in a sentence, with labels or schema, before the prompt."""
        return self._prompted("told_format", "told the format", {"tell_format": True}, self._told_tokens)

    def held_to_format(self) -> Candidate:
        """The same, with decoding that allows nothing else."""
        title = "told the schema" if self._held_to == "schema" else "held to the labels"
        return self._prompted("held_to_format", title, {"tell_format": True, "constrain": True}, self._told_tokens)

    def informed(self) -> Candidate:
        """The strongest prompt without demonstrations."""
        return self.held_to_format() if self.constrained else self.told_format()

    def few_shot(self, selection: Literal["random", "nearest"]) -> Candidate:
        """Demonstrations, on top of the format. Random ones are the same for all questions, and read once."""
        shown = "examples" if selection == "random" else "nearest examples"
        title = f"{DEMONSTRATIONS} {shown}" + f" + {self._held_to}" * self.constrained
        strategy = {"strategy": "few_shot", "examples": DEMONSTRATIONS, "selection": selection}
        more = {"strategy": strategy, "tell_format": True, "constrain": self.constrained}
        shots = self._shot_tokens if selection == "nearest" else 0.0
        return self._prompted(f"few_shot_{selection}", title, more, self._told_tokens + shots)

    def lora(self, epochs: float, name: str = "lora") -> Candidate:
        """Low-rank adaptation."""
        measured = self._measured
        recipe = self._common | {
            "adapter": {"method": "lora"},
            "training": {"epochs": epochs, "validations": _validations(epochs)},
            "seed": self._config.seed,
            "compare_before": False,
        }
        read_only = _validations(epochs) * measured.choose_tokens / 3  # a forward is a third of a step
        training = (epochs * measured.tune_tokens + read_only) / measured.train_tokens_per_second
        seconds = _SAFETY * training + self._trying(measured.prompt_tokens, self._tuned_tokens)
        passes = "half an epoch" if epochs == 0.5 else f"{epochs:g} epoch{'s' if epochs > 1 else ''}"
        return Candidate(name, f"LoRA r16, {passes}", "tune", recipe, seconds)

    def tuned_held_to_format(self) -> Candidate:
        """The best tuned candidate, with decoding that allows only the format."""
        seconds = self._trying(self._measured.prompt_tokens, self._tuned_tokens)
        recipe = self._common | {"constrain": True}
        return Candidate("tuned_held", f"LoRA + {self._held_to}", "prompt", recipe, seconds, on="tuned")

    # ---------------------------------------------------------------- seconds

    def confirming_seconds(self, chosen: Sequence[Candidate]) -> float:
        """Seconds to answer the rows to confirm with the best candidate of each kind, whichever that will be."""
        measured, rows = self._measured, len(self._parts.confirm)
        kinds = {candidate.kind for candidate in chosen}
        seconds = 0.0
        if "tuned" in kinds:
            seconds += self._answering(rows, measured.prompt_tokens, self._tuned_tokens)
        if "prompted" in kinds:
            nearest = any(candidate.name == "few_shot_nearest" for candidate in chosen)
            shots = self._shot_tokens if nearest else 0.0
            written = self._tuned_tokens if self.constrained else measured.output_limit
            seconds += self._answering(rows, self._told_tokens + shots, written)
        return seconds

    def retention_seconds(self) -> float:
        """Seconds to ask the general questions before and after; before is remembered from an earlier run."""
        return 2 * self._answering(len(questions()), _QUESTION_TOKENS, MAX_TOKENS / 2)

    def _answering(self, rows: int, prompt_tokens: float, written: float, alone: int = 0) -> float:
        """Seconds to load a model, answer rows together, and a few alone to see how long one takes."""
        measured = self._measured
        reading = prompt_tokens / measured.prefill_tokens_per_second
        together = rows * (reading + written / measured.generate_tokens_per_second)
        singly = alone * (reading + written * measured.seconds_a_token_alone)
        return measured.load_seconds + _SAFETY * (together + singly)

    def _trying(self, prompt_tokens: float, written: float) -> float:
        """Seconds to answer the rows to choose, and to measure the latency."""
        return self._answering(len(self._parts.choose), prompt_tokens, written, alone=LATENCY_REQUESTS)

    def _prompted(self, name: str, title: str, more: Mapping[str, Any], prompt_tokens: float) -> Candidate:
        written = self._tuned_tokens if more.get("constrain") else self._measured.output_limit
        seconds = self._trying(prompt_tokens, written)
        return Candidate(name, title, "prompt", {**self._common, **more}, seconds)

    @property
    def _common(self) -> dict[str, Any]:
        config = self._config
        return {"data": self._data, "model": config.model, "precision": config.precision, "prove_on": "choose"}

    @property
    def _told_tokens(self) -> float:
        return self._measured.prompt_tokens + self._measured.instruction_tokens

    @property
    def _shot_tokens(self) -> float:
        return DEMONSTRATIONS * (self._measured.prompt_tokens + self._measured.answer_tokens)

    @property
    def _tuned_tokens(self) -> float:
        """Tokens of an answer that ends where it should; an untuned model is reckoned to run to the output limit."""
        return self._measured.answer_tokens * 1.25


def _validations(epochs: float) -> int:
    """One look at the loss to choose an epoch, at least; more are for finding the best of many epochs."""
    return 4 if epochs > 1 else 1
