"""The code of "Terms of training" runs, what it asserts holds, and the pictures are those that it draws."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pages import DOCS, text_of

PAGE, IMAGES = DOCS / "terms.md", DOCS / "images" / "terms"
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
_TOO_LARGE = re.compile(
    r'(?<=</g>)<g class="s3"><path d="[^"]*" class="line"/>(?:<circle[^>]*/>)*</g>|too large: [^;<]*'
)
"""The line of a rate that is too large: rounding, which differs between processors, decides where it jumps to."""
_ONE_DIGIT = 0.15
"""Coordinates are written in tenths, so rounding may move one by a tenth, which is 2e-4 nats or more. The other lines'
losses move by less than 1e-4 nats between instruction sets, or when every initial weight is moved by its last bit."""


def terms() -> ModuleType:
    """Load `docs/terms.py`, which makes the pictures."""
    if "docs_terms" not in sys.modules:
        spec = importlib.util.spec_from_file_location("docs_terms", DOCS / "terms.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules["docs_terms"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["docs_terms"])
    return sys.modules["docs_terms"]


@pytest.fixture(scope="module")
def plots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the page's code once, in a folder of its own."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("terms"))
    try:
        found: dict[str, Any] = terms().run_page()["plots"]
    finally:
        os.chdir(before)
    return found


def differs(one: str, other: str) -> str:
    """Return where two drawings differ: in a word, or in a number by more than rounding elsewhere explains."""
    one, other = (_TOO_LARGE.sub("", drawing) for drawing in (one, other))
    words = zip(_NUMBER.split(one), _NUMBER.split(other), strict=False)
    if changed := next((f"{a!r}, {b!r}" for a, b in words if a != b), ""):
        return changed
    numbers = zip(map(float, _NUMBER.findall(one)), map(float, _NUMBER.findall(other)), strict=True)
    return next((f"{a}, {b}" for a, b in numbers if abs(a - b) > _ONE_DIGIT), "")


def test_the_pictures_are_those_of_the_code(plots: dict[str, Any]) -> None:
    assert {path.stem for path in IMAGES.glob("*.svg")} == plots.keys()
    assert len(plots) >= 6
    for name, plot in plots.items():
        kept = (IMAGES / f"{name}.svg").read_text(encoding="utf-8")
        assert not (where := differs(kept, terms().picture(plot))), f"{name}: {where}; run python docs/terms.py"


def test_a_picture_of_other_code_would_be_noticed(plots: dict[str, Any]) -> None:
    kept = (IMAGES / "rates.svg").read_text(encoding="utf-8")
    assert not differs(kept, kept)
    assert differs(kept, kept.replace("too small", "small"))
    assert differs(kept, (IMAGES / "descent.svg").read_text(encoding="utf-8"))
    too_small, right, _ = plots["rates"].series
    moved = type(plots["rates"])(
        [type(right)(right.name, right.x, [y + 0.2 for y in right.y]), too_small], plots["rates"].x_title, ""
    )
    assert differs(kept, terms().picture(moved))


def test_every_picture_is_shown_small_and_loads_nothing() -> None:
    shown = re.findall(r"^!\[([^\]]{20,})\]\(images/terms/(\w+)\.svg\)$", text_of(PAGE), re.MULTILINE)
    assert sorted(name for _, name in shown) == sorted(path.stem for path in IMAGES.glob("*.svg"))
    for path in IMAGES.glob("*.svg"):
        assert path.stat().st_size < 20_000
        assert not re.search(r"url\(|<image|<script|@font-face", path.read_text(encoding="utf-8"))


def test_the_defaults_that_the_page_names_are_the_codes() -> None:
    from luthier.adapters.lora import Lora
    from luthier.training.config import TrainingConfig
    from luthier.training.source import BatchConfig

    page = " ".join(text_of(PAGE).split())
    size = BatchConfig().size_for
    assert f"Luthier takes {size(399)} below 400 rows, {size(3999)} below 4,000, else {size(4000)}" in page
    assert (size(400), size(4000)) == (8, 16)
    assert f"by default {100 * TrainingConfig().warmup_share:.0f} % of the steps" in page
    assert TrainingConfig().schedule == "cosine"
    assert Lora().config.alpha == 2 * Lora().config.rank
    assert "Luthier sets alpha to twice the rank" in page


def test_the_words_of_the_task_are_in_the_glossary() -> None:
    glossary = text_of(DOCS / "glossary.md").lower()
    missing = [
        term
        for term in ("learning rate", "gradient descent", "step, iteration", "overfitting, underfitting", "warm-up")
        if f"**{term}**" not in glossary
    ]
    assert missing == []
