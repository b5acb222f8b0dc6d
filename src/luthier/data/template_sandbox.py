"""Chat templates come with models and are programs of strangers: rendered in a sandbox, within limits.

Jinja's immutable sandbox keeps a template from attributes that lead out of it and from changing what it is given. It
does not keep it from taking all time and memory, so here every loop, call and joined text is counted as well, and what
a template may be written with is an allow-list. The output is that of transformers' `apply_chat_template` (same
settings, same functions); a test compares them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.filters import do_indent
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

from luthier.core.errors import DataError, GuardError

MOST_STEPS = 200_000
"""Turns of loops and calls that one rendering may take; a conversation of 100 turns takes a few thousand."""
MOST_CHARACTERS = 4_000_000
"""Length of a text that a template may make."""

_FORBIDDEN_NODES = (nodes.Import, nodes.FromImport, nodes.Include, nodes.Extends, nodes.Block)
_FILTERS = frozenset(
    {
        *("abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "indent", "int", "items", "join"),
        *(
            "last",
            "length",
            "list",
            "lower",
            "map",
            "max",
            "min",
            "reject",
            "rejectattr",
            "replace",
            "reverse",
            "round",
        ),
        *("safe", "select", "selectattr", "sort", "string", "sum", "title", "tojson", "trim", "unique", "upper"),
    }
)
_GROWING_METHODS = frozenset({"center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill"})
"""Methods of texts that make a text as long as a number says."""


class _Generation(Extension):
    """`{% generation %}` marks what an assistant said; here it changes nothing."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Any) -> Any:
        """Return the block's body."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, with a meter."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
        self.filters = {name: function for name, function in self.filters.items() if name in _FILTERS}
        self.filters |= {"tojson": _tojson, "indent": _indent, "replace": _replace, "join": self.joined}
        self.filters |= {"luthier_capped": self.capped, "luthier_counted": self.counted}
        self.globals = {
            "range": _range,
            "dict": lambda *args, **values: dict(*args, **values),
            "namespace": jinja2.utils.Namespace,
            "raise_exception": _refused_by_template,
            "strftime_now": lambda form: datetime.now().strftime(form),
        }
        self.steps = 0

    def step(self) -> None:
        """Count a turn of a loop or a call."""
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise SecurityError(f"it takes more than {MOST_STEPS:,} turns of loops and calls")

    def counted(self, values: Iterable[Any]) -> Iterable[Any]:
        """Count a loop's turns; lists stay lists, since templates ask for their length."""
        kept = values if isinstance(values, list | tuple | Mapping | str | range) else list(self._counting(values))
        for _ in kept:
            self.step()
        return kept

    def _counting(self, values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            self.step()
            yield value

    def capped(self, value: Any) -> Any:
        """Pass a value on if it is no text that is too long."""
        _require_short(len(value) if isinstance(value, str | list | tuple) else 0)
        return value

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute within the limits: a product or a formatted text can be as long as a number says."""
        if operator == "**" or (operator == "%" and isinstance(left, str)):
            raise SecurityError(f"it uses {operator} where a text or a number could grow without bound")
        if operator == "*" and not isinstance(left, int | float):
            left, right = right, left
        if operator == "*" and isinstance(right, str | list | tuple):
            _require_short(len(right) * left)
        return self.capped(super().call_binop(context, operator, left, right))

    def call(self, context: Any, called: Any, *args: Any, **values: Any) -> Any:
        """Count a call, and cap what it gives."""
        self.step()
        owner, name = getattr(called, "__self__", None), getattr(called, "__name__", "")
        if isinstance(owner, str) and name == "replace":
            return _replace(owner, *args)
        if isinstance(owner, str) and name == "join":
            return self.joined(args[0], owner)
        return self.capped(super().call(context, called, *args, **values))

    def joined(self, values: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
        """Join texts within the limits."""
        texts = [str(self.getitem(value, attribute) if attribute else value) for value in values]
        _require_short(sum(map(len, texts)) + len(separator) * len(texts))
        return separator.join(texts)

    def wrap_str_format(self, value: Any) -> Any:
        """Forbid `"{:99999999}".format(1)` too, which Jinja would let through."""
        if isinstance(getattr(value, "__self__", None), str) and getattr(value, "__name__", "").startswith("format"):
            raise SecurityError("it formats texts with str.format, which can make them as long as a number says")
        return None

    def is_safe_attribute(self, thing: Any, name: str, value: Any) -> bool:
        """Forbid also methods that make a text as long as a number says."""
        if isinstance(thing, str) and name in _GROWING_METHODS:
            return False
        return super().is_safe_attribute(thing, name, value)


@lru_cache(maxsize=16)
def _compiled(source: str) -> tuple[_Environment, jinja2.Template]:
    environment = _Environment()
    tree = environment.parse(source)
    for forbidden in tree.find_all(_FORBIDDEN_NODES):
        raise SecurityError(f"line {forbidden.lineno} uses {type(forbidden).__name__.lower()}")
    unknown = sorted({found.name for found in tree.find_all(nodes.Filter)} - environment.filters.keys())
    if unknown:
        raise SecurityError(f"it uses the filter {unknown[0]}, which is not among those allowed")
    _meter(tree)
    code: Any = environment.compile(tree)
    return environment, jinja2.Template.from_code(environment, code, environment.globals, None)


def _meter(tree: nodes.Template) -> None:
    """Let every loop count its turns, and cap what grows by joining."""
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = _through("luthier_counted", loop.iter)
    for assigned in list(tree.find_all(nodes.Assign)):
        assigned.node = _through("luthier_capped", assigned.node)
    for block in list(tree.find_all(nodes.AssignBlock)):
        block.filter = _through("luthier_capped", block.filter) if block.filter else _through("luthier_capped", None)


def _through(name: str, node: Any) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None)


def render_template(source: str, variables: Mapping[str, Any]) -> str:
    """Render a chat template within the limits.

    Args:
        source: The template.
        variables: What it sees: plain values only.

    Raises:
        GuardError: if it would leave the sandbox, or takes more than the limits.
        DataError: if the template itself refuses the conversation (`raise_exception`).
    """
    try:
        environment, template = _compiled(source)
        environment.steps = 0
        return str(environment.capped(template.render(**variables)))
    except SecurityError as error:
        raise GuardError(
            f"The model's chat template was stopped: {error}. A template is a program that comes with the model, and "
            "no chat needs this. Look at chat_template.jinja (or tokenizer_config.json), or choose another model."
        ) from None
    except (jinja2.TemplateError, TypeError, RecursionError, OverflowError) as error:
        raise GuardError(
            f"The model's chat template cannot be rendered: {str(error).splitlines()[0]}. Look at chat_template.jinja "
            "(or tokenizer_config.json), or choose another model."
        ) from None


def _refused_by_template(message: str) -> None:
    raise DataError(f"the model's chat template refuses this conversation: {message}")


def _range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > MOST_STEPS:
        raise SecurityError(f"it loops over {len(numbers):,} numbers")
    return numbers


def _require_short(characters: int) -> None:
    if characters > MOST_CHARACTERS:
        raise SecurityError(f"it makes a text of more than {MOST_CHARACTERS:,} characters")


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    text = str(text)
    found = text.count(old)
    _require_short(len(text) + (found if count < 0 else min(count, found)) * len(new))
    return text.replace(old, new, count)


def _indent(text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    lines = str(text).count("\n") + 1
    _require_short(len(text) + lines * (width if isinstance(width, int) else len(width)))
    return do_indent(str(text), width, first, blank)


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    if indent is not None and indent > 16:
        raise SecurityError(f"it indents JSON by {indent}")
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
