"""The questions and the text that come with Luthier."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib import resources
from itertools import combinations
from statistics import median

from luthier.core.types import Answer
from luthier.evaluation.retention.checks import passes
from luthier.evaluation.retention.material import BRIEFLY, General, kind_of, material_digest, passages, questions

FOLDER = resources.files("luthier.data") / "general"
KINDS = ("reading", "facts", "arithmetic", "common_sense", "instruction")


def right(texts: dict[str, str]) -> list[str]:
    """Return the ids of the questions that the given texts answer."""
    return [q.id for q in questions() if q.id in texts and General().measure(q, Answer(q.id, texts[q.id], "stop"))[0]]


def to_all(text: str) -> dict[str, str]:
    return {q.id: text for q in questions()}


def test_kinds_are_equally_many() -> None:
    found = questions()
    assert Counter(q.fields["kind"] for q in found) == dict.fromkeys(KINDS, 48)
    assert len({q.id for q in found}) == 240
    assert all(kind_of(q.id) == q.fields["kind"] for q in found)
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\| `(\w+)` \| (\d+) \|", readme) == [(kind, "48") for kind in KINDS]


def test_the_answer_beside_each_question_is_right() -> None:
    assert right({q.id: q.reference for q in questions()}) == [q.id for q in questions()]


def test_every_line_holds_what_is_documented() -> None:
    lines = (FOLDER / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    assert {tuple(json.loads(line)) for line in lines} == {("id", "kind", "question", "answer", "check")}


def test_saying_the_same_thing_always_is_right_almost_nowhere() -> None:
    for text in ("", "Yes", "I'm sorry, but I can't help with that.", '{"product": "lamp", "issue": null}', "neutral"):
        assert right(to_all(text)) == [], text
    for text in ("No", "The answer is 5.", "Hello! How can I help you today?", "The the the the the"):
        assert 0 < len(right(to_all(text))) <= 3, text


def test_repeating_the_question_is_never_right() -> None:
    assert right({q.id: q.fields["question"] for q in questions()}) == []
    # The last sentence alone would do for few: those that ask for a sentence with a word in it.
    last = {q.id: re.split(r"(?<=[.!?]) ", q.fields["question"])[-1] for q in questions()}
    passing = [q.id for q in questions() if passes(q.fields["check"], last[q.id])]
    assert Counter(map(kind_of, passing)).keys() <= {"instruction", "common_sense"}
    assert len(passing) <= 12


def test_failed_answers_are_wrong() -> None:
    question = questions()[0]
    assert General().measure(question, Answer(question.id, question.reference, "failed")) == (0.0,)
    assert General().measure(question, Answer(question.id, question.reference, "length")) == (1.0,)


def test_no_two_questions_are_alike() -> None:
    texts = [q.fields["question"].casefold() for q in questions()]
    grams = [{text[i : i + 6] for i in range(len(text) - 5)} for text in texts]
    assert max(len(a & b) / len(a | b) for a, b in combinations(grams, 2)) < 0.4
    assert len(set(texts)) == 240


def test_questions_are_short_and_told_to_be_answered_briefly() -> None:
    assert median(len(q.prompt.split()) for q in questions()) < 20
    assert max(len(q.prompt.split()) for q in questions()) < 50
    assert Counter(q.fields["kind"] for q in questions() if q.prompt.startswith(BRIEFLY)) == dict.fromkeys(
        ("reading", "facts", "common_sense"), 48
    )


def test_passages_are_paragraphs_of_their_own() -> None:
    found = passages()
    words = [len(passage.split()) for passage in found]
    assert len(found) == 24
    assert (sum(words), min(words) >= 50, max(words) <= 65) == (1324, True, True)
    assert all(passage == passage.strip() and "\n" not in passage for passage in found)
    assert "1,324 words" in (FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(material_digest()) == 64
