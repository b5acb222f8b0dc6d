"""Looking into a run: `luthier show RUN failures|answers|curves`.

What is read is what the run stored: its rows, its answers, its metrics. Answers are scored again by the task's primary
metric, so a run that is still under way can be looked into as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from luthier.core.errors import RunError, unknown_name
from luthier.core.run import RunDirectory
from luthier.core.types import Answer, Example
from luthier.data.tasks import CORPUS, Task, guess_task
from luthier.data.values import shorten
from luthier.evaluation.failures import KINDS, Failure, Failures, conflict_sentence, label_conflicts, sort_failures
from luthier.evaluation.metrics import title_of
from luthier.evaluation.opening import examples_of, require_there
from luthier.evaluation.statistics import Scores
from luthier.reporting.blocks import Block, CellLike, Column, Heading, Panel, Row, SideBySide, Table, Text
from luthier.reporting.inline import escape
from luthier.stages.asking import metrics_for, read_for, task_for
from luthier.stages.blocks import curves
from luthier.stages.material import DataConfig

PARTS = ("choose", "confirm")
MOST_FAILURES = 20
_PROMPT_CHARACTERS = 400
_ENDS = {"length": "cut at the output limit", "failed": "failed", "refused": "refused"}
Mark = Literal["right", "wrong", ""]


@dataclass(frozen=True)
class Shown:
    """What there is to see: blocks for the screen, and the same as JSON."""

    blocks: list[Block]
    found: Any


@dataclass(frozen=True)
class Evaluated:
    """One candidate's answers on one part of the rows.

    Attributes:
        candidate, title: Its name (a child run of adapt; before or after; else the stage), and its name for people.
        part: choose or confirm; "rows" where a run answered a file.
        examples, answers: The rows answered so far, and their answers in the same order.
        task: What the rows are about; None where they have no right answers.
    """

    candidate: str
    title: str
    part: str
    examples: tuple[Example, ...]
    answers: tuple[Answer, ...]
    task: Task | None

    @cached_property
    def scores(self) -> list[float]:
        """Each answer's score by the task's primary metric."""
        if self.task is None:
            raise RunError(
                f"The rows that {self.title} answered have no right answers, so none can be called wrong. Look at the "
                "answers themselves: luthier show RUN answers."
            )
        metrics = metrics_for(self.task, [self.task.metric], self.examples)
        measured = Scores.measure(self.title, self.examples, self.answers, metrics)
        return [float(score) for score in measured.frame()[self.task.metric]]

    @cached_property
    def failures(self) -> Failures:
        """The wrong answers."""
        scores = self.scores
        assert self.task is not None
        return sort_failures(self.examples, self.answers, scores, self.task)

    @property
    def by_row(self) -> dict[str, tuple[Example, Answer]]:
        """Row and answer by the row's name."""
        return {e.id: (e, a) for e, a in zip(self.examples, self.answers, strict=True)}

    def to_json(self) -> dict[str, Any]:
        """Return what it is, and how many answers are wrong in which way."""
        counts = {key: value for key, value in self.failures.to_json().items() if key != "failures"}
        named = {"candidate": self.candidate, "title": self.title, "part": self.part}
        return {**named, **counts, "sentence": self.failures.sentence()}


def show(
    spec: str, what: str, *, candidate: str | None = None, part: str | None = None, most: int | None = None
) -> Shown:
    """Return one view of a run.

    Args:
        spec: The run directory.
        what: failures, answers or curves.
        candidate: One candidate of adapt; before or after of tune. Left out, all are counted, and the answers of the
            chosen one are shown.
        part: choose or confirm. Left out, both are counted, and answers on choose are shown where there are any:
            what is done because of answers on confirm spoils the proof on these rows.
        most: Most answers that are shown; 20 failures and all answers if left out.

    Raises:
        RunError: for a run that is not there, or has nothing of this kind.
        ConfigError: for an unknown view, candidate or part; the text names those there are.
    """
    if what not in VIEWS:
        raise unknown_name("view", what, VIEWS)
    if part is not None and part not in PARTS:
        raise unknown_name("part", part, PARTS)
    require_there(spec)
    return VIEWS[what](RunDirectory.open(Path(spec)), candidate, part, most)


# ------------------------------------------------------------------------------------------------------------- views


def show_failures(run: RunDirectory, candidate: str | None, part: str | None, most: int | None) -> Shown:
    """Count wrong answers by what is wrong with them, then show them; say where the rows' own labels disagree."""
    evaluations = _matching(run, candidate, part)
    listed = _most_telling(run, evaluations)
    failures, rows = listed.failures, listed.by_row
    kept = failures.failures[: MOST_FAILURES if most is None else most]
    conflicts = _conflicts(run, listed.task)
    blocks: list[Block] = [_counts(evaluations)]
    if sentence := conflict_sentence(conflicts):
        blocks.append(Row("labels", escape(f"{sentence} Rows that ask nearly the same have different answers there.")))
    blocks.append(Heading(f"{listed.title} on {listed.part}: {failures.sentence()}", 3))
    blocks += [_beside(*rows[failure.example_id], _about(failure), "wrong") for failure in kept]
    if (left := len(failures.failures) - len(kept)) > 0:
        blocks.append(Text(f"… and {left} more: `--most {len(failures.failures)}`"))
    found = {
        "run": str(run.path),
        "evaluations": [e.to_json() for e in evaluations],
        "candidate": listed.candidate,
        "part": listed.part,
        "failures": [
            {"kind": failure.kind, "detail": failure.detail, "fields": list(failure.fields)}
            | _as_json(*rows[failure.example_id])
            for failure in kept
        ],
        "label_conflicts": {name: [list(lines) for lines in groups] for name, groups in conflicts.items()},
    }
    return Shown(blocks, found)


def show_answers(run: RunDirectory, candidate: str | None, part: str | None, most: int | None) -> Shown:
    """Show answers beside the right ones."""
    listed = _most_telling(run, _matching(run, candidate, part))
    scores: Sequence[float | None] = listed.scores if listed.task else [None] * len(listed.answers)
    kept = list(zip(listed.examples, listed.answers, scores, strict=True))[:most]
    blocks: list[Block] = [Heading(f"{listed.title} on {listed.part}: {len(kept)} of {len(listed.answers)} answers", 3)]
    blocks += [_beside(example, answer, *_judged(answer, score, listed.task)) for example, answer, score in kept]
    lines = [_as_json(example, answer) | {"score": score} for example, answer, score in kept]
    found = {"run": str(run.path), "candidate": listed.candidate, "part": listed.part, "answers": lines}
    return Shown(blocks, found)


def show_curves(run: RunDirectory, candidate: str | None, part: str | None, most: int | None) -> Shown:
    """Show how loss and right next-token predictions went, of the run or of each child that trained."""
    trained = {run.path.name: (run.manifest["stage"], run)} if run.manifest["stage"] != "adapt" else {}
    trained |= {name: (title, RunDirectory(run.path / "children" / name)) for name, title in _candidates(run).items()}
    trained = {name: (title, found) for name, (title, found) in trained.items() if len(found.metrics()) > 1}
    if not trained:
        raise RunError(
            f"{run.path} has no curves: nothing in it has trained for two steps (stage {run.manifest['stage']}, status "
            f"{run.status})."
        )
    if candidate is not None and candidate not in trained:
        raise unknown_name("candidate with curves", candidate, trained)
    kept = {name: entry for name, entry in trained.items() if candidate in (None, name)}
    blocks: list[Block] = []
    for title, found in kept.values():
        blocks += [Heading(title, 3), *curves(found)]
    lines = [{"candidate": name, "title": title, "metrics": found.metrics()} for name, (title, found) in kept.items()]
    return Shown(blocks, {"run": str(run.path), "curves": lines})


VIEWS: dict[str, Callable[[RunDirectory, str | None, str | None, int | None], Shown]] = {
    "failures": show_failures,
    "answers": show_answers,
    "curves": show_curves,
}


# ----------------------------------------------------------------------------------------------------------- finding


def evaluations_of(run: RunDirectory) -> list[Evaluated]:
    """Return all answers of a run (and of its children) to rows that it keeps or can read again.

    Raises:
        RunError: if it has none.
    """
    if run.manifest["stage"] in ("judge", "compare"):
        raise RunError(
            f"{run.path} holds a judge's verdicts on pairs of answers: they are in {run.path / 'evaluation'}, and what "
            f"they come to is in {run.path / 'report.html'}."
        )
    if (run.manifest.get("task") or {}).get("kind") == CORPUS:
        raise RunError(
            f"{run.path} has no answers: raw text is read and not answered. Its curves can be looked at: luthier show "
            f"{run.path} curves."
        )
    if run.manifest["stage"] in ("evaluate", "answer"):
        found = list(_of_a_file(run))
    else:
        rows = {part: examples_of(run, part) for part in ("tune", *PARTS)}
        task = guess_task(rows["tune"], run.recipe["data"]["kind"]) if rows["tune"] else None
        found = [
            _evaluated(name, title, part, rows[part], answers, task)
            for name, title, part, place, file in _places(run)
            if (answers := _stored(place, f"evaluation/{file}.jsonl"))
        ]
    if not found:
        raise RunError(
            f"{run.path} has no answers yet (stage {run.manifest['stage']}, status {run.status}). Go on with it: "
            f"luthier resume {run.path}."
        )
    return found


def _of_a_file(run: RunDirectory) -> Iterator[Evaluated]:
    """Yield the answers to a file's rows, which are read again: such a run keeps none."""
    recipe, labelled = run.recipe, run.manifest["stage"] == "evaluate" and bool(run.manifest.get("task", True))
    files = _files_of_answers(run)
    if not any(files.values()):
        return
    data = DataConfig.parse(recipe["data"], str(run.path / "recipe.yaml"))
    dataset = read_for(recipe["answerer"], data, need_answers=labelled)
    if dataset.digest != run.manifest["data"]["sha256"]:
        raise RunError(
            f"{data.path} has changed since {run.path} answered its rows, and the run keeps no rows of its own. Put "
            "the file back, or answer it anew."
        )
    task = task_for(recipe["answerer"], dataset.examples, data.kind) if labelled else None
    for name, answers in files.items():
        if answers:
            yield _evaluated(name, recipe["answerer"], "rows", dataset.examples, answers, task)


def _files_of_answers(run: RunDirectory) -> dict[str, dict[str, Answer]]:
    """Return the answers by the name of their file, of which there are several where answers were sampled."""
    samples = run.manifest["answers"]
    if isinstance(samples, list):
        return {Path(file).stem: _stored(run, file) for file in samples}
    return {run.manifest["stage"]: _stored(run, "evaluation/answers.jsonl")}


def _stored(run: RunDirectory, file: str) -> dict[str, Answer]:
    """Return stored answers by row, those that there are so far."""
    return {answer.example_id: answer for answer in map(Answer.from_json, run.files.lines(file))}


def _evaluated(
    name: str, title: str, part: str, rows: Sequence[Example], answers: dict[str, Answer], task: Task | None
) -> Evaluated:
    answered = tuple(example for example in rows if example.id in answers)
    return Evaluated(name, title, part, answered, tuple(answers[example.id] for example in answered), task)


def _places(run: RunDirectory) -> Iterator[tuple[str, str, str, RunDirectory, str]]:
    """Yield candidate, title, part, and the run and evaluation that its answers are in; in the order of making."""
    stage = run.manifest["stage"]
    for name, title in _candidates(run).items():
        yield name, title, "choose", RunDirectory(run.path / "children" / name), "choose"
        yield name, title, "confirm", run, f"confirm_{name}"
    if stage == "adapt":
        return
    for part in PARTS:
        if stage == "tune":
            yield "before", "the model before", part, run, f"before_{part}"
        name, title = ("after", "the tuned model") if stage == "tune" else (stage, stage)
        yield name, title, part, run, part


def _candidates(run: RunDirectory) -> dict[str, str]:
    """Return the candidates of a bake-off by name, with their titles, in the order of the plan."""
    planned = (run.step("plan") or {"candidates": []})["candidates"]
    titles = {candidate["name"]: candidate["title"] for candidate in planned}
    return titles | {child.path.name: child.path.name for child in run.children() if child.path.name not in titles}


def _matching(run: RunDirectory, candidate: str | None, part: str | None) -> list[Evaluated]:
    """Return the evaluations that were asked for."""
    evaluations = evaluations_of(run)
    names = dict.fromkeys(e.candidate for e in evaluations)
    if candidate is not None and candidate not in names:
        raise unknown_name("candidate", candidate, names)
    found = [e for e in evaluations if candidate in (None, e.candidate) and part in (None, e.part)]
    if not found:
        there = ", ".join(f"{e.candidate} on {e.part}" for e in evaluations)
        of = f" of {candidate}" if candidate else ""
        raise RunError(f"{run.path} has no answers{of} on {part}. There are: {there}.")
    return found


def _most_telling(run: RunDirectory, evaluations: Sequence[Evaluated]) -> Evaluated:
    """Return the evaluation whose answers are shown: of the chosen, or else the last candidate; on choose if it can."""
    names = [e.candidate for e in evaluations]
    chosen = Path(run.manifest.get("chosen") or "").name
    name = chosen if chosen in names else names[-1]
    return next(e for e in evaluations if e.candidate == name)


def _conflicts(run: RunDirectory, task: Task | None) -> dict[str, list[tuple[int, ...]]]:
    """Return where the run's own rows disagree; nothing for a run that keeps no rows."""
    rows = [example for part in ("tune", *PARTS) for example in examples_of(run, part)]
    return label_conflicts(rows, task) if rows and task is not None else {}


# ------------------------------------------------------------------------------------------------------------ blocks


def _counts(evaluations: Sequence[Evaluated]) -> Table:
    """Tabulate how many answers are wrong in which way, and in which fields."""
    kinds = [kind for kind in KINDS if any(kind in e.failures.counts for e in evaluations)]
    fields = any(e.failures.fields for e in evaluations)
    columns = [Column("candidate"), Column("name"), Column("on"), Column("rows", "right")]
    columns += [*(Column(kind, "right") for kind in kinds), *([Column("fields with wrong values")] if fields else [])]
    rows: list[list[CellLike]] = []
    for e in evaluations:
        named = ", ".join(f"{name} {count}" for name, count in e.failures.fields.items())
        counts = [str(e.failures.counts.get(kind, 0)) for kind in kinds]
        rows.append([e.title, e.candidate, e.part, str(len(e.examples)), *counts, *([named] if fields else [])])
    return Table(columns, rows)


def _beside(example: Example, answer: Answer, remark: str, mark: Mark) -> SideBySide:
    """Show a row's prompt, shortened, its answer and the right one."""
    panels = [Panel("answer", "" if answer.finish == "failed" else answer.text, mark)]
    panels += [Panel("right answer", reference) for reference in example.references]
    where = f"line {example.line}" if example.line else example.id
    context = shorten(example.prompt, _PROMPT_CHARACTERS)
    return SideBySide(
        panels, f"{where}: {remark}" if remark else where, context, reference=1 if example.references else None
    )


def _about(failure: Failure) -> str:
    return f"{failure.kind} ({failure.detail})" if failure.detail else failure.kind


def _judged(answer: Answer, score: float | None, task: Task | None) -> tuple[str, Mark]:
    """Return a remark on an answer, and whether it is right where a task knows right and wrong."""
    remarks = [_ENDS[answer.finish]] if answer.finish in _ENDS else []
    if answer.finish == "failed" and answer.text:
        remarks.append(answer.text)
    if task is None or score is None:
        return "; ".join(remarks), ""
    if task.kind in ("classification", "extraction"):
        return "; ".join(remarks), "right" if score >= 1 else "wrong"
    return "; ".join([f"{title_of(task.metric)} {score:.2f}", *remarks]), ""


def _as_json(example: Example, answer: Answer) -> dict[str, Any]:
    return {
        "line": example.line,
        "example_id": example.id,
        "prompt": example.prompt,
        "answer": answer.text,
        "finish": answer.finish,
        "references": list(example.references),
    }
