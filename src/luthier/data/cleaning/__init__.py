"""Cleaning: rules that remove rows or mask what is in them, each with its count, its reasons and samples.

A new rule is a module with a class that has `name`, `Config` and `find` (see `rules.Rule`) and one line in the table
below. The order of the table is the order in which rules are asked; a row that one has removed no other sees. What
changes texts comes last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from luthier.core.errors import ConfigError, unknown_name
from luthier.core.registry import Table
from luthier.data.cleaning.cleaner import Cleaned, RuleReport, Sample, clean
from luthier.data.cleaning.rules import Finding, Row, Rule, rows_of

RULES: Table[type[Rule]] = Table(
    "rule",
    {
        "exact_duplicates": "luthier.data.cleaning.exact_duplicates:ExactDuplicates",
        "near_duplicates": "luthier.data.cleaning.near_duplicates:NearDuplicates",
        "length": "luthier.data.cleaning.length:Length",
        "repetition": "luthier.data.cleaning.repetition:Repetition",
        "language": "luthier.data.cleaning.language:Language",
        "personal_data": "luthier.data.cleaning.personal_data:PersonalData",
    },
)
"""Name -> class that keeps the protocol `Rule`."""

DEFAULT = "default"
"""Stands for the rules that are applied if none is named."""
DEFAULT_RULES = ("exact_duplicates", "near_duplicates", "length", "repetition")


def build_rules(names: Sequence[str] = (), settings: Mapping[str, Any] | None = None) -> list[Rule]:
    """Return rules in the order of the table.

    Args:
        names: Which; "default" stands for `DEFAULT_RULES`, and so does an empty list.
        settings: Settings by rule, such as {"length": {"most_words": 500}}.

    Raises:
        ConfigError: if a rule is unknown, if a setting is, or if it is one of a rule that is not applied.
    """
    asked = {rule for name in names or (DEFAULT,) for rule in (DEFAULT_RULES if name == DEFAULT else (name,))}
    given = dict(settings or {})
    for name in (*asked, *given):
        if name not in RULES:
            raise unknown_name("rule", name, [*RULES, DEFAULT])
    if unused := sorted(given.keys() - asked):
        raise ConfigError(
            f"The rule '{unused[0]}' is not applied, so it takes no settings. Name it: --rules {DEFAULT},{unused[0]}."
        )
    return [_build(RULES.get(name), given.get(name, {})) for name in RULES if name in asked]


def _build(rule: type[Rule], settings: Any) -> Rule:
    if not isinstance(settings, Mapping):
        example = next(iter(rule.Config.model_fields), "setting")
        raise ConfigError(f"'{rule.name}={settings}' is no setting. Write {rule.name}.{example}=value.")
    return rule(rule.Config.parse(settings, f"the rule '{rule.name}'"))


__all__ = [
    "DEFAULT",
    "DEFAULT_RULES",
    "RULES",
    "Cleaned",
    "Finding",
    "Row",
    "Rule",
    "RuleReport",
    "Sample",
    "build_rules",
    "clean",
    "rows_of",
]
