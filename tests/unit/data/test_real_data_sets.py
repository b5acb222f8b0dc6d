"""Real data sets beside the checkout, read where they are; without them these tests are skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.core.errors import DataError
from luthier.data import ReadOptions, guess_task, read_examples, read_rankings, split

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "data"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the real data sets are not at {FOLDER}")


@pytest.mark.parametrize(
    ("name", "explained", "kind", "rows"),
    [
        ("ag_news", "prompt <- title + text, answer <- label", "classification", 7600),
        ("sst2", "prompt <- text, answer <- label", "classification", 9613),
        ("dialogsum", "prompt <- dialogue, answer <- summaries, id <- id", "summarization", 6250),
        ("xquad_en", "prompt <- context + question, answer <- answers, id <- id", "question_answering", 1190),
        ("arithmetic", "prompt <- question, answer <- answer", "question_answering", 2483),
        ("coin_flip", "prompt <- question, answer <- answer", "classification", 500),
        ("self_instruct", "prompt <- instruction + input, answer <- output, id <- id", "chat", 427),
        ("t0_multitask", "prompt <- input, answer <- output", "question_answering", 8834),
    ],
)
def test_columns_and_tasks_are_guessed(name: str, explained: str, kind: str, rows: int) -> None:
    data = read_examples(FOLDER / name)
    assert data.mapping.explain() == explained
    assert len(data) == rows
    assert guess_task(data.examples).kind == kind


def test_given_parts_are_kept_and_their_overlap_is_removed_from_train() -> None:
    data = read_examples(FOLDER / "ag_news")
    parts = split(data.examples, given=data.given)
    assert parts.sizes["choose"] == 760
    assert parts.sizes["confirm"] == 1520
    assert parts.sizes["tune"] + len(parts.removed) == 5320
    assert 1 <= len(parts.removed) <= 60


def test_questions_on_one_passage_stay_together() -> None:
    data = read_examples(FOLDER / "xquad_en" / "test.jsonl")
    parts = split(data.examples)
    passages = [{e.fields["context_id"] for e in part} for part in (parts.tune, parts.choose, parts.confirm)]
    assert not passages[0] & passages[1]
    assert not passages[0] & passages[2]
    assert not passages[1] & passages[2]


def test_dialogsum_with_the_users_prompt() -> None:
    options = ReadOptions(prompt=r"Summarize this dialogue.\n\n{dialogue}", answer="summaries")
    data = read_examples(FOLDER / "dialogsum" / "test.jsonl", options)
    assert data.examples[0].prompt.startswith("Summarize this dialogue.\n\n#Person1#: Ms. Dawson")
    assert len(data.examples[0].references) == 3
    again = read_examples(FOLDER / "dialogsum" / "test.jsonl")
    assert [e.id for e in again.examples] == [e.id for e in data.examples]


def test_preferences_of_hh_harmless() -> None:
    """Some replies begin with "Human:" and are no dialogue; a few pairs are twice the same text."""
    data = read_examples(FOLDER / "hh_harmless", ReadOptions(skip_bad=True))
    assert data.mapping.explain() == "conversation and answer <- chosen (preferences), id <- id"
    assert {row.problem for row in data.bad_rows} <= {"'chosen' and 'rejected' are the same text", "'chosen' is empty"}
    rankings = read_rankings(FOLDER / "hh_harmless", ReadOptions(skip_bad=True))
    assert len(rankings) == len(data) > 2_200
    assert all(ranking.prompt.messages[-1].role == "user" for ranking in rankings)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("commonsense_qa", "several columns could be the answer: labels, answer, answer_text"),
        ("lm_shakespeare", "there is no column with the right answer. Columns: text"),
        ("pandalm", "1 of 999 rows cannot be used"),
    ],
)
def test_data_sets_that_need_a_word_from_the_user(name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_examples(FOLDER / name)
