"""What adapt says on the screen: rows beside labels, from the data to the next commands."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from luthier.core.budget import format_duration
from luthier.core.run import RunDirectory
from luthier.core.types import Example
from luthier.data.tasks import Task
from luthier.evaluation.comparison import Comparison
from luthier.evaluation.failures import Failures, label_conflicts
from luthier.evaluation.metrics import title_of
from luthier.reporting.blocks import Block, Cell, CellLike, Column, Interval, Row, Table, Verdict
from luthier.reporting.inline import escape
from luthier.reporting.quantities import size
from luthier.stages.adapt.choosing import Choice, Entry, Proof
from luthier.stages.adapt.findings import Findings
from luthier.stages.adapt.folds_found import PooledProof
from luthier.stages.adapt.plan import NO_TIME, Plan
from luthier.stages.adapt.recipe import Config
from luthier.stages.blocks import data_row, score_cell
from luthier.stages.glossary import GLOSSARY
from luthier.stages.material import Material

_MOST_CONFLICTS = 3
_FEW_TO_CONFIRM = 40
"""Below this a verdict seldom shows anything; a cross-validation confirms all rows."""


def show_plan(run: RunDirectory, config: Config, material: Material, plan: Plan) -> None:
    """Show the data, the machine and the plan, before anything is spent."""
    row = data_row(material, material.parts)
    if len(material.parts.confirm) < _FEW_TO_CONFIRM:
        row = Row(row.label, [*row.pieces, "`--cross-validate` shows more with few rows"])
    run.listener.show(row)
    run.listener.show(machine_row(run, config, plan))


def machine_row(run: RunDirectory, config: Config, plan: Plan) -> Row:
    """Say what the machine does and what will be tried."""
    environment, measured = run.manifest["environment"], plan.calibration
    on_cpu = measured.device in ("", "cpu")  # runs of earlier versions do not say
    lines = [f"{environment['cores']} cores" if on_cpu else escape(measured.device)]
    if measured.usable:
        lines[0] += (
            f", {measured.precision}; {escape(config.model)} learns about {measured.train_tokens_per_second:.0f} "
            "and writes about "
            f"{measured.generate_tokens_per_second:.0f} tokens/s here ({escape(measured.layout)})"
        )
    lines += [escape(measured.template_note)] * bool(measured.template_note)
    memory = f", {size(measured.memory_bytes)} of memory" if measured.memory_bytes else ""
    each = f" in each of {config.cross_validate} folds" if config.cross_validate else ""
    seconds = plan.seconds * (config.cross_validate or 1)
    lines.append(
        f"{len(plan.candidates)} candidates{each}, about {format_duration(seconds)} of a budget of "
        f"{format_duration(config.budget_seconds)}{memory}"
    )
    return Row("machine", [*lines, *_left_out(plan)])


def _left_out(plan: Plan) -> list[str]:
    """Say what was left out: what a larger budget would fit in one line, the rest with its reason."""
    waiting = [(title, reason.removeprefix(NO_TIME)) for title, reason in plan.left_out if reason.startswith(NO_TIME)]
    lines = [
        f"left out: {escape(title)} ({escape(reason)})"
        for title, reason in plan.left_out
        if not reason.startswith(NO_TIME)
    ]
    if waiting:
        lines.append("no time for: " + ", ".join(f"{escape(title)} ({escape(budget)})" for title, budget in waiting))
    return lines


def show_candidates(run: RunDirectory, material: Material, entries: Sequence[Entry], choice: Choice) -> None:
    """Show the table of candidates, and why their answers are wrong."""
    run.listener.show(candidates_table(material, entries, choice))
    if row := why_wrong_row(run, entries):
        run.listener.show(row)


def candidates_table(
    material: Material, entries: Sequence[Entry], choice: Choice, *, all_metrics: bool = False
) -> Table:
    """Tabulate all candidates on `choose`: score with interval, valid share, latency, memory, preparation time."""
    names = [m.name for m in material.metrics if m.name not in ("empty", "cut", "failed")]
    if not all_metrics:
        names = names[:1]
    columns = [
        Column(f"on {len(material.parts.choose)} rows to choose"),
        *(Column(title_of(name), "right", help=GLOSSARY.get(title_of(name), "")) for name in names),
        *(Column(name, "right", help=GLOSSARY[name]) for name in ("valid", "latency", "memory", "ready in")),
    ]
    rows: list[list[CellLike]] = []
    for entry in entries:
        chosen = entry is choice.winner
        rows.append(
            [
                Cell(entry.title, emphasis=chosen, note="chosen" if chosen else ""),
                *(score_cell(entry.scores, name, chosen) for name in names),
                f"{100 * entry.valid_share:.0f} %",
                f"{entry.latency_seconds:.2f} s",
                size(entry.memory_bytes),
                format_duration(entry.prepared_seconds),
            ]
        )
    return Table(columns, rows)


def why_wrong_row(run: RunDirectory, entries: Sequence[Entry]) -> Row | None:
    """Say why the uninformed prompt is wrong, and what is left when the model is told the format."""
    named = {entry.name: entry for entry in entries}
    lines = []
    if (as_is := named.get("as_is")) is not None:
        lines.append(f"as it is: {escape(as_is.failures.sentence())}")
    told = named.get("told_format") or named.get("held_to_format")
    if told is not None:
        lines.append(f"{escape(told.title)}: {escape(told.failures.sentence())}")
    if not lines:
        return None
    lines[-1] += f"   (`{escape(shlex.join(['luthier', 'show', str(run.path), 'failures']))}`)"
    return Row("why wrong", lines)


def confirm_row(found: Findings) -> Row:
    """Show scores on `confirm`, the winner against each rival, what was forgotten, and the target."""
    proof, choice, metric = found.proof, found.choice, found.metric
    titles = {entry.name: entry.title for entry in (choice.winner, *choice.rivals)}
    columns = [Column(f"{len(found.material.parts.confirm)} unseen rows"), Column(title_of(metric), "right")]
    rows: list[list[CellLike]] = [[titles[name], score_cell(scores, metric)] for name, scores in proof.scores.items()]
    lines: list[str | Block] = [Table(columns, rows)]
    for rival, comparison in zip(choice.rivals, proof.comparisons, strict=True):
        lines.append(escape(comparison.sentence(rival.phrase, choice.winner.phrase, reach=False)))
    return Row("confirm", [*lines, *beside_the_scores(proof)])


def beside_the_scores(proof: Proof | PooledProof) -> list[str]:
    """Say what was forgotten, whether answers end and have their form, and whether the target is reached."""
    lines = []
    if proof.forgetting is not None:
        lines.append(f"forgetting: {escape(proof.forgetting.sentence())}")
    if proof.ended is not None:
        lines.append(f"ends its turn: {proof.ended[0]}/{proof.ended[1]}")
    if proof.form is not None:
        lines += [f"form: {sentence}" for sentence in proof.form.sentences()]
    if proof.target is not None:
        lines.append(escape(proof.target.sentence()))
    return lines


def verdict_block(found: Findings) -> Verdict:
    """Say in one sentence what helped, and how sure that is."""
    choice, proof, metric = found.choice, found.proof, found.metric
    winner = choice.winner
    score = proof.scores[winner.name].interval(metric)
    rows = len(found.material.parts.confirm)
    figures = f"{title_of(metric)} {Interval(score.value, score.low, score.high)} on {rows} unseen rows"
    shown = [c.verdict == "better" for c in proof.comparisons]
    details = _details(choice, proof)
    if not winner.candidate.uses_model:
        tried = any(entry.candidate.uses_model for entry in found.entries)
        sentence = f"No language model tried here beats {winner.phrase}: {figures}."
        if not tried:
            sentence = f"Only rivals without a model were tried; {winner.phrase} is the best of them: {figures}."
        return Verdict(escape(sentence), "neutral" if tried else "unknown", details)
    if all(shown):
        sentence = f"{winner.candidate.adaptation} helped: {winner.phrase} is better than every rival, {figures}."
        return Verdict(escape(sentence), "good", details)
    unbeaten = [rival.phrase for rival, better in zip(choice.rivals, shown, strict=True) if not better]
    sentence = (
        f"Not shown: {winner.phrase} has {figures}, but it is not shown to be better than {' and '.join(unbeaten)}."
    )
    return Verdict(escape(sentence), "unknown", details)


def _details(choice: Choice, proof: Proof) -> list[str]:
    def said(rival: Entry, comparison: Comparison) -> str:
        return escape(comparison.sentence(rival.phrase, choice.winner.phrase))

    return [said(rival, comparison) for rival, comparison in zip(choice.rivals, proof.comparisons, strict=True)]


def mistakes_row(found: Findings) -> Row | None:
    """Say what the winner still gets wrong, and where the user's own labels disagree."""
    divided = found.material.parts
    rows = [*divided.tune, *divided.choose, *divided.confirm]
    return mistakes_in(found.proof.failures, rows, found.material.task)


def mistakes_in(failures: Failures, rows: Sequence[Example], task: Task) -> Row | None:
    """Count wrong answers, and name the `rows` that ask nearly the same and have different answers."""
    wrong = len(failures.failures)
    if not wrong:
        return None
    parts = [f"{name} {count}" for name, count in failures.fields.items()]
    other = {kind: count for kind, count in failures.counts.items() if kind != "wrong value" or not parts}
    parts += [f"{kind} {count}" for kind, count in other.items()]
    lines = [escape(f"{wrong} of {failures.rows}: {', '.join(parts)}")]
    for name, groups in label_conflicts(rows, task).items():
        shown = [", ".join(map(str, lines_of_group)) for lines_of_group in groups[:_MOST_CONFLICTS]]
        more = f" and {len(groups) - len(shown)} more" * (len(groups) > len(shown))
        lines.append(escape(f"your labels disagree on {name} in nearly equal rows: lines {'; '.join(shown)}{more}"))
    return Row("mistakes", lines)


def next_steps(run: RunDirectory, config: Config, choice: Choice, plan: Plan) -> list[str]:
    """Return the commands to try next; to go on is one, unless all that was named has been tried."""
    answer = ["luthier", "answer", str(run.path), "NEW_ROWS.csv"]
    again = go_on_steps(run, config, plan)
    if not choice.winner.candidate.uses_model:
        reading = _flags(config.data.read.model_dump(exclude={"skip_bad"}) | {"kind": config.data.kind})
        check = ["luthier", "data", "check", config.data.path, *reading]
        return [shlex.join(step) for step in (answer, check, *again)]
    return [shlex.join(step) for step in (["luthier", "chat", str(run.path)], answer, *again)]


def go_on_steps(run: RunDirectory, config: Config, plan: Plan) -> list[list[str]]:
    """Return the command that goes on from a run with a larger budget; none where all that was named has been tried."""
    if config.candidates and not plan.left_out:
        return []
    minutes = max(20, round(config.budget_seconds * 3 / 60))
    return [["luthier", "adapt", str(run.path), "--budget", f"{minutes}m"]]


def _flags(values: Mapping[str, Any]) -> list[str]:
    return [part for name, value in values.items() if value is not None for part in (f"--{name}", str(value))]
