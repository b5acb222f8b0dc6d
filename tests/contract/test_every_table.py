"""Every entry of every table: imports, says what it is, and keeps its table's promises."""

from __future__ import annotations

import pytest

from luthier.adapters import ADAPTERS
from luthier.core.config import Config
from luthier.core.registry import Table
from luthier.core.stages import STAGES, config_class
from luthier.data.cleaning import RULES
from luthier.data.dialects import DIALECTS
from luthier.data.formats import FORMATS
from luthier.evaluation.metrics import METRICS
from luthier.evaluation.model_free import BASELINES
from luthier.objectives import OBJECTIVES
from luthier.prompting.strategies import STRATEGIES

TABLES: dict[str, Table[object]] = {
    table.kind: table  # type: ignore[misc]
    for table in (ADAPTERS, OBJECTIVES, METRICS, FORMATS, DIALECTS, BASELINES, STRATEGIES, RULES)
}
ENTRIES = [(kind, name) for kind, table in TABLES.items() for name in table]


def test_no_table_is_empty_and_none_shares_its_kind() -> None:
    assert len(TABLES) == 8
    assert all(len(table) for table in TABLES.values())
    assert len(ENTRIES) >= 20


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_an_entry_imports_and_has_a_docstring(kind: str, name: str) -> None:
    summary = TABLES[kind].summary(name)
    assert len(summary) >= 10
    assert summary[0].isupper() or summary[0].isdigit()
    assert summary.endswith("."), "a docstring's first line is one sentence"


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k, n in ENTRIES if k in ("adapter", "objective", "strategy")])
def test_a_method_goes_by_its_tables_name_and_says_what_it_needs(kind: str, name: str) -> None:
    entry = TABLES[kind].get(name)
    assert entry.name == name  # type: ignore[attr-defined]
    if kind != "strategy":
        assert isinstance(entry.needs, frozenset)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_method_has_a_documented_config_and_a_learning_rate(name: str) -> None:
    method = ADAPTERS.get(name)
    assert issubclass(method.Config, Config)
    assert method.Config().method == name
    assert 0 < method.default_learning_rate < 1
    undocumented = [f for f, info in method.Config.model_fields.items() if f != "method" and not info.description]
    assert undocumented == []


@pytest.mark.parametrize("name", RULES)
def test_a_rule_goes_by_its_tables_name_and_its_settings_are_documented(name: str) -> None:
    rule = RULES.get(name)
    assert rule.name == name
    assert [f for f, info in rule.Config.model_fields.items() if not info.description] == []
    assert rule(rule.Config()).find([]) == []


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_has_a_recipe_and_a_program(name: str) -> None:
    assert issubclass(config_class(name), Config)
    assert config_class(name).__doc__
