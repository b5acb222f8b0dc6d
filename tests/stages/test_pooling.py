"""What a cross-validation pools: the ways of working that are compared, which candidate is made once more."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.core.run import RunDirectory
from luthier.core.types import Answer, Example, user
from luthier.data.splits import Parts
from luthier.data.tasks import guess_task
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.statistics import Scores
from luthier.stages.adapt.candidates import Candidate
from luthier.stages.adapt.choosing import Choice, Entry
from luthier.stages.adapt.folds_found import Fold
from luthier.stages.adapt.pooling import favourite_of, pool
from luthier.stages.material import DataConfig, Material, read_material

CANDIDATES = {
    "most_frequent": Candidate("most_frequent", "most frequent answer", "baseline", {}, 2.0),
    "tfidf": Candidate("tfidf", "TF-IDF", "baseline", {}, 2.0),
    "as_is": Candidate("as_is", "as it is", "prompt", {}, 2.0),
    "told_format": Candidate("told_format", "told the format", "prompt", {}, 2.0),
    "lora": Candidate("lora", "LoRA r16, 1 epoch", "tune", {}, 2.0),
}
ACCURACY = build_metric("accuracy")


@pytest.fixture
def material(tmp_path: Path) -> Material:
    """Twenty-four rows; all of them are to be confirmed."""
    lines = [f"r{n},{'alpha' if n % 2 else 'beta'} word{n} thing{n * 7} item{n * 13},{'ab'[n % 2]}" for n in range(24)]
    (tmp_path / "rows.csv").write_text("id,text,label\n" + "\n".join(lines) + "\n")
    found = read_material(DataConfig(path=str(tmp_path / "rows.csv"), fold=[0, 3]))
    return Material(found.dataset, found.task, Parts(found.parts.tune, found.parts.choose, found.dataset.examples))


def entry(name: str, share_on_choose: float, run: RunDirectory, material: Material) -> Entry:
    """A candidate that answered so many of ten rows to choose rightly."""
    examples = [Example(f"c{n}", user("?"), ("yes",)) for n in range(10)]
    answers = [Answer(e.id, "yes" if n < 10 * share_on_choose else "no", "stop") for n, e in enumerate(examples)]
    return Entry(CANDIDATES[name], run, Scores.measure(name, examples, answers, [ACCURACY]), material)


def fold(number: int, on_choose: dict[str, float], right: dict[str, int], place: Path, material: Material) -> Fold:
    """A fold of eight rows; the first of `right` won, the others are its rivals; each answered so many rightly."""
    run = RunDirectory(place / f"fold_{number}")
    (run.path / "evaluation").mkdir(parents=True)
    (run.path / "steps").mkdir()
    rows = material.dataset.examples[8 * (number - 1) : 8 * number]
    for name, count in right.items():
        answers = [Answer(e.id, e.reference if n < count else "neither", "stop") for n, e in enumerate(rows)]
        lines = (answer.to_json() for answer in reversed(answers))  # in any order
        run.files.write_lines(f"evaluation/confirm_{name}.jsonl", lines)
        scores = Scores.measure(f"{name} of {number}", rows, answers, material.metrics)
        run.files.write_json(f"steps/scores_confirm_{name}.json", scores.to_json())
    entries = {name: entry(name, share, run, material) for name, share in on_choose.items()}
    winner, *rivals = (entries[name] for name in right)
    return Fold(number, run, material, tuple(entries.values()), Choice(winner, tuple(rivals)))


def test_rivals_are_the_best_of_each_other_kind_that_every_fold_chose_for_itself(
    tmp_path: Path, material: Material
) -> None:
    """Two folds choose LoRA, one told the format: there adapt and the best prompt give the same answers."""
    folds = [
        fold(1, {"tfidf": 0.2, "as_is": 0.3, "lora": 0.9}, {"lora": 8, "as_is": 2, "tfidf": 1}, tmp_path, material),
        fold(2, {"tfidf": 0.2, "told_format": 0.8, "lora": 0.7},
             {"told_format": 5, "lora": 4, "tfidf": 1}, tmp_path, material),
        fold(3, {"most_frequent": 0.4, "told_format": 0.3, "lora": 0.6},
             {"lora": 7, "told_format": 0, "most_frequent": 3}, tmp_path, material),
    ]  # fmt: skip
    run = RunDirectory(tmp_path / "run")
    proof = pool(folds, material, run, "final", target=0.9)
    assert proof.chosen.scores.value("accuracy") == 20 / 24  # 8 + 5 + 7
    assert proof.chosen.scores.example_ids == tuple(e.id for e in material.dataset.examples)
    assert proof.chosen.picked == "LoRA r16, 1 epoch in 2 of 3 folds, told the format in 1"
    found = {way.name: (way.phrase, way.scores.value("accuracy"), way.picked) for way in proof.rivals}
    assert found == {
        "best_prompted": ("the best prompt", 7 / 24, "told the format in 2 of 3 folds, as it is in 1"),
        "best_without_a_model": (
            "the best rival without a model", 5 / 24, "TF-IDF in 2 of 3 folds, most frequent answer in 1"
        ),
    }  # fmt: skip
    prompted, without = proof.comparisons
    assert (prompted.wins, prompted.losses) == (6 + 0 + 7, 0)
    assert (without.wins, without.losses) == (7 + 4 + 4, 0)
    assert {c.claims for c in proof.comparisons} == {2}
    assert proof.target is not None
    assert proof.target.status == "not shown"
    assert proof.ended == (24, 24)
    assert len(proof.failures.failures) == 4
    stored = proof.to_json(folds, "accuracy")
    assert stored["evaluations"]["best_prompted"] == ["as_is", "told_format", "told_format"]
    assert [line["confirm"] for line in stored["folds"]] == [1.0, 5 / 8, 7 / 8]
    assert {c["generalises_over"] for c in stored["comparisons"]} == {"examples and trainings"}
    # Pooled again it is the same, also with another identity than that of any fold's answerer.
    assert pool(folds, material, run, "final", target=0.9).chosen.scores.answerer == proof.chosen.scores.answerer


def test_a_kind_that_one_fold_lacks_is_no_rival(tmp_path: Path, material: Material) -> None:
    folds = [
        fold(1, {"tfidf": 0.9, "lora": 0.2}, {"tfidf": 8, "lora": 2}, tmp_path, material),
        fold(2, {"tfidf": 0.9, "as_is": 0.1, "lora": 0.2}, {"tfidf": 8, "as_is": 2, "lora": 1}, tmp_path, material),
        fold(3, {"tfidf": 0.9, "lora": 0.2}, {"tfidf": 8, "lora": 2}, tmp_path, material),
    ]
    proof = pool(folds, material, RunDirectory(tmp_path / "run"), "final", target=None)
    assert [way.name for way in proof.rivals] == ["best_tuned"]
    assert proof.ended is None


def test_where_one_kind_was_tried_the_rivals_are_what_every_fold_confirmed(tmp_path: Path, material: Material) -> None:
    """Two folds choose TF-IDF and one the most frequent answer: held against always taking the latter."""
    folds = [
        fold(1, {"most_frequent": 0.2, "tfidf": 0.9}, {"tfidf": 8, "most_frequent": 3}, tmp_path, material),
        fold(2, {"most_frequent": 0.9, "tfidf": 0.2}, {"most_frequent": 4, "tfidf": 2}, tmp_path, material),
        fold(3, {"most_frequent": 0.2, "tfidf": 0.9}, {"tfidf": 6, "most_frequent": 3}, tmp_path, material),
    ]
    proof = pool(folds, material, RunDirectory(tmp_path / "run"), "final", target=None)
    assert proof.chosen.scores.value("accuracy") == 18 / 24
    assert {way.name: way.scores.value("accuracy") for way in proof.rivals} == {"only_most_frequent": 10 / 24}
    assert [(c.wins, c.losses) for c in proof.comparisons] == [(5 + 0 + 3, 0)]


def test_the_favourite_is_chosen_most_often_then_better_on_choose_then_cheaper(
    tmp_path: Path, material: Material
) -> None:
    def folds(*scores: dict[str, float]) -> list[Fold]:
        run = RunDirectory(tmp_path)
        made = []
        for number, one in enumerate(scores, start=1):
            entries = tuple(entry(name, share, run, material) for name, share in one.items())
            winner = max(entries, key=lambda e: e.scores.value("accuracy"))
            made.append(Fold(number, run, material, entries, Choice(winner, ())))
        return made

    # twice as_is with less, once LoRA with more
    often = folds({"as_is": 0.5, "lora": 0.2}, {"as_is": 0.5, "lora": 0.2}, {"as_is": 0.1, "lora": 1.0})
    assert favourite_of(often, "accuracy").name == "as_is"
    # once each: means 0.35 and 0.65 over both folds
    assert favourite_of(folds({"as_is": 0.6, "lora": 0.4}, {"as_is": 0.1, "lora": 0.9}), "accuracy").name == "lora"
    # once each with equal means: the cheaper one
    assert favourite_of(folds({"as_is": 0.6, "lora": 0.4}, {"as_is": 0.4, "lora": 0.6}), "accuracy").name == "as_is"


def test_the_metrics_are_those_of_all_rows(material: Material) -> None:
    """Labels that one fold lacks count in macro-F1 for all folds alike."""
    assert guess_task(material.dataset.examples).metric == material.task.metric == "accuracy"
    assert {metric.name for metric in material.metrics} >= {"accuracy", "macro_f1"}
