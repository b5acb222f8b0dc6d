"""The shipped support tickets are what their README says."""

from __future__ import annotations

import json
import re

import pytest

from luthier.core.types import Example
from luthier.data.overlap import groups
from luthier.data.shipped import shipped_data
from luthier.data.sources import Dataset, read_examples

FIELDS = {
    "product": {"kettle", "lamp", "vacuum", "headphones", "scale", "app", "none"},
    "issue": {"delivery", "defect", "billing", "account", "how_to", "return", "other"},
    "urgency": {"high", "normal", "low"},
}


@pytest.fixture(scope="module")
def tickets() -> Dataset:
    return read_examples(shipped_data("support_tickets") / "tickets.csv")


def test_there_are_360_in_three_given_parts(tickets: Dataset) -> None:
    assert tickets.given_sizes() == {"tune": 200, "choose": 70, "confirm": 90}
    assert len({example.prompt for example in tickets.examples}) == 360


def test_every_label_is_of_the_guide(tickets: Dataset) -> None:
    for example in tickets.examples:
        label = json.loads(example.reference)
        assert list(label) == ["product", "issue", "urgency", "order_id", "wants_refund"]
        assert all(label[name] in allowed for name, allowed in FIELDS.items())
        assert isinstance(label["wants_refund"], bool)
        assert label["order_id"] is None or re.fullmatch(r"LK-\d{5}", label["order_id"])


def test_order_numbers_stand_in_the_messages(tickets: Dataset) -> None:
    labels = [(e.prompt, json.loads(e.reference)["order_id"]) for e in tickets.examples]
    assert all(number.removeprefix("LK-") in prompt for prompt, number in labels if number)
    assert sum(number is not None for _, number in labels) > 120


def test_fewer_than_one_percent_are_near_duplicates_with_names_and_numbers_masked(tickets: Dataset) -> None:
    masked = [
        Example(example.id, (type(example.messages[0])("user", _mask(example.prompt)),), example.references)
        for example in tickets.examples
    ]
    duplicates = len(masked) - len(set(groups(masked)))
    assert duplicates < 0.01 * len(masked)


def test_most_messages_are_under_90_tokens(tickets: Dataset) -> None:
    lengths = [len(re.findall(r"\w+|[^\w\s]", example.prompt)) for example in tickets.examples]
    assert sum(length < 90 for length in lengths) > 0.9 * len(lengths)


def _mask(text: str) -> str:
    """Blank numbers, and capitalised words that do not begin a sentence: names of people, towns and products."""
    text = re.sub(r"(?<=[\w,;] )[A-Z]\w+", "NAME", text)
    return re.sub(r"\d+", "0", text)
