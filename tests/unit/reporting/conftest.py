"""Samples; the reader of pages is that of the end-to-end tests."""

import sys
from pathlib import Path

import pytest
from reporting_samples import GLOSSARY, sample_report, sample_screen

from luthier.reporting.blocks import Block

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "stages"))


@pytest.fixture
def screen() -> list[Block]:
    return sample_screen()


@pytest.fixture
def report() -> list[Block]:
    return sample_report()


@pytest.fixture
def glossary() -> dict[str, str]:
    return GLOSSARY
