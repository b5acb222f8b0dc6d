"""Answer new, unlabelled rows."""

from __future__ import annotations

from pydantic import Field

from luthier.core import config
from luthier.core.run import RunDirectory
from luthier.evaluation.answering import collect_answers
from luthier.evaluation.opening import layout_of, open_answerer, require_answering
from luthier.reporting.blocks import Row
from luthier.reporting.inline import escape
from luthier.stages.asking import read_for, require_some_answer
from luthier.stages.material import DataConfig, require_same_data


class Config(config.Config):
    """Recipe of answering."""

    answerer: str = Field(description="a run directory or a model")
    data: DataConfig
    precision: str = Field("auto", description="fp32, bf16, or auto: bf16 where the machine computes in it")


def run(config: Config, run: RunDirectory) -> None:
    """Read, answer, write `answers.jsonl`."""
    require_answering(config.answerer)
    dataset = read_for(config.answerer, config.data, need_answers=False)
    require_same_data(run, config.data.path, dataset.digest)
    run.update(data={"path": config.data.path, "sha256": dataset.digest, "rows": len(dataset)}, answers="answers.jsonl")
    answerer = open_answerer(config.answerer, precision=config.precision, listener=run.listener)
    answers = collect_answers(answerer, dataset.examples, run, "answers")
    run.update(layout=layout_of(answerer))
    if note := require_some_answer(answers, run):
        run.listener.say(escape(note))
    target = run.path / "answers.jsonl"
    run.files.write("answers.jsonl", (run.path / "evaluation" / "answers.jsonl").read_bytes())
    written = len(run.files.lines("answers.jsonl"))
    cut = sum(answer.finish == "length" for answer in answers)
    failed = sum(answer.finish == "failed" for answer in answers)
    run.listener.show(
        Row("answers", f"{written} in `{escape(str(target))}`; {cut} cut at the output limit, {failed} failed")
    )
    run.finish({"answers": written, "cut": cut, "failed": failed})
