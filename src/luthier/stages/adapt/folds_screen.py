"""What a cross-validation says on the screen."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence

from luthier.core.run import RunDirectory
from luthier.data.labels import label_notes
from luthier.data.splits import Parts
from luthier.evaluation.metrics import title_of
from luthier.reporting.blocks import Cell, CellLike, Column, Interval, Row, Table, Verdict
from luthier.reporting.inline import escape
from luthier.stages.adapt.folds_found import FoldsFound
from luthier.stages.adapt.plan import Plan
from luthier.stages.adapt.recipe import Config
from luthier.stages.adapt.screen import beside_the_scores, go_on_steps, machine_row, mistakes_in
from luthier.stages.blocks import advice_sentence, power_sentence, read_sentence, score_cell, task_sentence
from luthier.stages.material import Material


def show_fold_plan(run: RunDirectory, config: Config, material: Material, parts: Sequence[Parts], plan: Plan) -> None:
    """Show the data and its folds, the machine and the plan, before anything is spent."""
    run.listener.show(fold_data_row(material, parts))
    run.listener.show(machine_row(run, config, plan))


def fold_data_row(material: Material, parts: Sequence[Parts], *, redact: bool = False) -> Row:
    """Say what was read, and how it is divided into folds; `redact` leaves out labels and texts."""
    tune, choose, confirm = (_range([len(one[name]) for one in parts]) for name in ("tune", "choose", "confirm"))
    lines = [
        read_sentence(material, redact=redact),
        task_sentence(material, redact=redact),
        *map(
            escape, label_notes(Parts(material.dataset.examples, (), ())) if material.task.labels and not redact else ()
        ),
        f"{len(parts)} folds: each time {tune} to tune | {choose} to choose | **{confirm} to confirm**; every row is "
        "confirmed once, by what never saw it",
        *map(escape, dict.fromkeys(note for one in (*parts, material.parts) for note in one.notes if _is_news(note))),
        advice_sentence(material, min(len(one.tune) for one in parts)),
        power_sentence(len(material.dataset)),
    ]
    return Row("data", lines)


def _is_news(note: str) -> bool:
    """Leave out the note on the rows of the last training: the line on folds says the same."""
    return not note.startswith("No row is set aside")


def _range(counts: Sequence[int]) -> str:
    least, most = min(counts), max(counts)
    return str(least) if least == most else f"{least} to {most}"


def folds_row(found: FoldsFound) -> Row:
    """Tabulate what each fold chose, and how that scores on its rows to choose and to confirm."""
    metric = found.metric
    columns = [Column("fold"), Column("chosen"), Column("on choose", "right"), Column("rows", "right")]
    columns.append(Column(title_of(metric), "right"))
    rows: list[list[CellLike]] = []
    for fold in found.folds:
        winner = fold.choice.winner
        confirmed = fold.scores(winner)
        rows.append([str(fold.number), winner.title, Interval(winner.scores.value(metric)), str(len(confirmed)),
                     Interval(confirmed.value(metric))])  # fmt: skip
    scores = found.proof.chosen.scores
    rows.append([Cell("all", emphasis=True), "", "", str(len(scores)), score_cell(scores, metric, emphasis=True)])
    return Row("folds", [Table(columns, rows)])


def pooled_row(found: FoldsFound) -> Row:
    """Show what adapt chooses and its rivals on all rows, their differences, and the target."""
    proof, metric = found.proof, found.metric
    columns = [Column(f"{len(proof.chosen.scores)} rows, each unseen"), Column(title_of(metric), "right")]
    ways = (proof.chosen, *proof.rivals)
    rows: list[list[CellLike]] = [[Cell(way.phrase, note=way.picked), score_cell(way.scores, metric)] for way in ways]
    return Row("confirm", [Table(columns, rows), *_said(found), *beside_the_scores(proof)])


def _said(found: FoldsFound) -> list[str]:
    """Return the differences in sentences, and once what they hold for."""
    proof = found.proof
    pairs = list(zip(proof.rivals, proof.comparisons, strict=True))
    lines = [escape(c.sentence(rival.phrase, proof.chosen.phrase, reach=False)) for rival, c in pairs]
    if any(comparison.verdict != "not shown" for comparison in proof.comparisons):
        lines.append(
            f"That holds for what adapt does with such rows, over {len(found.folds)} choices and trainings; one model "
            "alone may differ."
        )
    return lines


def final_row(found: FoldsFound, run: RunDirectory) -> Row:
    """Say which model (or rival without one) answers for the run, and that the score is not its own."""
    final, count = found.final, len(found.folds)
    place = escape(str(final.run.path.relative_to(run.path)))
    if final.instead:
        number = final.run.path.relative_to(run.path).parts[1].removeprefix("fold_")
        lines = [f"`{place}`: {escape(found.title)}, the winner of fold {number}, answers for this run: "
                 f"{escape(final.instead)}."]  # fmt: skip
    else:
        chosen = Counter(fold.choice.winner.name for fold in found.folds)[final.candidate.name]
        sizes = found.material.parts
        lines = [
            f"`{place}`: {escape(found.title)}, chosen in {chosen} of {count} folds, made once more with no fold set "
            f"aside ({len(sizes.tune)} to tune | {len(sizes.choose)} to choose), answers for this run."
        ]
    return Row(
        "model", [*lines, "It has no score of its own: the one above is of the folds' models, each on its own rows."]
    )


def fold_verdict(found: FoldsFound) -> Verdict:
    """Say in one sentence what helped, and how sure that is."""
    proof = found.proof
    score, rows = proof.chosen.scores.interval(found.metric), len(proof.chosen.scores)
    figures = (
        f"{title_of(found.metric)} {Interval(score.value, score.low, score.high)} on {rows} rows, each answered by "
        "what never saw it"
    )
    kinds = {entry.candidate.kind for entry in proof.chosen.picks}
    if kinds == {"without a model"}:
        return _without_a_model(found, figures)
    favourite = max(proof.chosen.picks, key=lambda entry: [e.name for e in proof.chosen.picks].count(entry.name))
    unbeaten = [r.phrase for r, c in zip(proof.rivals, proof.comparisons, strict=True) if c.verdict != "better"]
    what = f"what adapt chooses ({proof.chosen.picked})"
    if unbeaten:
        text = f"Not shown: {what} has {figures}, but it is not shown to be better than {' and '.join(unbeaten)}."
        return Verdict(escape(text), "unknown", _said(found))
    return Verdict(
        escape(f"{favourite.candidate.adaptation} helps on such rows: {what} is better than every rival, {figures}."),
        "good",
        _said(found),
    )


def _without_a_model(found: FoldsFound, figures: str) -> Verdict:
    chosen = found.proof.chosen
    if any(entry.candidate.uses_model for fold in found.folds for entry in fold.entries):
        return Verdict(
            escape(f"No language model tried here beats those without one ({chosen.picked}): {figures}."),
            "neutral",
            _said(found),
        )
    return Verdict(
        escape(f"Only rivals without a model were tried; the best of them ({chosen.picked}): {figures}."),
        "unknown",
        _said(found),
    )


def fold_mistakes_row(found: FoldsFound) -> Row | None:
    """Say what is still wrong over all folds, and where the user's own labels disagree."""
    return mistakes_in(found.proof.failures, found.material.dataset.examples, found.material.task)


def fold_next_steps(run: RunDirectory, config: Config, found: FoldsFound) -> list[str]:
    """Return the commands to try next."""
    steps = [["luthier", "chat", str(run.path)]] if found.final.candidate.uses_model else []
    steps.append(["luthier", "answer", str(run.path), "NEW_ROWS.csv"])
    return [shlex.join(step) for step in [*steps, *go_on_steps(run, config, found.plan)]]
