"""Tables of lazily imported entries."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from luthier.core.errors import ConfigError
from luthier.core.registry import Table

TABLE: Table[Any] = Table("fruit", {"apple": "json:loads", "pear": "no_such_module_here:x", "plum": "decimal:Decimal"})


def test_an_entry_is_imported_when_it_is_asked_for() -> None:
    import json

    assert list(TABLE) == ["apple", "pear", "plum"]
    assert len(TABLE) == 3
    assert "pear" in TABLE
    assert "nut" not in TABLE
    assert TABLE.get("apple") is json.loads
    assert "no_such_module_here" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        TABLE.get("pear")


def test_an_unknown_name_is_answered_with_the_names_and_the_nearest() -> None:
    with pytest.raises(ConfigError) as error:
        TABLE.get("aple")
    assert str(error.value) == "Unknown fruit 'aple'. Known: apple, pear, plum. Did you mean 'apple'?"
    with pytest.raises(ConfigError) as error:
        TABLE.get("xyz")
    assert str(error.value) == "Unknown fruit 'xyz'. Known: apple, pear, plum."


def test_a_summary_is_the_first_line_of_the_docstring() -> None:
    assert TABLE.summary("apple").startswith("Deserialize ``s``")
