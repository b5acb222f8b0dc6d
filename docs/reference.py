"""Writes what follows from the code in the docs: commands, recipes, metrics, models, sizes, the notebook's page; and
what a benchmark found where a page tells it.

    python docs/reference.py            # rewrites what stands between <!-- generated: NAME --> and <!-- end -->

A test holds the pages against what this gives, so they cannot drift apart.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

DOCS = Path(__file__).parent
_REGION = re.compile(r"(<!-- generated: ([\w -]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def regions(text: str) -> Iterator[tuple[str, str]]:
    """Yield (name, content) of each generated region of a page."""
    for match in _REGION.finditer(text):
        yield match[2], match[3]


def generate(name: str) -> str:
    """Return what a region holds."""
    kind, _, argument = name.partition(" ")
    return f"\n{_MAKERS[kind](argument) if argument else _MAKERS[kind]()}\n\n"


def renew(text: str) -> str:
    """Return a page with all its regions generated anew."""
    return _REGION.sub(lambda match: match[1] + generate(match[2]) + match[4], text)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _sentence(text: str) -> str:
    """Return a description as a sentence's beginning, without its final full stop."""
    text = text.removesuffix(".")
    word = text.split(maxsplit=1)[0] if text else ""
    return text[:1].upper() + text[1:] if word.strip(",;:").isalpha() else text


# ------------------------------------------------------------------------------------------------------- commands


def _commands() -> dict[str, Any]:
    import typer

    from luthier.cli.main import app

    found: dict[str, Any] = {}
    for name, command in typing.cast(Any, typer.main.get_command(app)).commands.items():
        for below, inner in getattr(command, "commands", {}).items():
            found[f"{name} {below}"] = inner
        if not hasattr(command, "commands"):
            found[name] = command
    return found


def verbs() -> list[str]:
    """Return all verbs of the command line, such as "adapt" and "data check"."""
    return list(_commands())


def _is_reading(option: Any) -> bool:
    return option.rich_help_panel == "Reading the rows"


def commands() -> str:
    """Return a section a verb: usage, what it does, its options, examples."""
    parts = []
    for name, command in _commands().items():
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option" and p.name not in ("as_json", "help")]
        usage = " ".join(["luthier", name, *(a.metavar or a.name.upper() for a in arguments)])
        own = [_option(p) for p in options if not _is_reading(p)]
        reading = [f"`{p.opts[0]}`" for p in options if _is_reading(p)]
        parts.append(f"### luthier {name}\n\n```text\n{usage}\n```\n\n{' '.join(command.help.split())}")
        rows = [[f"`{a.metavar or a.name.upper()}`", "", _sentence(a.help or "")] for a in arguments] + own
        if rows:
            parts.append(table(["argument or option", "default", "what"], rows))
        if reading:
            parts.append(f"[Reading the rows](#reading-the-rows): {', '.join(reading)}.")
        lines = [line.strip() for line in (command.epilog or "").splitlines()]
        examples = [line for line in lines if line.startswith(("luthier", "echo"))]
        if examples:
            parts.append("```bash\n" + "\n".join(examples) + "\n```")
    return "\n\n".join(parts)


def reading_options() -> str:
    """Return the table of options that say how rows are read."""
    found = {p.name: p for c in _commands().values() for p in c.params if _is_reading(p)}
    return table(["option", "default", "what"], [_option(p) for p in found.values()])


def _option(option: Any) -> list[str]:
    text, _, default = option.help.partition(" [default: ")
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    shown = default.rstrip("]")
    if not shown and not (option.default is None or option.default is False or option.default == ""):
        shown = f"`{option.default}`"
    return [names, shown, _sentence(text.strip())]


# -------------------------------------------------------------------------------------------------------- recipes


def recipe(stage: str) -> str:
    """Return the table of a stage's recipe, sections flattened to dotted keys."""
    from luthier.core.stages import config_class

    return _fields(config_class(stage))


def adapter(name: str) -> str:
    """Return the table of an adapter method's settings."""
    from luthier.adapters import ADAPTERS, REFERENCE_WIDTH

    method = ADAPTERS.get(name)
    rate = (
        f"Default of `training.learning_rate`: {method.default_learning_rate:g} for models up to a width of "
        f"{REFERENCE_WIDTH} (135 M parameters); wider models take less, by the square root of the width."
    )
    return f"{_fields(method.Config, 'adapter.')}\n\n{rate}"


def strategy(name: str) -> str:
    """Return the table of a prompting strategy's settings."""
    from luthier.prompting.strategies import STRATEGIES

    return _fields(STRATEGIES.get(name).Config, "strategy.")


def _fields(config: type[BaseModel], prefix: str = "") -> str:
    return table(["key", "values", "default", "what"], list(_rows(config, prefix)))


def _rows(config: type[BaseModel], prefix: str) -> Iterator[list[str]]:
    for name, field in config.model_fields.items():
        section = _section(field.annotation)
        if section is not None:
            yield from _rows(section, f"{prefix}{name}.")
            continue
        bounds = [(key, getattr(limit, key, None)) for limit in field.metadata for key in _BOUNDS]
        limits = [f"{_BOUNDS[key]} {bound:g}" for key, bound in bounds if bound is not None]
        values = ", ".join([_type(field.annotation), *limits])
        yield [f"`{prefix}{name}`", values, _default(field), _sentence(field.description or "the method's name")]


def _section(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _type(annotation: Any) -> str:
    """Name a type the way people write values of it in YAML."""
    names = {str: "text", int: "whole number", float: "number", bool: "true, false", type(None): "null"}
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_type(part) for part in arguments)
    if origin is list:
        return f"list of {_type(arguments[0])}s"
    if _section(annotation) is not None:
        return "section"
    return "mapping" if origin is dict else names[annotation]


def _default(field: Any) -> str:
    value = field.default_factory() if field.default_factory is not None else field.default
    if value is PydanticUndefined:
        return "required"
    if value is None or isinstance(value, bool):
        return f"`{str(value).lower().replace('none', 'null')}`"
    if isinstance(value, list) and any(isinstance(entry, BaseModel) for entry in value):
        return f"{len(value)} of Luthier's own"
    if isinstance(value, dict):
        return "`{" + ", ".join(f"{key}: {inner}" for key, inner in value.items()) + "}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`" if value != "" else "empty"


# ------------------------------------------------------------------------------------------------ tables and models


def metrics() -> str:
    """Return the table of metrics."""
    from luthier.core.types import Example, user
    from luthier.data.tasks import KINDS, guess_task
    from luthier.evaluation.metrics import METRICS

    tasks = [guess_task([Example("a", user("x"), ('{"a": 1}',))], kind=kind) for kind in KINDS]
    rows = []
    for name in METRICS:
        entry: Any = METRICS.get(name)
        better = "higher" if entry.higher_is_better else "lower"
        primary = ", ".join(task.kind for task in tasks if task.metric == name)
        rows.append([f"`{name}`", METRICS.summary(name), better, primary])
    return table(["metric", "what", "better", "carries the verdict for"], rows)


def built_in() -> str:
    """Return the table of built-in models."""
    from luthier.models.builtin import list_builtin

    rows = [
        [
            f"`{m.name}`",
            f"{m.parameters / 1e6:.0f} M",
            f"{m.context_tokens:,}",
            m.licence,
            f"{m.download_bytes / 1e6:.0f} MB",
            f"{m.folder_bytes / 1e9:.2f} GB",
            m.good_for,
        ]
        for m in list_builtin()
    ]
    return table(["name", "parameters", "context", "licence", "download", "on disk", "good for"], rows)


def public() -> str:
    """Return the table of well-known public models."""
    from luthier.models.public_table import PUBLIC_MODELS

    rows = [
        [f"`{m.name}`", f"{m.parameters / 1e6:,.0f} M", f"{m.facts.context:,}", m.licence, m.access, "not tried"]
        for m in PUBLIC_MODELS
    ]
    return table(["name", "parameters", "context", "licence", "access", "tried"], rows)


def packing() -> str:
    """Return the support matrix of families that pack, from the table and the tiny models that are tested."""
    from luthier.models.facts import PACKING_FAMILIES
    from luthier.testing import FAMILIES

    tested = {name.removesuffix("_untied") for name in FAMILIES}
    rows = [
        [f"`{family}`", "packed", "yes" if family in tested else "not tried", "not tried", "not tried"]
        for family in sorted(PACKING_FAMILIES)
    ]
    rows.append(["any other decoder", "rows", "yes (`bloom`)", "not tried", "not tried"])
    return table(["family (`model_type`)", "layout", "CPU", "CUDA", "MPS"], rows)


def guards() -> str:
    """Return the table of guards."""
    from luthier.core.guard_table import GUARDS

    head = ["fault", "elsewhere", "guard", "what Luthier does", "when", "what to do"]
    rows = [[str(g.number), g.fault, g.name, g.does, g.when, g.advice] for g in GUARDS]
    return table(head, rows)


def engine() -> str:
    """Return the table of the sizes that generation works with."""
    from luthier.evaluation import answering
    from luthier.generation import engine as batch
    from luthier.models import cost
    from luthier.segments import prefixes

    rows = [
        ["slots: sequences decoded together", f"{batch._SLOTS}"],
        ["positions whose keys and values are held, over all slots", f"{cost.CACHED_POSITIONS:,}"],
        ["prompt tokens read at once", f"{cost.READ_TOKENS:,}"],
        ["share of slots that must be idle before new prompts are read", f"{100 * batch._IDLE_SHARE:.0f} %"],
        ["tokens that prompts must begin with in common to share them", f"{prefixes.LEAST_SHARED}"],
        [
            "sequences and tokens from which on a beginning is held apart",
            f"{batch._APART_USERS}, {batch._APART_TOKENS}",
        ],
        ["wave: rows that are answered and stored together", f"{answering.WAVE}"],
    ]
    return table(["size", "value"], rows)


def notebook(name: str) -> str:
    """Return a notebook as a page: its texts, and its code in blocks; outputs are not kept."""
    import json

    cells = json.loads((DOCS / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    fenced = [f"```python\n{text}\n```" for text in texts]
    return "\n\n".join(
        code if cell["cell_type"] == "code" else text for cell, text, code in zip(cells, texts, fenced, strict=True)
    )


def curse() -> str:
    """Return what the benchmark of the winner's curse found: the claims of real runs against rows kept aside."""
    import importlib.util
    import json
    import sys

    folder = DOCS.parent / "benchmarks" / "winners_curse"
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / "results").glob("*.json"))]
    if not results:
        return "(Not measured yet.)"
    spec = importlib.util.spec_from_file_location("winners_curse_report", folder / "report.py")
    assert spec is not None
    assert spec.loader is not None
    report = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(folder.parent))  # its report takes its tables from `shared`, beside it
    try:
        spec.loader.exec_module(report)
    finally:
        sys.path.remove(str(folder.parent))
    return str(report.summary(results))


_MAKERS: dict[str, Callable[..., str]] = {
    "commands": commands,
    "reading": reading_options,
    "recipe": recipe,
    "adapter": adapter,
    "strategy": strategy,
    "metrics": metrics,
    "models": built_in,
    "public": public,
    "packing": packing,
    "engine": engine,
    "guards": guards,
    "notebook": notebook,
    "curse": curse,
}


def main() -> None:
    """Renew all pages."""
    for page in sorted(DOCS.rglob("*.md")):
        before = page.read_text(encoding="utf-8")
        if (after := renew(before)) != before:
            page.write_text(after, encoding="utf-8", newline="\n")
            print(f"renewed {page.relative_to(DOCS)}")


if __name__ == "__main__":
    main()
