"""SQuAD files: `{"data": [{"title": …, "paragraphs": [{"context": …, "qas": [{"question": …, "answers": […]}]}]}]}`.

A question is a row: id, title, passage_id, context, question, answers (as `data.squad` reads them). Questions on one
passage share `passage_id`, so that they stay together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from luthier.core.errors import BadRow, DataError
from luthier.data.formats import jsonl
from luthier.data.formats.raw import Content, RawFile, RawRow, columns_of

_EXPECTED = '{"question": "…", "id": "…", "answers": [{"text": "…", "answer_start": 0}]}'


class Squad:
    """SQuAD: a JSON document of articles, their paragraphs, and questions on each."""

    name = "squad"

    def recognises(self, content: Content) -> bool:
        """Say whether the text is such a document."""
        if content.text is None or '"paragraphs"' not in content.text or not content.text.lstrip().startswith("{"):
            return False
        value, problem, _ = jsonl.parse(content.text)
        articles = value.get("data") if problem is None and isinstance(value, dict) else None
        return isinstance(articles, list) and any(isinstance(a, dict) and "paragraphs" in a for a in articles)

    def read(self, content: Content) -> RawFile:
        """Read every question; a row's line is the question's number, from 1."""
        reader = jsonl.JsonReader()
        document = reader.decoder.decode(content.lines_of_text)
        if reader.repeated:
            problem, fix = jsonl.twice(reader.repeated[0])
            raise DataError(f"{content.path}: {problem}, and one of its values would be lost; {fix}.")
        rows: list[RawRow] = []
        bad: list[BadRow] = []
        for number, found in enumerate(_questions(document["data"]), start=1):
            if isinstance(found, str):
                bad.append(BadRow(str(content.path), number, found, _EXPECTED, "correct it, or remove the question"))
            else:
                rows.append(RawRow(number, found))
        description = f"SQuAD ({content.encoding})"
        return RawFile(content.path, self.name, description, columns_of(rows), tuple(rows), tuple(bad))


SQUAD = Squad()


def _questions(articles: list[Any]) -> Iterator[dict[str, Any] | str]:
    """Yield each question as a row, or what is wrong with it."""
    for nth, article in enumerate(articles):
        paragraphs = article.get("paragraphs") if isinstance(article, dict) else None
        if not isinstance(paragraphs, list):
            yield f"article {nth + 1} has no list of paragraphs"
            continue
        for place, paragraph in enumerate(paragraphs):
            questions = paragraph.get("qas") if isinstance(paragraph, dict) else None
            if not isinstance(questions, list) or not isinstance(paragraph.get("context"), str):
                yield f"paragraph {place + 1} of article {nth + 1} has no context, or no list 'qas'"
                continue
            shared = {
                "title": article.get("title"), "passage_id": f"{nth}-{place}", "context": paragraph["context"],
            }  # fmt: skip
            for question in questions:
                yield _row(question, shared)


def _row(question: Any, shared: Mapping[str, Any]) -> dict[str, Any] | str:
    if not isinstance(question, dict) or not isinstance(question.get("question"), str):
        return "there is no question"
    answers = question.get("answers") or []
    if not isinstance(answers, list) or not all(
        isinstance(a, dict) and isinstance(a.get("text"), str) for a in answers
    ):
        return "the answers are no list of texts with answer_start"
    if question.get("is_impossible") is False and not answers:
        return "the question has no answer, and does not say that it is impossible"
    return {
        "id": question.get("id"),
        **shared,
        "question": question["question"],
        "answers": {"text": [a["text"] for a in answers], "answer_start": [a.get("answer_start") for a in answers]},
    }
