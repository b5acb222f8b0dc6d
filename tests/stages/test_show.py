"""luthier show: why answers are wrong, the answers, the curves."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from command_line import done, json_lines, label_rows, manifest, refused, write_rows

from luthier.core.files import read_json
from luthier.core.record import RunFiles
from luthier.evaluation.statistics import Scores


def right_in(run: Path, name: str, metric: str) -> float:
    """Return how many answers a run's stored scores call right."""
    scores = Scores.from_json(read_json(run / "steps" / f"scores_{name}.json"))
    return scores.value(metric) * len(scores)


# --------------------------------------------------------------------------------------------------------- failures


def test_failures_of_a_bake_off_are_counted_for_every_candidate_and_part(adapted: Path) -> None:
    called = done("show", adapted, "failures", "--json")
    found = called.json
    by_name = {(e["candidate"], e["part"]): e for e in found["evaluations"]}
    names = [child.name for child in (adapted / "children").iterdir()]
    assert {name for name, part in by_name if part == "choose"} == set(names)
    confirmed = [p.stem.removeprefix("confirm_") for p in (adapted / "evaluation").glob("confirm_*.jsonl")]
    assert {name for name, part in by_name if part == "confirm"} == set(confirmed)
    assert len(by_name) == len(found["evaluations"]) == len(names) + len(confirmed) >= 6
    for (name, part), entry in by_name.items():
        folder = adapted / "children" / name if part == "choose" else adapted
        right = right_in(folder, "choose" if part == "choose" else f"confirm_{name}", "exact_match")
        assert entry["rows"] == 14
        assert sum(entry["counts"].values()) == 14 - round(right), (name, part)
    # TF-IDF always answers in the right form; an untuned random model never does.
    assert set(by_name["tfidf", "choose"]["counts"]) == {"wrong value"}
    assert "wrong value" not in by_name["as_is", "choose"]["counts"]
    assert by_name["tfidf", "choose"]["fields"]
    assert found["label_conflicts"] == {}


def test_the_chosen_candidates_wrong_answers_on_choose_are_shown(adapted: Path) -> None:
    called = done("show", adapted, "failures", "--json")
    found = called.json
    assert found["candidate"] == manifest(adapted)["chosen"].removeprefix("children/") == "tfidf"
    assert found["part"] == "choose"
    answers = {
        a["example_id"]: a["text"] for a in json_lines(adapted / "children" / "tfidf" / "evaluation" / "choose.jsonl")
    }
    lines = {row["id"]: row for row in json_lines(adapted / "parts.jsonl")}
    assert found["failures"]
    for failure in found["failures"]:
        row = lines[failure["example_id"]]
        assert row["part"] == "choose"
        assert failure["line"] == row["line"]
        assert failure["answer"] == answers[failure["example_id"]]
        assert failure["references"] == row["references"]
        said, expected = json.loads(failure["answer"]), json.loads(row["references"][0])
        assert failure["fields"] == [name for name in expected if said[name] != expected[name]] != []
    screen = called.said
    assert f"TF-IDF on choose: wrong value {len(found['failures'])} of 14 (" in screen
    first = found["failures"][0]
    assert f"line {first['line']}: wrong value ({', '.join(first['fields'])})" in screen


def test_one_candidate_one_part_and_so_many(adapted: Path) -> None:
    called = done("show", adapted, "failures", "--candidate", "as_is", "--part", "choose", "-n", "2", "--json")
    found = called.json
    assert [(e["candidate"], e["part"]) for e in found["evaluations"]] == [("as_is", "choose")]
    assert (found["candidate"], len(found["failures"])) == ("as_is", 2)
    assert "… and 12 more: --most 14" in called.said
    assert "as it is on choose: " in called.said
    confirm = done("show", adapted, "failures", "--part", "confirm", "--json").json
    assert {e["part"] for e in confirm["evaluations"]} == {"confirm"}
    assert (confirm["candidate"], confirm["part"]) == ("tfidf", "confirm")


def test_a_tuned_run_is_shown_before_and_after(tuned: Path) -> None:
    found = done("show", tuned, "failures", "--json").json
    assert [(e["candidate"], e["part"]) for e in found["evaluations"]] == [("before", "confirm"), ("after", "confirm")]
    for name, entry in zip(("before_confirm", "confirm"), found["evaluations"], strict=True):
        assert sum(entry["counts"].values()) == 15 - round(right_in(tuned, name, "accuracy"))
    assert found["candidate"] == "after"
    before = done("show", tuned, "failures", "--candidate", "before", "--json").json
    assert before["candidate"] == "before"
    assert {f["finish"] for f in before["failures"]} == {"length"}
    assert Counter(f["kind"] for f in before["failures"]) == before["evaluations"][0]["counts"]


def test_labels_that_disagree_are_named_by_their_lines(tuned: Path, place: Path) -> None:
    shutil.copytree(tuned, place / "run")
    rows = json_lines(place / "run" / "parts.jsonl")
    twin = rows[0] | {"id": "twin", "line": 777, "references": ["other"]}
    RunFiles(place / "run").write_lines("parts.jsonl", (*rows, twin))
    assert rows[0]["references"] == ["billing"]
    called = done("show", "run", "failures", "--json")
    assert called.json["label_conflicts"] == {"answer": [[rows[0]["line"], 777]]}
    assert f"Your labels disagree on lines {rows[0]['line']}, 777 (answer)." in called.said


def test_an_evaluation_of_a_file_is_shown_from_the_file(files: Path, place: Path) -> None:
    texts = [row["label"] for row in label_rows()]
    texts[1], texts[4] = "Billing", "I do not know"
    lines = [{"example_id": f"r{n}", "text": text} for n, text in enumerate(texts)]
    (place / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    shutil.copy(files / "labels.csv", place / "labels.csv")
    done("evaluate", "mine.jsonl", "labels.csv")
    called = done("show", "runs/1", "failures", "--json")
    (entry,) = called.json["evaluations"]
    assert (entry["candidate"], entry["title"], entry["part"], entry["rows"]) == ("evaluate", "mine.jsonl", "rows", 60)
    assert entry["sentence"] == "format 1 of 60; wrong value 1"
    assert [(f["line"], f["kind"], f["answer"], f["references"]) for f in called.json["failures"]] == [
        (3, "wrong value", "Billing", ["shipping"]), (6, "format", "I do not know", ["shipping"])
    ]  # fmt: skip
    write_rows(place / "labels.csv", label_rows()[::-1])
    text = refused("show", "runs/1", "failures")
    assert "labels.csv has changed since runs/1 answered its rows, and the run keeps no rows of its own." in text


# ---------------------------------------------------------------------------------------------------------- answers


def test_all_answers_are_shown_beside_the_right_ones(taught: Path) -> None:
    called = done("show", taught, "answers", "--json")
    lines = called.json["answers"]
    assert len(lines) == 15
    assert [line["score"] for line in lines] == [float(line["answer"] == line["references"][0]) for line in lines]
    assert "the tuned model on confirm: 15 of 15 answers" in called.said
    assert called.said.count(" right ") >= 15
    assert len(done("show", taught, "answers", "--most", "3", "--json").json["answers"]) == 3


def test_answers_to_rows_without_right_ones_are_shown_but_not_called_wrong(taught: Path, place: Path) -> None:
    write_rows(place / "new.csv", [{"id": f"n{n}", "text": row["text"]} for n, row in enumerate(label_rows()[:4])])
    done("answer", taught, "new.csv")
    called = done("show", "runs/1", "answers", "--json")
    assert [(line["example_id"], line["score"], line["references"]) for line in called.json["answers"]] == [
        (f"n{n}", None, []) for n in range(4)
    ]
    text = refused("show", "runs/1", "failures")
    assert "answered have no right answers, so none can be called wrong." in text
    assert "luthier show RUN answers" in text


def test_free_text_is_shown_with_its_score(files: Path, model: Path, place: Path) -> None:
    done("evaluate", model, files / "dialogues.jsonl", "--kind", "summarization")
    called = done("show", "runs/1", "answers", "--most", "2", "--json")
    assert "line 1: ROUGE-L F 0.0" in called.said
    assert "cut at the output limit" in called.said
    assert all(0 <= line["score"] < 0.3 for line in called.json["answers"])
    failures = done("show", "runs/1", "failures", "--json").json
    assert set(failures["evaluations"][0]["counts"]) <= {"cut", "empty", "low score"}


# ----------------------------------------------------------------------------------------------------------- curves


def test_curves_of_a_tuned_run_and_of_a_bake_offs_tuned_child(tuned: Path, adapted: Path) -> None:
    called = done("show", tuned, "curves", "--json")
    (curve,) = called.json["curves"]
    assert curve["metrics"] == json_lines(tuned / "metrics.jsonl")
    assert "Loss" in called.said
    assert "Right next-token predictions" in called.said
    assert any(bar in called.said for bar in "▁▂▃▄▅▆▇█")
    children = done("show", adapted, "curves", "--json").json["curves"]
    trained = {path.parent.name for path in adapted.glob("children/*/metrics.jsonl")}
    assert {child["candidate"] for child in children} == trained >= {"lora"}
    lora = next(child for child in children if child["candidate"] == "lora")
    assert lora["title"].startswith("LoRA")
    assert done("show", adapted, "curves", "--candidate", "lora", "--json").json["curves"] == [lora]
    assert "Unknown candidate with curves 'tfidf'. Known: lora" in refused(
        "show", adapted, "curves", "--candidate", "tfidf"
    )


# ----------------------------------------------------------------------------------------------------------- errors


def test_what_cannot_be_shown_is_said(adapted: Path, tuned: Path, files: Path, place: Path) -> None:
    assert refused("show", adapted, "failure").startswith(
        "luthier: Unknown view 'failure'. Known: answers, curves, failures."
    )
    text = refused("show", adapted, "failures", "--candidate", "told_fromat")
    names = ", ".join(sorted(child.name for child in (adapted / "children").iterdir()))
    assert text == f"luthier: Unknown candidate 'told_fromat'. Known: {names}. Did you mean 'told_format'?"
    assert "Unknown part 'test'. Known: choose, confirm." in refused("show", adapted, "answers", "--part", "test")
    assert refused("show", tuned, "answers", "--part", "choose") == (
        f"luthier: {tuned} has no answers on choose. There are: before on confirm, after on confirm."
    )
    assert "There is no run runs/9; runs holds no runs." in refused("show", "runs/9", "failures")
    assert "is not a run directory" in refused("show", files, "failures")


def test_a_run_without_answers_or_curves_says_how_to_go_on(adapted: Path, place: Path) -> None:
    shutil.copytree(adapted / "children" / "tfidf", place / "run")
    assert "run has no curves: nothing in it has trained for two steps (stage baseline, status finished)." in refused(
        "show", "run", "curves"
    )
    shutil.rmtree(place / "run" / "evaluation")
    assert refused("show", "run", "failures") == (
        "luthier: run has no answers yet (stage baseline, status finished). Go on with it: luthier resume run."
    )


@pytest.mark.parametrize("torn", [False, True])
def test_a_run_that_is_still_answering_is_shown_as_far_as_it_is(adapted: Path, place: Path, torn: bool) -> None:
    shutil.copytree(adapted, place / "run")
    child, file = RunFiles(place / "run" / "children" / "as_is"), "evaluation/choose.jsonl"
    lines = (child.folder / file).read_text().splitlines(keepends=True)
    child.write(file, "".join(lines[:5]))
    if torn:
        (child.folder / file).write_text("".join(lines[:5]) + lines[5][:20])
    found = done("show", "run", "failures", "--candidate", "as_is", "--json").json
    assert found["evaluations"][0]["rows"] == 5
