"""What adapt shows on the screen, and its report and card."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from luthier.core.budget import format_duration
from luthier.core.files import write_atomically
from luthier.core.run import RunDirectory
from luthier.evaluation.answering import read_answers, seconds_of
from luthier.evaluation.comparison import Comparison
from luthier.evaluation.metrics import title_of
from luthier.models.source import DEFAULT_MODEL
from luthier.reporting.blocks import (
    Block,
    Cell,
    CellLike,
    Column,
    Heading,
    Interval,
    IntervalPlot,
    KeyValues,
    Row,
    Table,
    Text,
    Verdict,
)
from luthier.reporting.html import write_html
from luthier.reporting.inline import escape
from luthier.reporting.markdown import to_markdown
from luthier.reporting.quantities import size
from luthier.stages.adapt.choosing import Choice, Entry, Proof
from luthier.stages.adapt.plan import Plan
from luthier.stages.adapt.recipe import Config
from luthier.stages.blocks import (
    GLOSSARY,
    beside,
    curves,
    data_row,
    examples_block,
    lengths_table,
    reproduce,
    sample_rows,
    score_cell,
)
from luthier.stages.card import card_blocks
from luthier.stages.material import Material


def show_plan(run: RunDirectory, config: Config, material: Material, plan: Plan) -> None:
    """Show the data, the machine and the plan, before anything is spent."""
    run.listener.show(data_row(material, material.parts))
    run.listener.show(machine_row(run, config, plan))


def machine_row(run: RunDirectory, config: Config, plan: Plan) -> Row:
    """Say what the machine does and what will be tried."""
    environment, measured = run.manifest["environment"], plan.calibration
    lines = [f"{environment['cores']} cores"]
    if measured.usable:
        lines[0] += (
            f", {measured.precision}; {escape(config.model)} learns about {measured.train_tokens_per_second:.0f} "
            "and writes about "
            f"{measured.generate_tokens_per_second:.0f} tokens/s here ({escape(measured.layout)})"
        )
    memory = f", {size(measured.memory_bytes)} of memory" if measured.memory_bytes else ""
    lines.append(
        f"{len(plan.candidates)} candidates, about {format_duration(plan.seconds)} of a budget of "
        f"{format_duration(config.budget_seconds)}{memory}"
    )
    lines += [f"left out: {escape(title)} ({escape(reason)})" for title, reason in plan.left_out]
    return Row("machine", lines)


def candidates_table(material: Material, entries: Sequence[Entry], choice: Choice) -> Table:
    """Tabulate all candidates with their intervals on `choose`."""
    names = [m.name for m in material.metrics if m.name not in ("empty", "failed")]
    columns = [
        Column(f"on {len(material.parts.choose)} rows to choose"),
        *(Column(title_of(n), "right", help=GLOSSARY.get(title_of(n), "")) for n in names),
    ]
    columns.append(Column("ready in", "right", help="time to prepare the candidate: loading, learning, answering"))
    rows: list[list[CellLike]] = []
    for entry in entries:
        chosen = entry is choice.winner
        first = Cell(entry.title, emphasis=chosen, note="chosen" if chosen else "")
        rows.append([first, *(score_cell(entry.scores, n, chosen) for n in names), format_duration(_ready(entry))])
    return Table(columns, rows)


def show_candidates(run: RunDirectory, material: Material, entries: Sequence[Entry], choice: Choice) -> None:
    """Show the table of candidates."""
    run.listener.show(candidates_table(material, entries, choice))


def write_reports(
    run: RunDirectory,
    config: Config,
    material: Material,
    plan: Plan,
    entries: Sequence[Entry],
    choice: Choice,
    proof: Proof,
    seconds: float,
) -> None:
    """Show the proof and the verdict, and write report.html and card.md."""
    metric = material.task.metric
    confirmed, verdict = confirm_row(material, choice, proof), verdict_block(material, choice, proof)
    steps = next_steps(run, config, choice)
    for block in (confirmed, replace(verdict, details=())):  # the screen has just said what it rests on
        run.listener.show(block)
    table = candidates_table(material, entries, choice)
    blocks: list[Block] = [verdict, confirmed]
    blocks += [Heading("Candidates"), table, _plot(material, entries, metric), *_left_out(plan)]
    lora = next((entry for entry in entries if entry.candidate.stage == "tune"), None)
    if lora is not None and (drawn := curves(lora.run)):
        blocks += [Heading("Learning"), *drawn]
    blocks += [Heading("Answers"), *_one_example(material, entries, choice), *_answers(run, material, choice, proof)]
    blocks += [Heading("Data"), data_row(material, material.parts), *sample_rows(material)]
    model_run = next((entry.run for entry in entries if entry.candidate.uses_model), None)
    if model_run is not None:
        blocks.append(lengths_table(model_run.manifest["lengths"]))
    blocks += [Heading("Cost"), _cost(run, plan, entries, seconds), *reproduce(run)]
    if lora is not None:
        blocks += reproduce(lora.run)[1:2]
    write_html(
        run.path / "report.html",
        f"What helps on {Path(config.data.path).name}",
        blocks,
        subtitle=escape(str(run.path)),
        glossary=GLOSSARY,
    )
    if choice.winner.candidate.uses_model:
        write_atomically(
            run.path / "card.md", to_markdown(card_blocks(choice.winner.run, [verdict, confirmed, table], run.path))
        )
    run.listener.show(Row("report", f"`{escape(str(run.path / 'report.html'))}` (took {format_duration(seconds)})"))
    run.listener.show(Row("next", [f"`{escape(step)}`" for step in steps]))


def confirm_row(material: Material, choice: Choice, proof: Proof) -> Row:
    """Show scores on `confirm`, and the winner against each rival."""
    metric = material.task.metric
    titles = {entry.candidate.name: entry.title for entry in (choice.winner, *choice.rivals)}
    columns = [Column(f"{len(material.parts.confirm)} unseen rows"), Column(title_of(metric), "right")]
    rows: list[list[CellLike]] = [[titles[name], score_cell(scores, metric)] for name, scores in proof.scores.items()]
    lines: list[str | Block] = [Table(columns, rows)]
    for rival, comparison in zip(choice.rivals, proof.comparisons, strict=True):
        lines.append(escape(comparison.sentence(rival.phrase, choice.winner.phrase)))
    if proof.target is not None:
        lines.append(escape(proof.target.sentence()))
    return Row("confirm", lines)


def verdict_block(material: Material, choice: Choice, proof: Proof) -> Verdict:
    """Say in one sentence what helped, and how sure that is."""
    winner, metric = choice.winner, material.task.metric
    score = proof.scores[winner.candidate.name].interval(metric)
    rows = len(material.parts.confirm)
    figures = f"{title_of(metric)} {Interval(score.value, score.low, score.high)} on {rows} unseen rows"
    shown = [c.verdict == "better" for c in proof.comparisons]
    if not winner.candidate.uses_model:
        best_model = next((r for r in choice.rivals if r.candidate.uses_model), None)
        sentence = f"No language model tried here beats {winner.phrase}: {figures}."
        if best_model is None:
            sentence = f"Only rivals without a model were tried; {winner.phrase} is the best of them: {figures}."
        return Verdict(escape(sentence), "neutral" if best_model else "unknown", _details(choice, proof.comparisons))
    word = "Tuning" if winner.candidate.stage == "tune" else "Prompting"
    if all(shown):
        return Verdict(
            escape(f"{word} helped: {winner.phrase} is better than every rival, {figures}."),
            "good",
            _details(choice, proof.comparisons),
        )
    unbeaten = [rival.phrase for rival, better in zip(choice.rivals, shown, strict=True) if not better]
    sentence = (
        f"Not shown: {winner.phrase} has {figures}, but it is not shown to be better than {' and '.join(unbeaten)}."
    )
    return Verdict(escape(sentence), "unknown", _details(choice, proof.comparisons))


def _details(choice: Choice, comparisons: Sequence[Comparison]) -> list[str]:
    return [escape(c.sentence(r.phrase, choice.winner.phrase)) for r, c in zip(choice.rivals, comparisons, strict=True)]


def next_steps(run: RunDirectory, config: Config, choice: Choice) -> list[str]:
    """Return the three commands to try next."""
    minutes = max(20, round(config.budget_seconds * 3 / 60))
    reading = _flags(config.data.read.model_dump(exclude={"skip_bad"}) | {"kind": config.data.kind})
    model = _flags({"model": config.model if config.model != DEFAULT_MODEL else None, "target": config.target})
    skip_bad = ["--skip-bad"] * config.data.read.skip_bad
    again = ["luthier", "adapt", config.data.path, *model, *reading, *skip_bad, "--budget", f"{minutes}m"]
    answer = ["luthier", "answer", str(run.path), "NEW_ROWS.csv"]
    if not choice.winner.candidate.uses_model:
        check = ["luthier", "data", "check", config.data.path, *reading]
        return [shlex.join(step) for step in (answer, check, again)]
    return [shlex.join(step) for step in (["luthier", "chat", str(run.path)], answer, again)]


def _flags(values: Mapping[str, Any]) -> list[str]:
    return [part for name, value in values.items() if value is not None for part in (f"--{name}", str(value))]


def _plot(material: Material, entries: Sequence[Entry], metric: str) -> IntervalPlot:
    rows = [(entry.title, score_cell(entry.scores, metric)) for entry in entries]
    return IntervalPlot(
        rows, title=f"{title_of(metric)} on the rows to choose, with 95 % intervals", axis=title_of(metric)
    )


def _left_out(plan: Plan) -> list[Block]:
    if not plan.left_out:
        return []
    return [Text("Not tried:\n\n" + "\n".join(f"- {escape(t)}: {escape(r)}" for t, r in plan.left_out))]


def _one_example(material: Material, entries: Sequence[Entry], choice: Choice) -> list[Block]:
    """One row to choose: the model as it is beside the winner, preferably where the winner is right and it is not."""
    as_it_is = next((entry for entry in entries if entry.candidate.name == "as_is"), None)
    if as_it_is is None or as_it_is is choice.winner:
        return []
    metric = material.task.metric
    gains = choice.winner.scores.frame()[metric] - as_it_is.scores.frame()[metric]
    row = int(gains.argmax())
    before, after = (
        read_answers(entry.run.path / "evaluation" / "choose.jsonl")[row] for entry in (as_it_is, choice.winner)
    )
    intro = Text(f"One row to choose. Before: the model as it is. After: {escape(choice.winner.title)}.")
    return [intro, beside(material.parts.choose[row], before, after)]


def _answers(run: RunDirectory, material: Material, choice: Choice, proof: Proof) -> list[Block]:
    """Answers on `confirm`: the best rival's beside the winner's."""
    if not choice.rivals:
        return []
    metric, rival = material.task.metric, choice.rivals[0].candidate.name
    winner = choice.winner.candidate.name
    gains = proof.scores[winner].frame()[metric] - proof.scores[rival].frame()[metric]
    folder = run.path / "evaluation"
    before, after = read_answers(folder / f"confirm_{rival}.jsonl"), read_answers(folder / f"confirm_{winner}.jsonl")
    intro = Text(
        f"On the rows to confirm. Before: {escape(choice.rivals[0].title)}. After: {escape(choice.winner.title)}."
    )
    return [intro, *examples_block(material.parts.confirm, before, after, gains.tolist())]


def _ready(entry: Entry) -> float:
    """Seconds to prepare a candidate: its training, or nothing but loading and answering."""
    trained = sum(line["seconds"] for line in entry.run.timings())
    return float(trained or seconds_of(entry.run, "choose"))


def _cost(run: RunDirectory, plan: Plan, entries: Sequence[Entry], seconds: float) -> KeyValues:
    measured: dict[str, Any] = {}
    for entry in entries:
        measured |= entry.run.manifest.get("measured", {})
    pairs = [
        ("time, planned", format_duration(plan.seconds)),
        ("time, taken", format_duration(seconds)),
        ("memory, estimated", size(plan.calibration.memory_bytes)),
        ("memory, measured (whole process)", size(measured.get("memory_bytes", 0))),
    ]
    return KeyValues(pairs)
