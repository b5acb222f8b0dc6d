"""A judge: a model with a rubric, what is known of its agreement with people, and its verdicts kept in a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from luthier.core.config import Config
from luthier.core.errors import ConfigError, DataError, RunError
from luthier.core.files import sha256_text
from luthier.core.listener import Listener
from luthier.core.protocols import LanguageModel
from luthier.core.run import RunDirectory
from luthier.core.types import Answer, Example
from luthier.evaluation.answerers import Prompted
from luthier.evaluation.answering import collect_answers
from luthier.evaluation.judges.grading import Grading
from luthier.evaluation.judges.pairwise import Pairwise
from luthier.evaluation.judges.rubric import Rubric, read_rubric
from luthier.evaluation.opening import open_model, require_there
from luthier.reporting.inline import escape

CHECK = "judge"
"""The stage that measures a judge; its runs can be named as judges."""


class JudgeConfig(Config):
    """Who judges, and by what."""

    model: str = Field(description="the model that judges: a name, a folder, or a run of tune")
    rubric: Rubric = Field(Rubric(), description="what it is told")
    checked: str | None = Field(None, description="the run of `luthier judge` that measured it; null: none did")


def judge_settings(spec: str, rubric: Path | None = None) -> dict[str, Any]:
    """Return the `judge` section of a recipe for what a person wrote: a model, or a run that measured a judge.

    Raises:
        ConfigError: for a rubric that is no rubric, or one beside a run, which has its own.
        RunError: for a run that is not there, or has not measured its judge to the end.
    """
    require_there(spec)
    path = Path(spec)
    if RunDirectory.is_run(path) and (run := RunDirectory(path)).manifest["stage"] == CHECK:
        if rubric is not None:
            raise ConfigError(
                f"{spec} measured a judge with a rubric of its own; with another it is another judge. Leave --rubric "
                f"out, or measure the two together: luthier judge {run.recipe['judge']['model']} PAIRS --rubric "
                f"{rubric}."
            )
        if run.status != "finished":
            raise RunError(
                f"{spec} has not measured its judge (status {run.status}). Finish it: luthier resume {spec}."
            )
        return {**run.recipe["judge"], "checked": spec}
    return {"model": spec, "rubric": (read_rubric(rubric) if rubric else Rubric()).model_dump(mode="json")}


@dataclass
class Judge:
    """A model with a rubric.

    Attributes:
        name: What the person wrote for the model.
        model: The model.
        rubric: What it is told.
        measured: The run that measured it: its verdict, and `by` what way of judging; empty if none did.
    """

    name: str
    model: LanguageModel
    rubric: Rubric
    measured: dict[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """SHA-256 of what its verdicts depend on, beside what is judged."""
        return sha256_text(self.model.identity, self.rubric.digest())

    def verdicts(self, asked: Sequence[Example], by: Grading | Pairwise, run: RunDirectory, name: str) -> list[Answer]:
        """Return a verdict on each of the rows made by `to_judge`, stored in the run; goes on where it stopped.

        The file's name holds a digest of judge, rubric and all that is judged: other answers are judged anew.

        Raises:
            DataError: if not one could be judged; the verdicts are removed, since they are of no use.
        """
        answerer = Prompted(self.model, by)
        texts = (text for example in asked for text in (example.id, *example.fields["answers"]))
        questions = (turn.content for example in asked for turn in example.messages)
        digest = sha256_text(answerer.identity, *texts, *questions)
        file = f"judged_{name}_{digest[:12]}"
        verdicts = collect_answers(answerer, asked, run, file)
        failed = [verdict for verdict in verdicts if verdict.finish == "failed"]
        read = [verdict for verdict in verdicts if verdict.finish != "failed" and verdict.usage.calls]
        if failed and not read:  # blank and equal answers are judged without being read
            (run.path / "evaluation" / f"{file}.jsonl").unlink()
            raise DataError(
                f"The judge {self.name} could judge none of the {len(failed):,} rows that it had to read. The first: "
                f"{failed[0].text}"
            )
        return verdicts

    def trust(self, by: str) -> str:
        """Say how far its agreement with people is known, for verdicts of one kind ("pairs" or "grades")."""
        name = escape(self.name)
        if not self.measured:
            return (
                f"How far this judge agrees with people was not measured: its verdicts are the opinion of {name}, no "
                f"more. Measure it: luthier judge {name} LABELLED_PAIRS --by {by}."
            )
        agreement = self.measured["agreement"]
        figures = (
            f"kappa {agreement['kappa']['value']:.2f} (95 % interval {agreement['kappa']['low']:.2f} to "
            f"{agreement['kappa']['high']:.2f}) on {agreement['kappa']['rows']:,} labelled pairs"
        )
        if self.measured["by"] != by:
            return (
                f"This judge's agreement with people was measured by {self.measured['by']} ({figures}), not by {by}: "
                f"measure that too, with --by {by}."
            )
        if not agreement["shown"]:
            return f"**This judge agrees with people no better than chance: do not decide by it** ({figures})."
        return f"This judge's agreement with people: {figures}."


def open_judge(config: JudgeConfig, precision: str = "auto", listener: Listener | None = None) -> Judge:
    """Open the judge of a recipe.

    Raises:
        ModelError: if its model cannot be found or read.
        RunError: if the run that measured it is gone, or measured another judge.
    """
    measured: dict[str, Any] = {}
    if config.checked is not None:
        if not RunDirectory.is_run(Path(config.checked)):
            raise RunError(f"The run {config.checked}, which measured the judge, is gone. Name the model itself.")
        measured = RunDirectory(Path(config.checked)).manifest["verdict"]
    judge = Judge(config.model, open_model(config.model, precision, listener), config.rubric, measured)
    if measured and measured["judge"] != judge.identity:
        raise RunError(
            f"{config.model} is no longer the judge that {config.checked} measured: its weights, template or precision "
            f"are others. Measure it again: luthier judge {config.model} LABELLED_PAIRS."
        )
    return judge


@dataclass(frozen=True)
class Kin:
    """What tells whether a judge is related to one that answered: identity, and digest of the base's weights."""

    name: str
    identity: str
    base: str | None

    @classmethod
    def of(cls, name: str, answerer: Any) -> Kin | None:
        """Describe an answerer; None for one without a language model, or of which it is not known."""
        model = getattr(answerer, "model", None)
        if model is None:
            return None
        return cls(name, model.identity, getattr(getattr(model, "loaded", None), "digest", None))


def kinship(judge: Judge, answered: Sequence[Kin | None]) -> list[str]:
    """Say how a judge is related to those it judges; nothing where it is not, or where that is not known.

    Models prefer their own answers: Zheng et al. 2023, section 3.3; Panickssery et al. 2024, arXiv:2404.13076.
    """
    own = Kin.of(judge.name, judge)
    said = []
    for kin in answered:
        if kin is None or own is None:
            continue
        if kin.identity == own.identity:
            said.append(f"The judge is the model that answers as {kin.name}: models prefer their own answers. "
                        "Take another judge.")  # fmt: skip
        elif kin.base is not None and kin.base == own.base:
            said.append(f"The judge has the same base model as {kin.name}: models prefer answers like their own. "
                        "Take another judge.")  # fmt: skip
    return said
