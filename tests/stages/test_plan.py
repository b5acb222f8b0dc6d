"""What a budget buys: which candidates are planned, and what is said of the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from luthier.core.errors import ConfigError
from luthier.data.shipped import shipped_data
from luthier.evaluation.retention import questions
from luthier.stages.adapt import Config
from luthier.stages.adapt.calibration import Calibration
from luthier.stages.adapt.plan import Plan, make_plan
from luthier.stages.material import Material, read_material

# 70 rows to choose, 90 to confirm; answers of 40 tokens, up to 50.
# A prompted candidate: 10 to load + 1.2 x (70 x (100 / 1000 + 50 / 100) + 3 x 100 / 1000 alone) = 60.76 s; so is one
# held to the schema (40 x 1.25 = 50 tokens), one with the same demonstrations for all, and a tuned one's answers.
# Nearest demonstrations are read for each row: 4 x 140 tokens more: 10 + 1.2 x (70 x 1.16 + 3 x 0.66) = 109.816 s.
# LoRA: 60.76 to answer, and to learn 1.2 x (epochs x 20000 + looks x 7500 / 3) / 400.
MEASURED = Calibration(
    usable=True,
    load_seconds=10.0,
    train_tokens_per_second=400.0,
    prefill_tokens_per_second=1000.0,
    generate_tokens_per_second=100.0,
    tune_tokens=20_000,
    choose_tokens=7_500,
    prompt_tokens=100.0,
    instruction_tokens=0,
    answer_tokens=40.0,
    output_limit=50,
    memory_bytes=10**9,
)


@pytest.fixture(scope="module")
def material() -> Material:
    return read_material(_config("10m").data)


def _config(budget: str) -> Config:
    path = str(shipped_data("support_tickets") / "tickets.csv")
    return Config.parse({"data": {"path": path}, "model": "m", "budget_seconds": budget})


def _planned(budget: str, material: Material, measured: Calibration = MEASURED) -> Plan:
    return make_plan(_config(budget), material, measured)


def _titles(plan: Plan) -> list[str]:
    return [candidate.title for candidate in plan.candidates[2:]]


def test_the_figures_by_hand(material: Material) -> None:
    plan = _planned("1h", material)
    seconds = {candidate.name: candidate.seconds for candidate in plan.candidates}
    assert seconds == {
        "most_frequent": 2,
        "tfidf": 2,
        **dict.fromkeys(
            ["as_is", "told_format", "held_to_format", "few_shot_random", "tuned_held"], pytest.approx(60.76)
        ),
        "few_shot_nearest": pytest.approx(109.816),
        "lora_fewer": pytest.approx(60.76 + 67.5),  # one epoch, one look: 1.2 x 22500 / 400
        "lora": pytest.approx(60.76 + 210),  # three epochs with four looks: 1.2 x (60000 + 10000) / 400
    }
    # confirm: report 3 s, the tuned one 10 + 1.2 x 90 x 0.6 = 74.8 s, the prompted one, with the nearest demonstrations
    # if they win, 10 + 1.2 x 90 x 1.16 = 135.28 s; the general questions, 60 tokens each and answers of 16, before and
    # after: 2 x (10 + 1.2 x 240 x 0.22).
    assert len(questions()) == 240
    assert plan.confirm_seconds == pytest.approx(3 + 74.8 + 135.28 + 2 * (10 + 1.2 * 240 * 0.22))


ALL = ["as it is", "told the format", "told the schema", "4 examples + schema", "4 nearest examples + schema"]


@pytest.mark.parametrize(
    ("budget", "titles", "forgetting"),
    [
        ("1h", [*ALL, "LoRA r16, 1 epoch", "LoRA r16, 3 epochs", "LoRA + schema"], True),
        ("19m", [*ALL[:4], "LoRA r16, 1 epoch", "LoRA r16, 3 epochs", "LoRA + schema"], True),
        ("15m", [*ALL[:4], "LoRA r16, 3 epochs", "LoRA + schema"], True),
        ("700s", [*ALL[:4], "LoRA r16, 3 epochs"], False),
        ("600s", [*ALL[2:4], "LoRA r16, 3 epochs"], False),
        ("400s", ["told the schema", "LoRA r16, 1 epoch"], False),
        ("300s", ["as it is", *ALL[2:4]], False),
        ("160s", ["told the schema"], False),
        ("100s", [], False),
    ],
)
def test_what_tells_most_is_granted_first(budget: str, titles: list[str], forgetting: bool, material: Material) -> None:
    plan = _planned(budget, material)
    assert _titles(plan) == titles
    assert plan.retention == forgetting
    assert plan.seconds + MEASURED.load_seconds <= _config(budget).budget_seconds
    left_out = {title for title, _ in plan.left_out}
    assert len(left_out) == len(plan.left_out)
    assert not left_out & set(titles)
    assert ("forgetting" in left_out) == (not forgetting and "LoRA" in " ".join(titles))
    assert ("LoRA" in left_out) == (not any("LoRA r16" in title for title in titles))
    assert ("LoRA r16, 3 epochs" in left_out) == ("LoRA r16, 1 epoch" in titles and "LoRA r16, 3 epochs" not in titles)


def test_what_is_left_out_says_which_budget_would_fit_it(material: Material) -> None:
    for title, reason in _planned("400s", material).left_out:
        minutes = int(reason.split("--budget ")[1].split("m")[0])
        assert minutes * 60 > 400
        plan = _planned(f"{minutes}m", material)
        assert title in [*_titles(plan), "forgetting" if plan.retention else ""]
        assert title not in _titles(_planned(f"{minutes - 1}m", material))


def test_a_model_too_large_for_the_machine_is_not_tuned(material: Material) -> None:
    plan = _planned("1h", material, replace(MEASURED, memory_bytes=10**15))
    assert _titles(plan) == ALL
    assert not plan.retention
    assert any("of memory" in reason for _, reason in plan.left_out)


def test_without_a_look_at_the_model_only_rivals_without_one_remain(material: Material) -> None:
    plan = _planned("19s", material, Calibration(usable=False))
    assert [candidate.title for candidate in plan.candidates] == ["most frequent answer", "TF-IDF"]
    assert [title for title, _ in plan.left_out] == ["as it is", "told the schema", "4 examples + schema", "LoRA"]


def test_a_plan_survives_being_stored(material: Material) -> None:
    plan = _planned("500s", material)
    assert Plan.from_json(plan.to_json()) == plan


def test_only_what_is_named_is_tried(material: Material) -> None:
    config = _config("1h").model_copy(update={"candidates": ["told_format", "lora"]})
    plan = make_plan(config, material, MEASURED)
    assert [candidate.name for candidate in plan.candidates] == ["most_frequent", "tfidf", "told_format", "lora"]
    assert (plan.left_out, plan.retention) == ([], False)
    assert make_plan(config.model_copy(update={"candidates": ["lora", "retention"]}), material, MEASURED).retention
    short = make_plan(config.model_copy(update={"budget_seconds": 100.0}), material, MEASURED)
    assert [title for title, _ in short.left_out] == ["LoRA", "told the format"]
    blind = make_plan(config, material, Calibration(usable=False))
    assert [title for title, _ in blind.left_out] == ["LoRA"]


def test_a_name_that_cannot_be_tried(material: Material) -> None:
    with pytest.raises(ConfigError, match=r"'lora2' is nothing that can be tried\. Known: as_is, told_format"):
        Config.parse({"data": {"path": material.dataset.source}, "candidates": ["lora2"]}, "adapt")
