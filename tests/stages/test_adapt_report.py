"""The report of adapt says what was found, to everybody; redacted it gives no row away."""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import done, json_lines, luthier, manifest, page_text, write_rows
from page_reader import Reader

from luthier.core.errors import RunError
from luthier.core.files import read_json
from luthier.core.run import RunDirectory
from luthier.evaluation.comparison import Comparison
from luthier.evaluation.metrics import title_of
from luthier.evaluation.statistics import Scores
from luthier.reporting.blocks import Interval
from luthier.stages.adapt.report.again import write_reports_again

SECTIONS = [
    "What it rests on", "What was tried", "Why answers are wrong", "Answers side by side", "How it learned", "The data",
    "Cost", "To do it again",
]  # fmt: skip


def reader_of(run: Path) -> Reader:
    return Reader((run / "report.html").read_text(encoding="utf-8"))


def stored(run: Path, name: str) -> Scores:
    return Scores.from_json(read_json(run / "steps" / f"scores_{name}.json"))


def written(scores: Scores, metric: str) -> str:
    found = scores.interval(metric)
    return str(Interval(found.value, found.low, found.high))


@pytest.fixture(scope="module")
def page(adapted: Path) -> Reader:
    return reader_of(adapted)


def rivals(run: Path) -> list[tuple[str, str]]:
    """Name and title of what the winner was held against, in the order of the claims."""
    titles = {
        candidate["name"]: candidate["title"] for candidate in read_json(run / "steps" / "plan.json")["candidates"]
    }
    names = [path.stem.removeprefix("scores_confirm_") for path in (run / "steps").glob("scores_confirm_*")]
    by_identity = {stored(run, f"confirm_{name}").answerer: (name, titles[name]) for name in names}
    return [by_identity[claim.base] for claim in claims(run)]


def claims(run: Path) -> list[Comparison]:
    found = [Comparison.from_json(claim) for claim in manifest(run)["verdict"]["comparisons"]]
    assert len(found) == 2
    return found


def phrase(title: str) -> str:
    return f"the model {title}" if title.startswith(("as it is", "told", "held")) else title


def drawing(page: Reader, beginning: str) -> str:
    (found,) = {told for told in page.drawn if told.startswith(beginning)}
    return found


# ----------------------------------------------------------------------------------------------------- what it says


def test_it_can_be_read_by_everybody_and_loads_nothing(page: Reader) -> None:
    assert page.problems() == []
    assert page.tags.count("svg") > 30
    assert len(page.drawn) >= 9


def test_its_sections_come_in_the_order_of_their_weight(adapted: Path) -> None:
    html = (adapted / "report.html").read_text(encoding="utf-8")
    assert re.findall(r'<h2 id="section-\d+">([^<]+)</h2>', html) == SECTIONS
    assert html.index('<section class="verdict') < html.index("<h2")
    assert html.index("Words used here") > html.index(SECTIONS[-1])


def test_the_first_sentences_need_no_statistics(adapted: Path) -> None:
    """TF-IDF has 1 of 14 right: 7 of 100, its interval 1 to 31."""
    verdict = page_text(adapted).partition("What it rests on")[0]
    values = {title: stored(adapted, f"confirm_{name}").value("exact_match") for name, title in rivals(adapted)}
    others = [f"{phrase(title)} about {round(100 * value)}" for title, value in values.items()]
    right = "expect TF-IDF to get about 7 exactly right (somewhere from 1 to 31)"
    assert f"Of 100 new rows like these, {', '.join([right, *others])}." in verdict
    for (_, title), claim in zip(rivals(adapted), claims(adapted), strict=True):
        assert claim.verdict == "not shown"
        assert f"The lead over {phrase(title)} may be chance; about {claim.rows_to_show:,} rows like these" in verdict
    assert "The target of 0.8 is not reached" in verdict


def test_the_proof_is_that_of_the_findings(adapted: Path, page: Reader) -> None:
    drawn, leads = drawing(page, "TF-IDF: 7 %"), drawing(page, "over ")
    for name, title in [("tfidf", "TF-IDF"), *rivals(adapted)]:
        assert f"{title}: {written(stored(adapted, f'confirm_{name}'), 'exact_match')}" in drawn
    assert drawn.endswith("; target 80 %: 80 %")
    for (_, title), claim in zip(rivals(adapted), claims(adapted), strict=True):
        points = Interval(claim.difference, claim.interval.low, claim.interval.high, "points")
        assert f"over {title}: not shown: {points}" in leads
        assert f"p = {claim.p_adjusted:.3f} (adjusted for 2 claims); 14 rows" in page.words
    assert "unseen rows n = 14 intervals 95 %; scores: Wilson; leads: Tango" in page.words
    assert "2 claims adjusted together by Holm's method" in page.words
    assert "0 of the division into parts, 0 of initialisation and order" in page.words


def test_rows_are_counted_on_which_winner_and_rival_differ(adapted: Path, page: Reader) -> None:
    counted = drawing(page, "against ")
    for name, title in rivals(adapted):
        right, other = (stored(adapted, f"confirm_{n}").rows["exact_match"][:, 0] for n in ("tfidf", name))
        ways = {"both right": (1, 1), "only TF-IDF right": (1, 0), "only the rival right": (0, 1), "both wrong": (0, 0)}
        names = {words: int(((right == a) & (other == b)).sum()) for words, (a, b) in ways.items()}
        assert sum(names.values()) == 14
        told = ", ".join(f"{words} {count}" for words, count in names.items() if count)
        assert f"against {title}: {told}" in counted.split("; ")


def test_every_candidate_is_drawn_and_tabulated(adapted: Path, page: Reader) -> None:
    plan = read_json(adapted / "steps" / "plan.json")["candidates"]
    assert len(plan) == 10
    drawn, counts = (told for told in page.drawn if told.startswith("most frequent answer: "))
    for candidate in plan:
        child = adapted / "children" / candidate["name"]
        scores = stored(child, "choose")
        assert f"{candidate['title']}: {written(scores, 'exact_match')}" in drawn
        assert written(scores, "json_field_f1") in page.words
        right = int(scores.rows["exact_match"].sum())
        told = re.search(rf"(?:^|; ){re.escape(candidate['title'])}: ([^;]+)", counts)
        assert told is not None
        assert sum(int(number) for number in re.findall(r" (\d+)(?:,|$)", told[1])) == 14
        assert (f"right {right}" in told[1]) == (right > 0)
    assert "The model with your prompt and nothing else" in page.words


def test_mistakes_are_counted_by_field(adapted: Path, page: Reader) -> None:
    """Of 14 answers 13 are wrong, all of the right form; what is not wrong in a field is right."""
    fields = drawing(page, "issue: wrong 9")
    assert fields == (
        "issue: wrong 9, right 5; product: wrong 6, right 8; urgency: wrong 6, right 8; order_id: wrong 4, right 10; "
        "wants_refund: wrong 2, right 12"
    )


def test_answers_stand_beside_each_other_and_say_whose_they_are(adapted: Path, page: Reader) -> None:
    """Most improved: the one row that TF-IDF has right, and no row has become worse."""
    answers = page.words.partition("Most improved answers")[2].partition("How it learned")[0]
    rival, title = rivals(adapted)[0]
    own, other = (stored(adapted, f"confirm_{name}").rows["exact_match"] for name in ("tfidf", rival))
    gains = own - other
    assert gains.sum() == 1
    assert f"Before is {phrase(title)}, the best rival; after is TF-IDF, the winner." in page_text(adapted)
    (row,) = (row for row, gain in zip(_confirm(adapted), gains[:, 0], strict=True) if gain > 0)
    assert answers.startswith(
        f" 1 of 14 answers: Line {row['line']} {' '.join(row['messages'][-1]['content'].split())}"
    )
    assert f"Before: {title} wrong" in answers
    assert "After: TF-IDF right" in answers
    assert "Most worsened answers" not in answers
    assert "One row, answered in every way" in page.words


def _confirm(run: Path) -> list[dict[str, Any]]:
    return [line for line in json_lines(run / "parts.jsonl") if line["part"] == "confirm"]


def test_times_and_memory_are_those_of_the_run(adapted: Path, page: Reader) -> None:
    cost = page.words.partition(" Cost time, allowed ")[2]
    assert cost.startswith("1 h 00 min time, planned ")
    child = manifest(adapted / "children" / "lora")
    assert f"{child['measured']['latency_seconds']:.2f} s" in cost
    assert f"SHA-256 {manifest(adapted)['data']['sha256']}" in cost
    assert "luthier answer" in cost


# ------------------------------------------------------------------------------------------------- written once more


@pytest.fixture
def copied(adapted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(adapted, tmp_path / "run"))


def test_a_finished_run_is_reported_again_from_its_files(copied: Path) -> None:
    before = page_text(copied)
    (copied / "report.html").unlink()
    write_reports_again(RunDirectory(copied))
    shown = before[before.index("Of 100 new rows") : before.index("time, taken")]
    assert len(shown) > 5000
    assert shown in page_text(copied)


def test_a_run_without_findings_is_not_reported_again(copied: Path, tuned: Path) -> None:
    with pytest.raises(RunError, match="is no finished run of adapt"):
        write_reports_again(RunDirectory(tuned))
    RunDirectory(copied).update(status="paused")
    with pytest.raises(RunError, match=r"is no finished run of adapt \(adapt, paused\)"):
        write_reports_again(RunDirectory(copied))


# ---------------------------------------------------------------------------------------------------------- redacted


def cells(file: Path) -> Iterator[str]:
    """Yield the texts of a file that are longer than three letters: cells, values of JSON in them, lists."""

    def texts(value: Any) -> Iterator[str]:
        if isinstance(value, dict | list):
            for inner in value.values() if isinstance(value, dict) else value:
                yield from texts(inner)
        elif isinstance(value, str):
            yield value
            if value.startswith("{"):
                yield from texts(json.loads(value))

    rows = json_lines(file) if file.suffix == ".jsonl" else list(csv.DictReader(file.open(encoding="utf-8")))
    yield from (text for row in rows for text in texts(row) if sum(map(str.isalpha, text)) > 3)


_SYLLABLES = ["zor", "bli", "kwa", "plu", "wim", "fro", "gna", "tsu", "dro", "vex"]
_LABELS = ("zorblik", "quaxfro", "wimpfel")


def _made_up(draw: random.Random, words: int) -> str:
    return " ".join("".join(draw.choices(_SYLLABLES, k=3)) for _ in range(words))


def _rows(kind: str) -> list[dict[str, Any]]:
    """Rows of which no cell is a word of any language; two are alike and labelled differently."""
    draw = random.Random(3)
    rows: list[dict[str, Any]] = []
    for number in range(60):
        label = _LABELS[number % 3]
        answer = {
            "labels": label,
            "json": json.dumps({"topic": label, "note": _made_up(draw, 1)}),
            "text": _made_up(draw, 9),
        }[kind]
        rows.append({"ident": f"ident{number}", "message": f"{_made_up(draw, 12)} {label}", "answer": answer})
    rows[1]["message"] = rows[0]["message"]
    return rows


@pytest.mark.parametrize("kind", ["labels", "json", "text"])
def test_a_redacted_report_has_no_cell_of_the_data(kind: str, model: Path, place: Path) -> None:
    data = write_rows(place / "rows.csv", _rows(kind))
    prompt = "Frobnicate gently: {message}"
    task = {"labels": "classification", "json": "extraction", "text": "summarization"}[kind]
    reading = ("--prompt", prompt, "--answer", "answer", "--system", "Blorp me.", "--id", "ident", "--kind", task)
    done("adapt", data, "-m", model, "--budget", "15s", *reading, "--redact")
    run = place / "runs" / "1"
    html = (run / "report.html").read_text(encoding="utf-8")
    found = [*cells(data), "Frobnicate", "Blorp", *_LABELS]
    assert len(found) >= 180
    assert [cell for cell in found if cell in html] == []
    page = reader_of(run)
    assert page.problems() == []
    assert "This report was redacted" in page.words
    assert "Answers side by side" not in page.words
    assert "most frequent answer" in page.words
    assert "unseen rows n = " in page.words
    if kind != "text":
        assert "Rows that ask nearly the same have different answers there." in page.words
        assert "lines 2, 3" in page.words
    if kind == "json":
        assert "topic" in page.words  # a field's name is structure


def test_the_same_report_has_them_all_where_it_is_not_redacted(model: Path, place: Path) -> None:
    data = write_rows(place / "rows.csv", _rows("labels"))
    done(
        "adapt", data, "-m", model, "--budget", "15s", "--prompt", "Frobnicate gently: {message}", "--answer", "answer"
    )
    page = reader_of(place / "runs" / "1")
    assert page.problems() == []
    for text in ("Frobnicate gently:", *_LABELS, "Answers side by side", "Three rows"):
        assert text in page.words
    assert "redacted" not in page.words


def test_a_redacted_report_of_models_has_no_message_and_no_answer(copied: Path, files: Path) -> None:
    write_reports_again(RunDirectory(copied), redact=True)
    html, words = (copied / "report.html").read_text(encoding="utf-8"), reader_of(copied).words.lower()
    rows = list(csv.DictReader((files / "tickets.csv").open(encoding="utf-8")))
    assert len(rows) == 64
    assert [row["id"] for row in rows if row["message"] in html or row["json"] in html] == []
    values = {value for row in rows for value in json.loads(row["json"]).values() if isinstance(value, str)}
    ordinary = {"none", "other"}  # these are words of the page too
    assert len(values) > 20
    assert [v for v in values - ordinary if len(v) > 3 and re.search(rf"\b{re.escape(v.lower())}\b", words)] == []
    answered = [line["text"] for path in (copied / "evaluation").glob("confirm_*") for line in json_lines(path)]
    assert [text for text in answered if len(text) > 3 and text in html] == []


def test_a_redacted_card_says_no_label(files: Path, taught: Path, place: Path) -> None:
    """The instruction that names the labels is left out."""
    from luthier.reporting.markdown import to_markdown
    from luthier.stages.card import card_blocks

    run = RunDirectory.create(place / "card", "prompt", _recipe(files, taught))
    run.update(
        model={"name": "full", "digest": "0" * 64, "precision": "fp32"},
        data={"path": "labels.csv", "rows": 60, "sha256": "1" * 64},
        answering={"kind": "prompted", "model": str(taught), "strategy": {"instruction": "One of: billing, shipping"}},
    )
    assert "billing" in to_markdown(card_blocks(run, [], place))
    card = to_markdown(card_blocks(run, [], place, redact=True))
    assert "billing" not in card
    assert "it was told the task and its format (left out here)" in card


def _recipe(files: Path, model: Path) -> Any:
    from luthier.core.stages import config_class

    return config_class("prompt").parse({"data": {"path": str(files / "labels.csv")}, "model": str(model)}, "prompt")


def test_redact_is_an_option_of_adapt_alone(files: Path, place: Path) -> None:
    assert "No such option: --redact" in luthier("tune", files / "labels.csv", "--redact").err


def test_scores_of_free_text_are_drawn_as_a_distribution(files: Path, model: Path, place: Path) -> None:
    done("adapt", files / "dialogues.jsonl", "-m", model, "--budget", "15s", "--prompt", "{dialogue}", "--answer",
         "summaries", "--kind", "summarization")  # fmt: skip
    run = place / "runs" / "1"
    page = reader_of(run)
    assert page.problems() == []
    scores = stored(run, f"confirm_{manifest(run)['chosen'].removeprefix('children/')}")
    values = [float(value) for value in scores.frame()["rougeL"]]
    assert any(f"n = {len(values)}, lowest {100 * min(values):.0f} %" in told for told in page.drawn)
    title = title_of("rougeL")
    assert f"{title} {round(100 * max(values))} %" in page.words  # a figure beside an answer, not right or wrong
    assert "scores higher" in page.words
    assert " right " not in page.words.partition("Answers side by side")[2].partition("The data")[0].replace(
        "is the right answer", ""
    )
