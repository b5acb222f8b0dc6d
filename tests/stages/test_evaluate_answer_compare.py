"""luthier evaluate, answer and compare: runs, models and finished answers on rows."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path

import pandas
import pytest
from command_line import (
    SETTINGS,
    done,
    json_lines,
    label_rows,
    luthier,
    manifest,
    page_text,
    refused,
    runs_in,
    status,
    write_rows,
)

import luthier as public
from luthier.core.files import read_json
from luthier.evaluation.comparison import compare
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.statistics import Scores, holm


def answers_file(path: Path, texts: dict[str, str]) -> Path:
    path.write_text(
        "".join(json.dumps({"example_id": i, "text": t, "finish": "stop"}) + "\n" for i, t in texts.items())
    )
    return path


def right_but(wrong: set[int], rows: int = 60) -> dict[str, str]:
    """Right answers to labels.csv, but for some rows."""
    return {
        row["id"]: "nonsense" if number in wrong else row["label"]
        for number, row in enumerate(label_rows()[:rows])
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------------- evaluate


def test_a_run_is_evaluated_on_other_rows(taught: Path, place: Path) -> None:
    """A run that learned the labels gets them right; 30 of 30 have Wilson's interval from n / (n + z²)."""
    write_rows(place / "new.csv", label_rows()[30:])
    called = done("evaluate", taught, "new.csv", "--json")
    run = place / "runs" / "1"
    assert called.json["run"] == "runs/1"
    assert called.json["scores"]["scores"]["accuracy"] == {
        "value": 1.0, "low": pytest.approx(30 / (30 + 1.959964**2)), "high": 1.0, "rows": 30,
    }  # fmt: skip
    assert list(called.json["scores"]["scores"]) == ["accuracy", "macro_f1", "empty", "cut", "failed"]
    assert [line["text"] for line in json_lines(run / "evaluation" / "answers.jsonl")] == [
        row["label"] for row in label_rows()[30:]
    ]
    assert manifest(run)["task"]["reason"] != "as told"
    assert manifest(run)["layout"] == "packed"
    assert "accuracy" in page_text(run)
    assert status(run) == "finished"


def test_a_base_model_is_evaluated_with_the_metrics_asked_for(files: Path, model: Path, place: Path) -> None:
    called = done("evaluate", model, files / "labels.csv", "--metrics", "exact_match, rougeL", "--run", "out", "--json")
    assert list(called.json["scores"]["scores"]) == ["exact_match", "rougeL"]
    answers = json_lines(place / "out" / "evaluation" / "answers.jsonl")
    assert len(answers) == 60
    longest = max(line["usage"]["completion_tokens"] for line in answers)
    assert longest == 12  # the longest reference in the model's own tokens x 1.25


def test_finished_answers_are_evaluated_without_a_model(files: Path, place: Path) -> None:
    answers_file(place / "mine.jsonl", right_but({0, 1, 2}))
    called = done("evaluate", "mine.jsonl", files / "labels.csv", "--json")
    assert called.json["scores"]["scores"]["accuracy"]["value"] == 57 / 60
    again = done("evaluate", "runs/1", files / "labels.csv", "--json")  # a run that answered is a file of answers
    assert again.json["scores"]["scores"]["accuracy"]["value"] == 57 / 60
    assert manifest(place / "runs" / "1")["layout"] is None


def test_an_answer_that_is_missing_counts_as_failed_and_is_told(files: Path, place: Path) -> None:
    texts = right_but(set()) | {"elsewhere": "x"}
    del texts["r3"], texts["r4"]
    answers_file(place / "mine.jsonl", texts)
    called = done("evaluate", "mine.jsonl", files / "labels.csv", "--json")
    assert called.json["scores"]["scores"]["accuracy"]["value"] == 58 / 60
    assert called.json["scores"]["scores"]["failed"]["value"] == 2 / 60
    said = " ".join(called.err.split())
    assert "mine.jsonl: 2 rows have no answer and count as failed and 1 answers are to no row." in said


def test_bleu_is_shown_with_its_signature(place: Path) -> None:
    write_rows(place / "rows.csv", [{"id": f"r{i}", "text": f"say {i}", "said": f"I say {i} again"} for i in range(9)])
    texts = {f"r{i}": f"I say {i} again" if i else "I say nothing" for i in range(9)}
    answers_file(place / "mine.jsonl", texts)
    reading = ("rows.csv", "--answer", "said", "--kind", "translation", "--metrics", "bleu,chrf")
    called = done("evaluate", "mine.jsonl", *reading, "--json")
    found = called.json["scores"]["scores"]["bleu"]
    assert re.fullmatch(r"nrefs:1\|case:mixed\|eff:no\|tok:13a\|smooth:exp\|version:2\.[\d.]+", found["signature"])
    assert f"BLEU{found['signature']} (sacrebleu)" in page_text(place / "runs" / "1")
    assert "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp" in "".join(called.err.split())
    # 8 answers of 4 words are right; the ninth has 2 of 3 words, 1 of 2 pairs, 0 of 1 triple, and is a word short.
    precisions = 34 / 35 * 25 / 26 * 16 / 17 * 8 / 8
    assert found["value"] == pytest.approx(precisions**0.25 * math.exp(1 - 36 / 35))
    chrf = called.json["scores"]["scores"]["chrf"]
    assert "|nc:6|" in chrf["signature"]
    assert 0.4 < chrf["low"] < 0.9 < chrf["value"] < chrf["high"]
    answers_file(place / "right.jsonl", {f"r{i}": f"I say {i} again" for i in range(9)})
    said = done("compare", "mine.jsonl", "right.jsonl", "--data", *reading).said
    assert "eff:yes|nc:6|nw:0" in "".join(said.split())
    assert "No difference is shown between right.jsonl and mine.jsonl: BLEU 1.000 against 0.9" in said


def test_references_without_spaces_are_cut_into_characters(place: Path) -> None:
    write_rows(place / "rows.jsonl", [{"id": f"r{i}", "text": f"say {i}", "said": f"我说{i}次你好"} for i in range(9)])
    answers_file(place / "mine.jsonl", {f"r{i}": f"我说{i}次你们好" for i in range(9)})
    reading = ("--answer", "said", "--kind", "translation", "--metrics", "bleu")
    found = done("evaluate", "mine.jsonl", "rows.jsonl", *reading, "--json").json["scores"]["scores"]["bleu"]
    assert "tok:zh" in found["signature"]
    assert found["value"] > 0.5


def test_calibration_of_answers_with_a_confidence(files: Path, place: Path) -> None:
    """54 of 60 are right at a confidence of 0.75, so the two are 15 points apart."""
    lines = [
        {"example_id": i, "text": text, "scores": {"confidence": 0.75}} for i, text in right_but(set(range(6))).items()
    ]
    (place / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    asked = ("mine.jsonl", files / "labels.csv", "--metrics", "ece,brier,mcc", "--kind", "classification")
    called = done("evaluate", *asked, "--json")
    scores = called.json["scores"]["scores"]
    assert scores["ece"]["value"] == pytest.approx(0.15)
    assert scores["brier"]["value"] == pytest.approx((54 * 0.0625 + 6 * 0.5625) / 60)
    assert 0.7 < scores["mcc"]["low"] < scores["mcc"]["value"] < scores["mcc"]["high"] < 1
    assert "0.15 [0." in page_text(place / "runs" / "1")
    text = refused("compare", "mine.jsonl", "mine.jsonl", "--data", files / "labels.csv", "--metrics", "bries")
    assert "Did you mean 'brier'?" in text


def test_without_a_confidence_calibration_is_refused_before_all_rows_are_answered(
    files: Path, model: Path, place: Path
) -> None:
    answers_file(place / "mine.jsonl", right_but(set()))
    for what in ("mine.jsonl", model):
        for call in (["evaluate", what, files / "labels.csv"], ["compare", what, what, "--data", files / "labels.csv"]):
            text = refused(*call, "--metrics", "brier")
            assert "brier needs the confidence in each answer, and that to example 'r0' has none" in text
            assert runs_in(place) == ["mine.jsonl"]


def test_scores_of_an_answers_file_are_numbers(files: Path, place: Path) -> None:
    (place / "mine.jsonl").write_text(json.dumps({"example_id": "r0", "text": "x", "scores": {"confidence": "0.8"}}))
    text = refused("evaluate", "mine.jsonl", files / "labels.csv")
    assert 'mine.jsonl:1: not an answer (scores is {"confidence": "0.8"}, not an object of numbers)' in text


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_row_an_example_is_exported(files: Path, place: Path, form: str) -> None:
    answers_file(place / "mine.jsonl", right_but({1}) | {"r2": ""})
    asked = ("mine.jsonl", files / "labels.csv", "--metrics", "accuracy,empty", "--export", form)
    called = done("evaluate", *asked, "--json")
    path = place / "runs" / "1" / f"rows.{form}"
    assert called.json["export"] == path.name
    assert f"runs/1/rows.{form}" in called.said
    table = pandas.read_csv(path, keep_default_na=False) if form == "csv" else pandas.read_parquet(path)
    assert list(table.columns) == ["id", "prompt", "reference", "answer", "finish", "accuracy", "empty"]
    assert list(table.id) == [row["id"] for row in label_rows()]
    assert list(table.reference) == [row["label"] for row in label_rows()]
    assert table.iloc[1].tolist() == ["r1", label_rows()[1]["text"], "shipping", "nonsense", "stop", 0.0, 0.0]
    assert table.iloc[2].tolist()[3:] == ["", "stop", 0.0, 1.0]
    assert table.accuracy.mean() == called.json["scores"]["scores"]["accuracy"]["value"] == 58 / 60


def test_an_unknown_export_is_refused_before_anything_is_done(files: Path, place: Path) -> None:
    answers_file(place / "mine.jsonl", right_but({1}))
    text = refused("evaluate", "mine.jsonl", files / "labels.csv", "--export", "xlsx")
    assert "export: Input should be 'csv' or 'parquet' (received 'xlsx')" in text
    assert runs_in(place) == ["mine.jsonl"]
    run = public.evaluate("mine.jsonl", files / "labels.csv", export="parquet")
    assert len(pandas.read_parquet(run.path / "rows.parquet")) == 60


def test_several_sampled_answers_to_a_row_are_scored_by_their_mean(model: Path, place: Path) -> None:
    write_rows(place / "rows.csv", label_rows()[:8])
    asked = (
        model,
        "rows.csv",
        "--metrics",
        "chrf,exact_match,empty",
        "--samples",
        3,
        "--temperature",
        1.5,
        "--seed",
        4,
    )
    called = done("evaluate", *asked, "--export", "csv", "--json")
    run = place / "runs" / "1"
    files = [f"evaluation/sample_{n}.jsonl" for n in (1, 2, 3)]
    assert called.json["answers"] == manifest(run)["answers"] == files
    sampling = called.json["sampling"]
    assert (sampling["temperature"], sampling["seeds"]) == (1.5, [4, 5, 6])
    assert 0 < sampling["standard_errors"]["chrf"] < 0.2
    assert "3 answers a row at temperature 1.5, seeds 4, 5, 6; their mean counts" in called.said
    assert "sampling alone gives chrF a standard error of" in page_text(run)
    texts = [[line["text"] for line in json_lines(run / file)] for file in files]
    assert len({tuple(some) for some in texts}) == 3
    scores = Scores.from_json(read_json(run / "steps" / "scores.json"))
    assert scores.finishes[0].split() == [json_lines(run / file)[0]["finish"] for file in files]
    assert called.json["scores"]["scores"]["chrf"]["value"] == scores.value("chrf")
    # Each sample is an ordinary answers file, and the run as a whole is none.
    alone = [done("evaluate", run / file, "rows.csv", "--metrics", "empty", "--json").json for file in files]
    assert scores.value("empty") == pytest.approx(sum(one["scores"]["scores"]["empty"]["value"] for one in alone) / 3)
    text = refused("evaluate", "runs/1", "rows.csv")
    assert "runs/1 has 3 sampled answers to each row. Name one of its samples: runs/1/evaluation/sample_1.jsonl" in text
    # The table has a row a sample.
    table = pandas.read_csv(run / "rows.csv", keep_default_na=False)
    assert list(table["sample"]) == [1] * 8 + [2] * 8 + [3] * 8
    assert list(table.answer) == [text for some in texts for text in some]
    assert list(table.columns)[:3] == ["id", "sample", "prompt"]
    # The same seeds give the same answers; what is stored can be looked at and compared.
    again = public.evaluate(model, "rows.csv", metrics=["chrf"], samples=3, temperature=1.5, seed=4)
    assert [(again.path / file).read_bytes() for file in files] == [(run / file).read_bytes() for file in files]
    assert "sample_2" in done("show", "runs/1", "failures").said
    (claim,) = done("compare", "runs/1", again.path, "--metrics", "chrf", "--json").json
    assert claim["candidate_value"] == claim["base_value"] == scores.value("chrf")


def test_one_sampled_answer_a_row_is_told(model: Path, place: Path) -> None:
    write_rows(place / "rows.csv", label_rows()[:4])
    called = done("evaluate", model, "rows.csv", "--temperature", 0.8, "--json")
    assert "temperature 0.8, one answer a row, seed 0" in called.said
    assert called.json["answers"] == "evaluation/answers.jsonl"
    assert called.json["sampling"] == {"temperature": 0.8, "seeds": [0], "standard_errors": {}}


def test_samples_at_temperature_0_are_refused_and_leave_nothing(files: Path, model: Path, place: Path) -> None:
    answers_file(place / "mine.jsonl", right_but(set()))
    for more in ([], ["--temperature", 0]):
        text = refused("evaluate", model, files / "labels.csv", "--samples", 5, *more)
        assert "At temperature 0 all 5 samples of a row are the same answer. Set --temperature above 0" in text
    text = refused("evaluate", "mine.jsonl", files / "labels.csv", "--samples", 5, "--temperature", 0.7)
    assert "mine.jsonl has one answer to each row and none to sample" in text
    assert luthier("evaluate", model, files / "labels.csv", "--samples", 0).code == 2
    assert runs_in(place) == ["mine.jsonl"]


# --------------------------------------------------------------------------------------------------------- answer


def test_new_rows_are_answered(taught: Path, place: Path) -> None:
    rows = [{key: row[key] for key in ("id", "text")} for row in label_rows()[30:42]]
    write_rows(place / "new.jsonl", rows)
    called = done("answer", taught, "new.jsonl", "--json")
    run = place / "runs" / "1"
    lines = json_lines(run / "answers.jsonl")
    assert [line["example_id"] for line in lines] == [row["id"] for row in rows]
    assert [line["text"] for line in lines] == [row["label"] for row in label_rows()[30:42]]
    assert {line["finish"] for line in lines} == {"stop"}
    assert called.json["verdict"] == {"answers": 12, "cut": 0, "failed": 0}
    assert (run / called.json["answers"]).is_file()
    # What was answered can be scored once the right answers are known.
    write_rows(place / "labelled.csv", label_rows()[30:42])
    scored = done("evaluate", run / "answers.jsonl", "labelled.csv", "--kind", "classification", "--json")
    assert scored.json["scores"]["scores"]["accuracy"]["value"] == 1.0


def test_a_winner_without_a_model_answers_too(files: Path, model: Path, place: Path) -> None:
    done("adapt", files / "labels.csv", "-m", model, "--budget", "15s", "--run", "best")
    write_rows(place / "new.csv", [{"text": f"{row['text']} now"} for row in label_rows()[:9]])
    done("answer", "best", "new.csv")
    texts = [line["text"] for line in json_lines(place / "runs" / "1" / "answers.jsonl")]
    assert texts == [row["label"] for row in label_rows()[:9]]


def test_rows_that_cannot_be_asked_fail_with_their_reason(model: Path, place: Path) -> None:
    write_rows(place / "new.jsonl", [{"text": "short"}, {"text": "long " * 600}, {"text": "a <|end|> in it"}])
    called = done("answer", model, "new.jsonl", "--prompt", "{text}")
    lines = json_lines(place / "runs" / "1" / "answers.jsonl")
    assert [line["finish"] for line in lines] == ["length", "failed", "failed"]
    assert "2 of 3 answers failed and count as wrong. The first: The prompt has" in called.said


def test_where_no_row_can_be_asked_nothing_is_left(model: Path, place: Path) -> None:
    write_rows(place / "new.jsonl", [{"text": "long " * 600}, {"text": "longer " * 600}])
    text = refused("answer", model, "new.jsonl", "--prompt", "{text}")
    assert "None of the 2 rows could be answered. The first: The prompt has 3" in text
    assert "the model takes 1792." in text  # 2048 less an answer of up to 256
    assert not (place / "runs").exists()


# -------------------------------------------------------------------------------------------------------- compare


def test_two_answers_files_are_compared(files: Path, place: Path) -> None:
    answers_file(place / "a.jsonl", right_but(set(range(12))))
    answers_file(place / "b.jsonl", right_but(set(range(1))))
    called = done("compare", "a.jsonl", "b.jsonl", "--data", files / "labels.csv", "--metrics", "exact_match", "--json")
    (claim,) = called.json
    assert (claim["base"], claim["candidate"], claim["metric"]) == ("a.jsonl", "b.jsonl", "exact_match")
    assert (claim["base_value"], claim["candidate_value"]) == (48 / 60, 59 / 60)
    assert (claim["wins"], claim["losses"], claim["rows"], claim["claims"]) == (11, 0, 60, 1)
    assert claim["p_value"] < 0.001
    assert claim["verdict"] == "better"
    assert re.search(r"b.jsonl is better than a.jsonl: exact.match 98.3 % against 80.0 %", " ".join(called.err.split()))
    assert runs_in(place) == ["a.jsonl", "b.jsonl"]


def test_the_same_answers_show_no_difference(files: Path, place: Path) -> None:
    answers_file(place / "a.jsonl", right_but({1}))
    answers_file(place / "b.jsonl", right_but({1}))
    called = done("compare", "a.jsonl", "b.jsonl", "--data", files / "labels.csv", "--margin", "0.1", "--json")
    assert called.json[0]["verdict"] == "as good within the margin"
    assert called.json[0]["metric"] == "accuracy"


def test_a_cluster_column_is_respected(place: Path) -> None:
    """The same 12 rows gained, in 12 clusters or in 2: two clusters cannot show anything."""
    rows = [row | {"many": f"m{i}", "few": f"f{i // 30}"} for i, row in enumerate(label_rows())]
    write_rows(place / "rows.csv", rows)
    answers_file(place / "a.jsonl", right_but(set(range(12))))
    answers_file(place / "b.jsonl", right_but(set()))
    found = {
        column: done("compare", "a.jsonl", "b.jsonl", "--data", "rows.csv", "--cluster", column, "--json").json[0]
        for column in ("many", "few")
    }
    assert (found["many"]["clusters"], found["few"]["clusters"]) == (60, 2)
    assert (found["many"]["verdict"], found["few"]["verdict"]) == ("better", "not shown")
    assert found["many"]["interval"]["value"] == found["few"]["interval"]["value"] == pytest.approx(0.2)


def test_three_at_once_are_adjusted_together(files: Path, place: Path) -> None:
    answers_file(place / "a.jsonl", right_but(set(range(20))))
    answers_file(place / "b.jsonl", right_but(set(range(13))))
    answers_file(place / "c.jsonl", right_but(set(range(12))))
    called = done("compare", "a.jsonl", "b.jsonl", "c.jsonl", "--data", files / "labels.csv", "--json")
    claims = called.json
    assert [claim["candidate"] for claim in claims] == ["b.jsonl", "c.jsonl"]
    assert [claim["claims"] for claim in claims] == [2, 2]
    assert [claim["p_adjusted"] for claim in claims] == pytest.approx(holm([claim["p_value"] for claim in claims]))
    assert claims[1]["p_adjusted"] == pytest.approx(2 * claims[1]["p_value"])  # the smaller one, times two claims


def test_runs_are_compared_on_the_rows_they_were_proved_on(tuned: Path, files: Path, model: Path, place: Path) -> None:
    done("tune", files / "labels.csv", "-m", model, "--run", "full", "adapter.method=full", "precision=fp32",
         "training.learning_rate=1e-2", "training.epochs=6", "compare_before=false")  # fmt: skip
    called = done("compare", tuned, "full", "--json")
    scores = [Scores.from_json(read_json(run / "steps" / "scores_confirm.json")) for run in (tuned, place / "full")]
    expected = compare(*scores, "accuracy")
    (claim,) = called.json
    assert claim["candidate_value"] == expected.candidate_value
    assert claim["p_value"] == expected.p_value
    assert (claim["base"], claim["candidate"]) == (str(tuned), "full")


def test_a_run_a_model_and_a_file_are_compared_on_given_rows(
    taught: Path, files: Path, model: Path, place: Path
) -> None:
    answers_file(place / "mine.jsonl", right_but({0}))
    claims = public.compare(model, taught, place / "mine.jsonl", data=files / "labels.csv")
    assert [claim.candidate_value for claim in claims] == [1.0, 59 / 60]
    assert [claim.verdict for claim in claims] == ["better", "better"]


def test_the_bake_off_is_compared_by_its_proof(adapted: Path, place: Path) -> None:
    (claim,) = done("compare", adapted, adapted, "--json").json
    winner = manifest(adapted)["chosen"].removeprefix("children/")
    stored = Scores.from_json(read_json(adapted / "steps" / f"scores_confirm_{winner}.json"))
    assert claim["base_value"] == claim["candidate_value"] == stored.value("exact_match")
    assert claim["rows"] == 14


def test_compare_scores_equal_evaluate_scores(files: Path, place: Path) -> None:
    texts = right_but({5, 6})
    answers_file(place / "a.jsonl", texts)
    metric = build_metric("exact_match")
    (claim,) = public.compare("a.jsonl", "a.jsonl", data=files / "labels.csv", metrics=["exact_match"])
    assert claim.base_value == 58 / 60
    assert metric.higher_is_better
    text = refused("compare", "a.jsonl", "a.jsonl", "--data", files / "labels.csv", "--metrics", "exact")
    assert "Unknown metric 'exact'." in text
    assert "Did you mean 'exact_match'?" in text
    assert luthier("compare", "a.jsonl").code == 2


# ------------------------------------------------------------------------------------------------ compare over seeds


def test_groups_of_runs_are_compared_as_methods(files: Path, place: Path) -> None:
    wrong = {"a1": range(15), "a2": range(2, 18), "a3": range(1, 15), "b1": range(2), "b2": range(1), "b3": range(1, 4)}
    for name, rows in wrong.items():
        answers_file(place / f"{name}.jsonl", right_but(set(rows)))
    base, candidate = ("a1.jsonl,a2.jsonl,a3.jsonl", "b1.jsonl, b2.jsonl,b3.jsonl")
    called = done("compare", base, candidate, "--data", files / "labels.csv", "--json")
    (claim,) = called.json
    assert (claim["base"], claim["candidate"]) == (base, candidate.replace(" ", ""))
    assert claim["base_seeds"] == pytest.approx([45 / 60, 44 / 60, 46 / 60])
    assert claim["candidate_seeds"] == pytest.approx([58 / 60, 59 / 60, 57 / 60])
    assert (claim["base_value"], claim["candidate_value"]) == (pytest.approx(0.75), pytest.approx(58 / 60))
    assert (claim["generalises_over"], claim["verdict"]) == ("examples and seeds", "better")
    said = " ".join(called.err.split())
    assert "3 seeds, 73 % to 77 %" in said
    assert "3 seeds, 95 % to 98 %" in said
    assert f"The method of {candidate.replace(' ', '')} is better than the method of {base}: accuracy 96.7 %" in said
    assert "for other seeds, on such rows." in said
    as_lists = public.compare(base.split(","), [place / f"b{i}.jsonl" for i in (1, 2, 3)], data=files / "labels.csv")
    assert (as_lists[0].p_value, as_lists[0].interval.low) == (claim["p_value"], claim["interval"]["low"])


def test_single_runs_are_two_models_and_say_so(files: Path, place: Path) -> None:
    answers_file(place / "a.jsonl", right_but(set(range(12))))
    answers_file(place / "b,c.jsonl", right_but(set(range(1))))  # a comma in a name that exists is no group
    called = done("compare", "a.jsonl", "b,c.jsonl", "--data", files / "labels.csv", "--json")
    assert (called.json[0]["candidate"], called.json[0]["candidate_seeds"]) == ("b,c.jsonl", [])
    assert called.json[0]["generalises_over"] == "examples"
    assert "holds for these two models on such rows" in " ".join(called.err.split())


def test_a_model_against_its_runs_with_two_seeds(tuned: Path, files: Path, model: Path, place: Path) -> None:
    done("tune", files / "labels.csv", "-m", model, "--run", "seed1", "--seed", "1", "compare_before=false", *SETTINGS)
    (claim,) = public.compare(model, [tuned, "seed1"], data=files / "labels.csv")
    assert claim.candidate == f"{tuned},seed1"
    assert claim.candidate_value == pytest.approx(sum(claim.candidate_seeds) / 2)
    assert (claim.base_seeds, claim.claims, claim.generalises_over) == ((), 1, "examples and seeds")


def test_copies_of_one_run_are_no_seeds(tuned: Path, taught: Path, place: Path) -> None:
    shutil.copytree(tuned, place / "copy")
    assert refused("compare", f"{tuned},copy", taught) == (
        f"luthier: {tuned} and copy are the same model. A group is runs of one method with different seeds: tune with "
        "--seed 1, --seed 2 and so on."
    )
    text = refused("compare", tuned, taught)
    assert f"{tuned} and {taught} were not measured on the same examples:" in text


def test_answers_that_are_all_the_same_are_told(files: Path, place: Path) -> None:
    for name, wrong in (("a1", {1}), ("a2", {1}), ("b", {2})):
        answers_file(place / f"{name}.jsonl", right_but(wrong))
    called = done("compare", "a1.jsonl,a2.jsonl", "b.jsonl", "--data", files / "labels.csv")
    assert "a1.jsonl and a2.jsonl hold the same answers. If one is a copy of the other" in called.said
