"""What a budget buys: which candidates are planned, and what is said of the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from luthier.data.shipped import shipped_data
from luthier.stages.adapt import Config
from luthier.stages.adapt.calibration import Calibration
from luthier.stages.adapt.plan import Plan, make_plan
from luthier.stages.material import Material, read_material

# 70 rows to choose, 90 to confirm. A prompted candidate: 10 + 1.2 x 70 x (100 / 1000 + 50 / 100) = 60.4 s.
# LoRA: 10 + 1.2 x 70 x (100 / 1000 + 40 x 1.25 / 100) = 60.4 s to answer, and to learn
# 1.2 x (epochs x 20000 + looks x 7500 / 3) / 400.
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
    as_is, told, lora = plan.candidates[2:]
    assert as_is.seconds == told.seconds == pytest.approx(60.4)
    # three epochs with four looks: 1.2 x (60000 + 4 x 7500 / 3) / 400 = 210
    assert lora.seconds == pytest.approx(60.4 + 210)
    # confirm: report 3 s, and 10 + 1.2 x 90 x 0.6 = 74.8 s for each of the two
    assert plan.confirm_seconds == pytest.approx(3 + 2 * 74.8)


@pytest.mark.parametrize(
    ("budget", "titles"),
    [
        ("1h", ["as it is", "told the format", "LoRA r16, 3 epochs"]),
        ("500s", ["as it is", "told the format", "LoRA r16, 2 epochs"]),  # 14 + 2 x 60.4 + 60.4 + 150 + 152.6 = 498
        ("497s", ["as it is", "told the format", "LoRA r16, 1 epoch"]),
        ("380s", ["told the format", "LoRA r16, 1 epoch"]),
        ("260s", ["LoRA r16, 1 epoch"]),
        ("160s", ["told the format"]),
        ("100s", []),
    ],
)
def test_tuning_goes_before_the_uninformed_prompt(budget: str, titles: list[str], material: Material) -> None:
    plan = _planned(budget, material)
    assert _titles(plan) == titles
    assert plan.seconds + MEASURED.load_seconds <= _config(budget).budget_seconds
    assert len(plan.left_out) == 3 - len(titles)


def test_what_is_left_out_says_which_budget_would_fit_it(material: Material) -> None:
    plan = _planned("380s", material)
    (title, reason) = plan.left_out[0]
    assert title == "as it is"
    minutes = int(reason.split("--budget ")[1].split("m")[0])
    assert "as it is" in _titles(_planned(f"{minutes}m", material))


def test_a_model_too_large_for_the_machine_is_not_tuned(material: Material) -> None:
    plan = _planned("1h", material, replace(MEASURED, memory_bytes=10**15))
    assert _titles(plan) == ["as it is", "told the format"]
    assert any("of memory" in reason for _, reason in plan.left_out)


def test_without_a_look_at_the_model_only_rivals_without_one_remain(material: Material) -> None:
    plan = _planned("19s", material, Calibration(usable=False))
    assert [candidate.title for candidate in plan.candidates] == ["most frequent answer", "TF-IDF"]
    assert [title for title, _ in plan.left_out] == ["as it is", "told the format", "LoRA"]


def test_a_plan_survives_being_stored(material: Material) -> None:
    plan = _planned("500s", material)
    assert Plan.from_json(plan.to_json()) == plan
