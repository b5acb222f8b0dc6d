"""Labels as people write them: which spellings are one label, who is named, and what the task makes of them."""

from __future__ import annotations

import pytest
from data_samples import example, sentence

from luthier.core.errors import DataError
from luthier.core.types import Answer, Example
from luthier.data.labels import (
    Spelling,
    add_labels,
    distinct_labels,
    label_notes,
    label_spellings,
    normalize_label,
    spelled_alike,
)
from luthier.data.splits import Parts
from luthier.data.tasks import guess_task, require_different_answers
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.model_free import BASELINES


def rows(answers: list[str], first_line: int = 2) -> list[Example]:
    """Rows on the lines of a CSV file, counted from `first_line`."""
    return [
        Example(f"r{n}", example(n, sentence(n, 12), answer).messages, (answer,), line=first_line + n)
        for n, answer in enumerate(answers)
    ]


def test_case_outer_space_and_final_punctuation_make_no_other_label() -> None:
    assert {normalize_label(text) for text in ("Positive", " positive ", "POSITIVE.", "positive!?")} == {"positive"}
    assert normalize_label("Sci/Tech") == "sci/tech"
    assert [normalize_label(text) for text in ("?", "...", "C++")] == ["?", "...", "c++"]


def test_each_label_once_as_most_rows_write_it() -> None:
    texts = ["no", "Yes", "yes", "No", "Yes", "no", "no", "maybe"]
    assert distinct_labels(texts) == ("no", "Yes", "maybe")  # 4 no, 3 of them so written; 3 yes, 2 of them Yes
    assert spelled_alike(texts) == ["no", "Yes", "Yes", "no", "Yes", "no", "no", "maybe"]
    assert distinct_labels(["b", "B", "a"]) == ("B", "a")  # of equals the first in the alphabet
    assert add_labels(("no", "Yes"), ["NO", "late", "yes", "early", "late"]) == ("no", "Yes", "late", "early")


def test_spellings_are_named_with_their_lines() -> None:
    found = label_spellings(rows(["Yes", "no", "yes", "Yes", "YES.", "no"]))
    assert found == {"yes": (Spelling("Yes", (2, 5)), Spelling("YES.", (6,)), Spelling("yes", (4,)))}
    assert list(map(str, found["yes"])) == ["'Yes' 2 (lines 2, 5)", "'YES.' 1 (line 6)", "'yes' 1 (line 4)"]
    assert str(Spelling("a", (1, 2, 3, 9))) == "'a' 4 (lines 1, 2, 3, …)"
    assert label_spellings(rows(["yes", "no"])) == {}


def test_notes_say_what_is_meant_and_what_to_do() -> None:
    tune, others = rows(["yes", "no", "Yes"]), rows(["no", "late", "late", "early"], first_line=10)
    parts = Parts(tuple(tune), tuple(others[:2]), tuple(others[2:]))
    spelled, unknown = label_notes(parts)
    assert spelled == (
        "1 label is written in several ways: 'Yes' 1 (line 4), 'yes' 1 (line 2). They count as one when answers are "
        "scored, but each row is learned as it is written: write them alike."
    )
    assert unknown == (
        "No row to learn from has the label of 3 row(s) to choose or confirm: 'late' 2 (lines 11, 12); 'early' 1 "
        "(line 13). They can hardly be answered right: add rows with it, or leave them out."
    )
    assert label_notes(Parts(tuple(tune[:2]), tuple(others[:1]), tuple(tune[:2]))) == []


def test_many_labels_are_counted_not_listed() -> None:
    twice = [text for n in range(5) for text in (f"label {n}", f"Label {n}")]
    (note,) = label_notes(Parts(tuple(rows(twice)), (), ()))
    assert note.startswith("5 labels are written in several ways: 'Label 0' 1 (line 3), 'label 0' 1 (line 2); 'Lab")
    assert "(line 6); and 2 more. They count" in note


def test_spellings_are_one_label_to_the_task_and_its_metrics() -> None:
    """Macro-F1 took them for labels that nobody could tell apart, and stopped the run after its first candidate."""
    some = rows(["Yes", "no", "yes", "YES", "no", "Yes"] * 10)
    task = guess_task(some)
    assert (task.kind, task.labels) == ("classification", ("Yes", "no"))
    assert task.reason == "2 short answers repeat over 60 rows (Yes, no)"
    macro_f1 = build_metric("macro_f1", labels=task.labels)
    answers = ["yes", "yes", "no", "YES.", "No", "yes"]  # wrong: the second and the third
    measured = [macro_f1.measure(row, Answer(row.id, text, "stop")) for row, text in zip(some, answers, strict=False)]
    # yes: 3 right, 1 false alarm, 1 missed; no: 1 right, 1 false alarm, 1 missed.
    import numpy as np

    assert float(macro_f1.value(np.array(measured))) == pytest.approx((6 / 8 + 2 / 4) / 2)


def test_rivals_without_a_model_count_a_label_once() -> None:
    """Three spellings of the most frequent label, each of them rarer than the other label."""
    some = rows(["yes", "Yes", "YES", "no", "no"] * 8)
    task = guess_task(some)
    (answer, *_) = BASELINES.get("most_frequent")(some, task).answer(some)
    assert answer.text == "YES"
    learned = BASELINES.get("tfidf")(some, task).answer(some)
    assert {answer.text for answer in learned} == {"YES", "no"}


def test_all_answers_equal_but_for_their_spelling() -> None:
    with pytest.raises(DataError, match=r"All 40 rows have the same answer \('yes', 'Yes', 'YES\.'\), so there is"):
        require_different_answers(rows(["yes", "Yes", "YES.", "yes"] * 10))
