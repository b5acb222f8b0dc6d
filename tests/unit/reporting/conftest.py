import pytest
from reporting_samples import GLOSSARY, sample_report, sample_screen

from luthier.reporting.blocks import Block


@pytest.fixture
def screen() -> list[Block]:
    return sample_screen()


@pytest.fixture
def report() -> list[Block]:
    return sample_report()


@pytest.fixture
def glossary() -> dict[str, str]:
    return GLOSSARY
