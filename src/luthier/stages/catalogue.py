"""What there is to choose from, printed from the tables themselves."""

from __future__ import annotations

from typing import Any

from luthier.adapters import ADAPTERS
from luthier.core.errors import unknown_name
from luthier.core.registry import Table
from luthier.data.formats import FORMATS
from luthier.evaluation.metrics import METRICS
from luthier.evaluation.model_free import BASELINES
from luthier.models.builtin import is_converted, list_builtin
from luthier.objectives import OBJECTIVES
from luthier.prompting.strategies import STRATEGIES
from luthier.reporting.quantities import size

TABLES: dict[str, Table[Any]] = {
    "adapters": ADAPTERS,
    "objectives": OBJECTIVES,
    "metrics": METRICS,
    "strategies": STRATEGIES,
    "formats": FORMATS,
    "baselines": BASELINES,
}


def catalogue(what: str) -> list[dict[str, str]]:
    """Return the entries of a table, or the built-in models, each as named texts.

    Raises:
        ConfigError: if there is no such table.
    """
    if what == "models":
        return [
            {
                "name": model.name,
                "parameters": f"{model.parameters / 1e6:.0f} M",
                "licence": model.licence,
                "download": size(model.download_bytes),
                "here": "yes" if is_converted(model) else "no",
                "good for": model.good_for,
            }
            for model in list_builtin()
        ]
    if what not in TABLES:
        raise unknown_name("list", what, [*TABLES, "models"])
    table = TABLES[what]
    return [{"name": name, "what": table.summary(name)} for name in table]
