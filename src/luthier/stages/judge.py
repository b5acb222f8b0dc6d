"""Measure a judge: how far it agrees with people on pairs of answers that people have labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from luthier.core import config
from luthier.core.run import RunDirectory
from luthier.evaluation.judges.agreement import Agreement, AmongPeople
from luthier.evaluation.judges.asking import to_judge
from luthier.evaluation.judges.grading import Grading
from luthier.evaluation.judges.judge import Judge, JudgeConfig, open_judge
from luthier.evaluation.judges.labelled import LabelledPair, PairColumns, read_pairs
from luthier.evaluation.judges.pairwise import OUTCOMES, Outcome
from luthier.evaluation.judges.win_rate import PlaceBias
from luthier.evaluation.statistics import Interval
from luthier.evaluation.statistics.resampling import cluster_codes
from luthier.reporting.blocks import Block, Column, Row, Table
from luthier.reporting.html import write_html
from luthier.reporting.inline import escape
from luthier.stages.blocks import reproduce
from luthier.stages.glossary import GLOSSARY
from luthier.stages.judging import judge_pairs, rubric_sentence
from luthier.stages.material import DataConfig, require_same_data


class Config(config.Config):
    """Recipe of measuring a judge."""

    judge: JudgeConfig
    data: DataConfig
    columns: PairColumns = Field(PairColumns(), description="where answers and labels stand")
    by: Literal["pairs", "grades"] = Field(
        "pairs",
        description="pairs: it compares two answers in both orders; grades: it grades each, the higher is better",
    )
    precision: str = Field("auto", description="fp32, bf16, or auto: bf16 where the machine computes in it")


def run(config: Config, run: RunDirectory) -> None:
    """Read labelled pairs, judge them, compare with the labels."""
    dataset, pairs = read_pairs(config.data.path, config.data.read, config.columns)
    require_same_data(run, config.data.path, dataset.digest)
    run.update(
        data={"path": config.data.path, "sha256": dataset.digest, "rows": len(pairs)},
        model={"name": config.judge.model},
    )
    people = [pair.label for pair in pairs]
    codes = cluster_codes([pair.example.cluster for pair in pairs])
    counts = ", ".join(f"{people.count(outcome):,} {outcome}" for outcome in OUTCOMES)
    run.listener.show(Row("run", f"`{escape(str(run.path))}`"))
    run.listener.show(
        Row("data", [escape(dataset.description), f"people's labels: {counts}; {int(codes.max()) + 1:,} questions"])
    )
    judge = open_judge(config.judge, config.precision, run.listener)
    said, place = _said(judge, pairs, config.by, run)
    agreement = Agreement.of(people, said, codes)
    among = AmongPeople.of([pair.annotators for pair in pairs])
    blocks: list[Block] = [
        Row("judge", f"{escape(judge.name)}, by {config.by}, {rubric_sentence(judge.rubric)}"),
        _table(agreement),
        Row("agreement", _agreement_lines(agreement, among)),
        *([Row("place", place.sentence())] if place else []),
        Row("length", _length_sentence(pairs, said)),
        Row("verdict", _verdict(agreement)),
    ]
    for block in blocks:
        run.listener.show(block)
    shown = [*blocks, *reproduce(run)]
    write_html(run.path / "report.html", f"Does {config.judge.model} agree with people?", shown, glossary=GLOSSARY)
    run.listener.show(Row("report", f"`{escape(str(run.path / 'report.html'))}`"))
    run.finish(_to_json(judge, config, agreement, among, place))


def _said(
    judge: Judge, pairs: Sequence[LabelledPair], by: str, run: RunDirectory
) -> tuple[list[Outcome], PlaceBias | None]:
    """Return which answer the judge prefers; of verdicts on pairs also how often the place decided."""
    if by == "pairs":
        verdicts = judge_pairs(judge, [pair.example for pair in pairs], [pair.answers for pair in pairs], run, "pairs")
        return [verdict.outcome for verdict in verdicts], PlaceBias.of(verdicts)
    asked = [
        to_judge(replace(pair.example, id=f"{pair.example.id} {which}"), text)
        for pair in pairs
        for which, text in zip(("first", "second"), pair.answers, strict=True)
    ]
    grades = [verdict.scores.get("grade") for verdict in judge.verdicts(asked, Grading(judge.rubric), run, "grades")]
    return [_higher(first, second) for first, second in zip(grades[::2], grades[1::2], strict=True)], None


def _higher(first: float | None, second: float | None) -> Outcome:
    """Return the answer with the higher grade; a tie where they are equal, or one could not be graded."""
    if first is None or second is None or abs(first - second) < 1e-9:
        return "tie"
    return "first" if first > second else "second"


def _table(agreement: Agreement) -> Table:
    names = {"first": "first better", "second": "second better", "tie": "tie"}
    columns = [Column("people say"), *(Column(f"judge: {names[outcome]}", "right") for outcome in OUTCOMES)]
    rows = [[names[a], *(f"{agreement.table[a][b]:,}" for b in OUTCOMES)] for a in OUTCOMES]
    return Table(columns, rows)


def _agreement_lines(agreement: Agreement, among: AmongPeople | None) -> list[str]:
    lines = [
        f"Cohen's kappa {_number(agreement.kappa)}: 1 is always the same, 0 no better than chance",
        f"the same in {_percent(agreement.raw)} of {agreement.raw.rows:,} pairs; always saying people's commonest "
        f"label would agree in {100 * agreement.commonest:.1f} %",
    ]
    if agreement.both_decide:
        lines.append(
            f"where neither says tie ({agreement.both_decide:,} of them): the same in {_percent(agreement.decided)}"
        )
    if among:
        lines.append(
            f"people among themselves ({among.annotators} a pair): the same in {100 * among.raw:.1f} %, kappa "
            f"{among.kappa:.2f}"
        )
    return lines


def _verdict(agreement: Agreement) -> str:
    if warning := agreement.warning():
        return f"**{warning}** (kappa {_number(agreement.kappa)}; paired test p = {agreement.p_value:.3f})."
    return (
        f"This judge agrees with people better than chance (kappa {_number(agreement.kappa)}), on pairs like these. "
        "Whether that is enough is for you to say: compare it with people among themselves."
    )


def _length_sentence(pairs: Sequence[LabelledPair], said: Sequence[Outcome]) -> str:
    """Say how often the longer answer is preferred, by people and by the judge."""
    longer: list[Outcome] = [_longer(pair) for pair in pairs]
    shares = []
    for who, outcomes in (("people", [pair.label for pair in pairs]), ("the judge", said)):
        decided = [a == b for a, b in zip(outcomes, longer, strict=True) if "tie" not in (a, b)]
        share = f"in {100 * sum(decided) / len(decided):.0f} % of {len(decided):,} pairs" if decided else "in no pair"
        shares.append(f"{who} {share}")
    return f"the longer answer is preferred by {' and by '.join(shares)} (ties aside)"


def _longer(pair: LabelledPair) -> Outcome:
    first, second = map(len, pair.answers)
    return "tie" if first == second else "first" if first > second else "second"


def _to_json(
    judge: Judge, config: Config, agreement: Agreement, among: AmongPeople | None, place: PlaceBias | None
) -> dict[str, Any]:
    chance = "" if agreement.shown else ", no better than chance"
    return {
        "verdict": f"kappa {agreement.kappa.value:.2f}{chance}",
        "judge": judge.identity,
        "by": config.by,
        "agreement": agreement.to_json(),
        "among_people": among.to_json() if among else None,
        "place": place.to_json() if place else None,
    }


def _number(found: Interval) -> str:
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def _percent(found: Interval) -> str:
    return f"{100 * found.value:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f})"
