"""A judge end to end, with a tiny model: measured against labels, grading in evaluate, comparing in compare."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import done, json_lines, luthier, manifest, page_text, refused

from luthier.core.files import read_json
from luthier.core.stopping import Paused
from luthier.evaluation import answering
from luthier.evaluation.judges import judge as judges
from luthier.stages.runs import verdict_in_words

SHORT = "instructions: Judge.\nscale: {lowest: 1, highest: 3}\ncriteria: [{name: tone}, {name: truth}]\n"


@pytest.fixture
def rubric(place: Path) -> Path:
    path = place / "rubric.yaml"
    path.write_text(SHORT, encoding="utf-8")
    return path


def write_lines(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def labelled_pairs(folder: Path, count: int = 24) -> Path:
    rows: list[dict[str, object]] = [
        {
            "id": f"p{i}",
            "instruction": f"Question {i // 2}?",
            "response1": f"answer {i}",
            "response2": "another answer " * (1 + i % 3),
            "annotators": [i % 3, i % 3, (i * 7) % 3],
            "label": ("tie", 1, 2)[i % 3],
        }
        for i in range(count)
    ]
    return write_lines(folder / "pairs.jsonl", rows)


def questions(folder: Path, count: int = 12) -> Path:
    return write_lines(folder / "questions.jsonl", [{"id": f"q{i}", "prompt": f"Question {i}?"} for i in range(count)])


def answers(folder: Path, name: str, texts: list[str]) -> Path:
    rows: list[dict[str, object]] = [{"example_id": f"q{i}", "text": t, "finish": "stop"} for i, t in enumerate(texts)]
    return write_lines(folder / name, rows)


def two_answers_files(folder: Path, count: int = 12) -> tuple[Path, Path]:
    return (
        answers(folder, "a.jsonl", [f"short {i}" for i in range(count)]),
        answers(folder, "b.jsonl", [f"a longer answer {i} " * (1 + i % 4) for i in range(count - 1)] + [""]),
    )


# ------------------------------------------------------------------------------------------------------ luthier judge


def test_a_judge_is_measured_and_named_as_a_run(place: Path, model: Path, rubric: Path) -> None:
    said = done("judge", model, labelled_pairs(place), "--rubric", rubric, "--run", "check").said
    verdict = manifest(Path("check"))["verdict"]
    agreement = verdict["agreement"]
    assert agreement["kappa"]["rows"] == 24
    assert agreement["kappa"]["clusters"] == 12
    assert sum(sum(row.values()) for row in agreement["table"].values()) == 24
    assert verdict["among_people"]["annotators"] == 3
    assert "people among themselves (3 a pair)" in said
    assert "the two orders disagree on" in said
    assert "the longer answer is preferred by people in" in said
    assert agreement["kappa"]["low"] <= 0, "a random model does not agree"
    assert "This judge agrees with people no better than chance: do not decide by it" in said
    assert "do not decide by it" in page_text(Path("check"))
    assert verdict_in_words(manifest(Path("check"))).endswith("no better than chance")

    a, b = two_answers_files(place)
    compared = done("compare", a, b, "--data", questions(place), "--judge", "check", "--run", "compared").said
    assert "do not decide by it (kappa " in compared
    again = refused("compare", a, b, "--data", questions(place), "--judge", "check", "--rubric", rubric)
    assert "measured a judge with a rubric of its own" in again
    graded = done("evaluate", a, questions(place), "--judge", "check", "--run", "graded").said
    assert "agreement with people was measured by pairs" in graded
    assert "measure that too, with --by grades" in graded


def test_grades_are_measured_too(place: Path, model: Path, rubric: Path) -> None:
    result = done("judge", model, labelled_pairs(place, 8), "--rubric", rubric, "--by", "grades", "--json").json
    assert result["verdict"]["by"] == "grades"
    assert result["verdict"]["place"] is None
    assert result["verdict"]["agreement"]["raw"]["rows"] == 8
    (file,) = (Path(result["run"]) / "evaluation").glob("judged_grades_*.jsonl")
    assert len(json_lines(file)) == 16


# --------------------------------------------------------------------------------------------------- luthier evaluate


def test_evaluate_grades_answers_to_rows_without_right_answers(place: Path, model: Path, rubric: Path) -> None:
    a, b = two_answers_files(place)
    rows = questions(place)
    said = done("evaluate", b, rows, "--judge", model, "--rubric", rubric, "--run", "graded", "--export", "csv").said
    scores = read_json(Path("graded/steps/scores.json"))
    assert [metric["name"] for metric in scores["metrics"]] == ["grade", "empty", "cut", "failed"]
    grades = [row[0] for row in scores["rows"]["grade"]]
    assert grades[-1] == 0.0, "the blank answer"
    assert all(0 < grade < 1 for grade in grades[:-1])
    assert len(set(grades)) > 4
    assert "How far this judge agrees with people was not measured" in said
    assert "Grades from 1 to 3" in said
    assert "graded by the judge alone" in said or "the judge's grade alone counts" in said
    assert "grade" in Path("graded/rows.csv").read_text(encoding="utf-8").splitlines()[0]
    done("show", "graded", "answers")

    done("evaluate", a, rows, "--judge", model, "--rubric", rubric, "--run", "other")
    compared = done("compare", "graded", "other").said
    assert "judge's grade" in compared
    rubric.write_text(SHORT + "ties: false\n", encoding="utf-8")
    done("evaluate", a, rows, "--judge", model, "--rubric", rubric, "--run", "third")
    assert "were measured differently" in refused("compare", "graded", "third")


def test_evaluate_keeps_the_tasks_metric_where_there_are_right_answers(
    place: Path, files: Path, model: Path, rubric: Path
) -> None:
    arguments = ("evaluate", model, files / "labels.csv", "--judge", model, "--rubric", rubric)
    result = done(*arguments, "--run", "graded", "--json")
    assert next(iter(result.json["scores"]["scores"])) == "accuracy"
    assert "grade" in result.json["scores"]["scores"]
    assert "The judge is the model that answers" in result.said


# ---------------------------------------------------------------------------------------------------- luthier compare


def test_compare_by_a_judge(place: Path, model: Path, rubric: Path) -> None:
    a, b = two_answers_files(place)
    said = done("compare", a, b, "--data", questions(place), "--judge", model, "--rubric", rubric, "--run", "run").said
    found = manifest(Path("run"))["verdict"]["judged"][0]
    assert found["won"] + found["lost"] + found["tied"] == 12
    assert found["lost"] >= 1, "the blank answer loses"
    assert found["win_rate"]["value"] == pytest.approx((found["won"] + found["tied"] / 2) / 12)
    assert found["place"]["asked"] == 11
    for text in ("win rate", "at equal length", "the two orders disagree on", "was not measured", "by this judge"):
        assert text in said, text
    assert verdict_in_words(manifest(Path("run"))).startswith("win rate ")
    assert "holds a judge's verdicts on pairs" in refused("show", "run", "answers")
    assert "by a judge" in page_text(Path("run"))


def test_models_are_answered_for_and_their_kin_is_named(place: Path, model: Path, tuned: Path, rubric: Path) -> None:
    rows = write_lines(place / "rows.jsonl", [{"id": f"q{i}", "text": f"red fox {i}"} for i in range(3)])
    arguments = ("compare", model, tuned, "--data", rows, "--judge", model, "--rubric", rubric)
    said = done(*arguments, "--run", "run").said
    assert f"The judge is the model that answers as {model}" in said
    assert f"The judge has the same base model as {tuned}" in said
    assert [len(json_lines(Path(f"run/evaluation/answers_{i}.jsonl"))) for i in (1, 2)] == [3, 3]


def test_verdicts_are_kept_and_a_stopped_comparison_goes_on(
    place: Path, model: Path, rubric: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = two_answers_files(place)
    arguments = ("compare", a, b, "--data", questions(place), "--judge", model, "--rubric", rubric)
    done(*arguments, "--run", "whole")
    monkeypatch.setattr(answering, "WAVE", 4)
    waves = answering._answer_wave
    asked: list[int] = []

    def stopping(answerer, wave, tick):  # type: ignore[no-untyped-def]
        if isinstance(answerer, judges.Prompted):
            asked.append(len(wave))
            if len(asked) == 3:
                raise Paused
        return waves(answerer, wave, tick)

    monkeypatch.setattr(answering, "_answer_wave", stopping)
    assert luthier(*arguments, "--run", "part").code == 130
    (kept,) = Path("part/evaluation").glob("judged_pairs_2_*.jsonl")
    assert len(json_lines(kept)) == 8
    done("resume", "part")
    assert asked == [4, 4, 4, 4], "only what was missing is judged"
    (whole,) = Path("whole/evaluation").glob("judged_pairs_2_*.jsonl")
    assert kept.name == whole.name
    outcomes = [[row["text"] for row in json_lines(file)] for file in (kept, whole)]
    assert outcomes[0] == outcomes[1]
    verdicts = [manifest(Path(run))["verdict"]["judged"][0] for run in ("part", "whole")]
    assert [v["win_rate"] for v in verdicts] == [verdicts[0]["win_rate"]] * 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--judge", "MODEL"), "A judge compares answers to rows: name their file with --data FILE."),
        (("--rubric", "rubric.yaml"), "--rubric and --run are for comparisons by a judge. Name one: --judge MODEL."),
        (("--judge", "MODEL", "--data", "q", "--metrics", "accuracy"), "by metrics or by a judge"),
        (("--judge", "runs/7", "--data", "q"), "There is no run runs/7"),
        (("--judge", "MODEL", "--data", "q", "--margin", "0.7"), "margin"),
    ],
)
def test_what_does_not_go_together_is_refused(
    place: Path, model: Path, rubric: Path, more: tuple[str, ...], said: str
) -> None:
    (place / "runs").mkdir()
    a, b = two_answers_files(place)
    arguments = [str(model) if word == "MODEL" else str(questions(place)) if word == "q" else word for word in more]
    assert said in refused("compare", a, b, *arguments)


def test_a_group_a_grade_and_a_rubric_need_what_they_need(place: Path, model: Path, files: Path, rubric: Path) -> None:
    a, b = two_answers_files(place)
    group = refused("compare", a, f"{a},{b}", "--data", questions(place), "--judge", model)
    assert "A judge compares single answerers" in group
    assert "needs a judge" in refused("evaluate", model, files / "labels.csv", "--metrics", "grade")
    assert "A rubric is for a judge" in refused("evaluate", model, files / "labels.csv", "--rubric", rubric)


def test_a_judge_that_can_read_nothing_stops_the_run_and_leaves_no_verdicts(place: Path, model: Path) -> None:
    rubric = place / "long.md"
    rubric.write_text("Judge. " * 400, encoding="utf-8")  # more than the tiny model takes
    a, b = two_answers_files(place, 3)
    said = refused("compare", a, b, "--data", questions(place, 3), "--judge", model, "--rubric", rubric, "--run", "run")
    assert "could judge none of the 2 rows that it had to read. The first: The prompt" in said
    assert not list(Path("run/evaluation").glob("judged_*"))
