"""Compare answerers by a judge's verdicts on pairs of their answers: each candidate against the first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, field_validator

from luthier.core import config
from luthier.core.run import RunDirectory
from luthier.core.types import Answer, Example
from luthier.evaluation.answering import collect_answers
from luthier.evaluation.judges.comparison import JudgedComparison, adjusted_for_claims, compare_by_verdicts
from luthier.evaluation.judges.judge import Judge, JudgeConfig, Kin, open_judge
from luthier.evaluation.judges.pairwise import PairVerdict
from luthier.evaluation.statistics.scores import answers_in_order
from luthier.models.memory import release_memory
from luthier.reporting.blocks import Block, Cell, CellLike, Column, Interval, Panel, Row, SideBySide, Table
from luthier.reporting.html import write_html
from luthier.reporting.inline import escape
from luthier.stages.asking import open_for, read_for, require_some_answer, warn_of_learned_rows
from luthier.stages.blocks import reproduce
from luthier.stages.glossary import GLOSSARY
from luthier.stages.judging import judge_lines, judge_pairs, judge_row, shown_text
from luthier.stages.material import DataConfig, require_same_data

_SHOWN = 10
"""Pairs of answers in the report."""


class Config(config.Config):
    """Recipe of a comparison by a judge."""

    answerers: list[str] = Field(description="runs, models or answers files; the first is to be beaten")
    data: DataConfig
    judge: JudgeConfig
    margin: float | None = Field(
        None, gt=0, lt=0.5, description="distance of a win rate from a half that would not matter; 0.05: 45 to 55 %"
    )
    precision: str = Field("auto", description="fp32, bf16, or auto: bf16 where the machine computes in it")

    @field_validator("answerers")
    @classmethod
    def _several(cls, answerers: list[str]) -> list[str]:
        if len(answerers) < 2 or len(set(answerers)) < len(answerers):
            raise ValueError("name two answerers or more, each once")
        return answerers


def run(config: Config, run: RunDirectory) -> None:
    """Read, answer, judge, compare."""
    known = next((spec for spec in config.answerers if RunDirectory.is_run(Path(spec))), config.answerers[0])
    dataset = read_for(known, config.data, need_answers=False)
    require_same_data(run, config.data.path, dataset.digest)
    run.update(
        data={"path": config.data.path, "sha256": dataset.digest, "rows": len(dataset)},
        mapping=dataset.mapping.to_json(),
    )
    run.listener.show(Row("run", f"`{escape(str(run.path))}`"))
    run.listener.show(Row("data", f"{escape(dataset.description)}. {escape(dataset.mapping.explain())}"))
    answered = [_answers(spec, i, dataset.examples, config, run) for i, spec in enumerate(config.answerers, 1)]
    texts = [[shown_text(answer) for answer in answers] for answers, _ in answered]
    judge = open_judge(config.judge, config.precision, run.listener)
    verdicts = [
        judge_pairs(judge, dataset.examples, list(zip(texts[0], other, strict=True)), run, f"pairs_{i}")
        for i, other in enumerate(texts[1:], 2)
    ]
    found = adjusted_for_claims(
        [
            compare_by_verdicts(
                dataset.examples,
                (config.answerers[0], name),
                [(len(a), len(b)) for a, b in zip(texts[0], other, strict=True)],
                judged,
                margin=config.margin,
            )
            for name, other, judged in zip(config.answerers[1:], texts[1:], verdicts, strict=True)
        ]
    )
    kin = [kin for _, kin in answered]
    blocks = _blocks(judge, found, kin)
    for block in blocks:
        run.listener.show(block)
    pairs = _pairs_shown(dataset.examples, config.answerers, texts, verdicts[0])
    title = f"{', '.join(config.answerers[1:])} against {config.answerers[0]} by a judge"
    write_html(run.path / "report.html", title, [*blocks, *pairs, *reproduce(run)], glossary=GLOSSARY)
    run.listener.show(Row("report", f"`{escape(str(run.path / 'report.html'))}`"))
    first = found[0]
    run.update(judge={"identity": judge.identity, "model": judge.name, "measured": judge.measured})
    run.finish(
        {
            "verdict": f"win rate {100 * first.win_rate.value:.1f} %: {first.comparison.verdict}",
            "judged": [one.to_json() for one in found],
        }
    )


def _answers(
    spec: str, number: int, examples: Sequence[Example], config: Config, run: RunDirectory
) -> tuple[list[Answer], Kin | None]:
    """Let one answer all rows; its model is gone before the next one comes."""
    warn_of_learned_rows(spec, examples, run.listener)
    answerer = open_for(spec, examples, config.precision, run.listener)
    answers = collect_answers(answerer, examples, run, f"answers_{number}")
    if note := require_some_answer(answers, run):
        run.listener.say(f"{escape(spec)}: {escape(note)}")
    kin = Kin.of(spec, answerer)
    del answerer
    release_memory()
    return answers_in_order(examples, answers), kin


def _blocks(judge: Judge, found: Sequence[JudgedComparison], kin: Sequence[Kin | None]) -> list[Block]:
    first = found[0].comparison
    titles = ("win rate", "won", "lost", "tied", "at equal length")
    columns = [Column(f"{first.rows} rows, against {first.base}"), *(Column(title, "right") for title in titles)]
    rows: list[list[CellLike]] = []
    for one in found:
        length = one.length.interval if one.length else None
        figures = [f"{one.won:,}", f"{one.lost:,}", f"{one.tied:,}"]
        at_equal_length = Cell(Interval(length.value, length.low, length.high)) if length else "–"
        win_rate = Cell(Interval(one.win_rate.value, one.win_rate.low, one.win_rate.high))
        rows.append([one.comparison.candidate, win_rate, *figures, at_equal_length])
    failed = sum(one.place.failed for one in found)
    total = sum(one.comparison.rows for one in found)
    several = len(found) > 1
    lengths, places = (
        [
            f"{escape(one.comparison.candidate)}: {text}" if several else text
            for one, text in zip(found, texts, strict=True)
        ]
        for texts in ([one.length_sentence() for one in found], [one.place.sentence() for one in found])
    )
    return [
        Table(columns, rows),
        Row("length", lengths),
        Row("place", places),
        judge_row(judge_lines(judge, "pairs", kin, failed, total)),
        Row("verdict", [escape(one.sentence()) for one in found]),
    ]


def _pairs_shown(
    examples: Sequence[Example], names: Sequence[str], texts: Sequence[Sequence[str]], verdicts: Sequence[PairVerdict]
) -> list[Block]:
    """Show the first pairs with what the judge said, so that a person can look at whether it is right."""
    said = {"first": ("better", ""), "second": ("", "better"), "tie": ("tie", "tie")}
    blocks: list[Block] = []
    for i, (example, verdict) in enumerate(zip(examples, verdicts, strict=True)):
        if i == _SHOWN:
            break
        note = said[verdict.outcome]
        if verdict.outcome == "tie" and verdict.place:
            note = (f"tie: {verdict.place} preferred in both orders",) * 2
        panels = [Panel(name, of[i], "", by) for name, of, by in zip(names[:2], texts[:2], note, strict=True)]
        blocks.append(SideBySide(panels, title=example.id, context=example.prompt, reference=None))
    return blocks
