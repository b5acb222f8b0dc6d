"""What there is to choose from, printed from the tables themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from luthier.adapters import ADAPTERS
from luthier.adapters.lora import Lora
from luthier.core.errors import unknown_name
from luthier.core.guard_table import GUARDS
from luthier.core.registry import Table
from luthier.data.cleaning import RULES
from luthier.data.dialects import DIALECTS
from luthier.data.formats import FORMATS
from luthier.evaluation.metrics import METRICS
from luthier.evaluation.model_free import BASELINES
from luthier.models.builtin import is_converted, list_builtin
from luthier.models.facts import ModelFacts
from luthier.models.fit import Machine, Workload, fit, measure_machine
from luthier.models.public_table import BUILTIN_SHAPES, PUBLIC_MODELS
from luthier.objectives import OBJECTIVES
from luthier.prompting.demonstrations import DEMONSTRATIONS
from luthier.prompting.strategies import STRATEGIES
from luthier.reporting.blocks import Block, CellLike, Column, Text
from luthier.reporting.blocks import Table as BlockTable
from luthier.reporting.inline import escape
from luthier.reporting.quantities import MISSING, size

TABLES: dict[str, Table[Any]] = {
    "adapters": ADAPTERS,
    "objectives": OBJECTIVES,
    "metrics": METRICS,
    "strategies": STRATEGIES,
    "demonstrations": DEMONSTRATIONS,
    "formats": FORMATS,
    "dialects": DIALECTS,
    "cleaning": RULES,
    "baselines": BASELINES,
}


def catalogue(what: str) -> list[dict[str, str]]:
    """Return the entries of a table, or the models that are built in or well known, each as named texts.

    Raises:
        ConfigError: if there is no such table.
    """
    if what == "models":
        return models_here(measure_machine())
    if what == "guards":
        return [
            {
                "fault": str(g.number),
                "guard": g.name,
                "when": g.when,
                "does": g.does,
                "where": g.where,
                "advice": g.advice,
            }
            for g in GUARDS
        ]
    if what not in TABLES:
        raise unknown_name("list", what, [*TABLES, "models", "guards"])
    table = TABLES[what]
    return [{"name": name, "what": table.summary(name)} for name in table]


def blocks_of(what: str, entries: Sequence[Mapping[str, str]]) -> list[Block]:
    """Return what shows the entries of `catalogue` on the screen."""
    if what == "guards":
        return [_tabulated(entries, ["fault", "guard", "when", "does"])]
    if what != "models":
        return [_tabulated(entries, list(entries[0]))]
    built_in, public = ([e for e in entries if (e["tried"] == "yes") is tried] for tried in (True, False))
    return [
        _models_table(built_in, "Built in, and tried"),
        Text("\n".join(f"- `{e['name']}`: {escape(e['good for'])}" for e in built_in)),
        _models_table(public, "On the hub, not tried here"),
        Text("\n".join(f"- {note}" for note in NOTES)),
    ]


def _tabulated(entries: Sequence[Mapping[str, str]], names: Sequence[str]) -> BlockTable:
    return BlockTable([Column(name) for name in names], [[entry[name] for name in names] for entry in entries])


def _models_table(entries: Sequence[Mapping[str, str]], title: str) -> BlockTable:
    """Tabulate models, narrow enough for a terminal of 80 columns to show their names whole."""
    fetched = "download" in entries[0]
    columns = [Column("name"), Column("size", "right"), Column("licence"), *[Column("download")] * fetched]
    columns += [Column("fits"), Column("LoRA about", "right")]
    rows: list[list[CellLike]] = [
        [
            entry["name"],
            entry["parameters"],
            entry["licence"] + " *" * (entry["access"] != "open"),
            *["is here" if entry["here"] == "yes" else entry["download"] for _ in range(fetched)],
            entry["fits"],
            entry["LoRA"].removeprefix("about "),
        ]
        for entry in entries
    ]
    return BlockTable(columns, rows, title=title)


# -------------------------------------------------------------------------------------------------------------- models

WORK = Workload()
NOTES = (
    f"LoRA: time to learn from {WORK} here, estimated from the model's shape and a matrix product just measured; twice "
    "or half as much is possible. `luthier adapt FILE -m NAME --plan` measures the model itself.",
    "fits: what this machine's memory suffices for. tuning: LoRA, and answering too; answers: that only.",
    "* gated, or has been at times: accept the terms on the model's page (huggingface.co/NAME), then `hf auth login`, "
    "or set HF_TOKEN to a token of that account. The built-in one: `luthier --accept-terms gemma VERB …`",
)


def models_here(machine: Machine) -> list[dict[str, str]]:
    """Describe the built-in models, then well-known public ones, and whether they fit this machine."""
    built_in = [
        {
            "name": model.name,
            "parameters": _millions(model.parameters),
            "licence": model.licence,
            "access": "terms to accept" if model.terms else "open",
            "tried": "yes",
            **_fitting(BUILTIN_SHAPES[model.name], machine),
            "download": size(model.download_bytes),
            "here": "yes" if is_converted(model) else "no",
            "good for": model.good_for,
        }
        for model in list_builtin()
    ]
    public = [
        {
            "name": model.name,
            "parameters": _millions(model.parameters),
            "licence": model.licence,
            "access": model.access,
            "tried": "not tried here",
            **_fitting(model.facts, machine),
        }
        for model in PUBLIC_MODELS
    ]
    return built_in + public


def _fitting(facts: ModelFacts, machine: Machine) -> dict[str, str]:
    found = fit(facts, machine, WORK, Lora().config.rank)
    if found.room_bytes is None:
        return {"fits": "not known", "LoRA": about(found.seconds)}
    fits = "tuning" if found.tunes else "answers" if found.answers else "no"
    return {"fits": fits, "LoRA": about(found.seconds) if found.tunes else MISSING}


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.0f} M" if parameters < 999.5e6 else f"{parameters / 1e9:.1f} B"


def about(seconds: float) -> str:
    """Write an estimated time in one unit: "about 30 s", "about 3 min", "about 5 h", "about 2 d"."""
    for unit, length, most in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 36)):
        if seconds < most * length:
            count = max(1, round(seconds / length))
            return f"about {count if unit != 's' else max(10, round(count, -1))} {unit}"
    return f"about {round(seconds / 86400)} d"
