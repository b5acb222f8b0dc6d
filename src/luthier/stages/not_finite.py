"""When a loss or a gradient is no number: which rows, and where in the model, beside the error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from luthier.core.errors import GuardError
from luthier.core.files import write_json
from luthier.training.engine.contract import NotFiniteError
from luthier.training.source import PackedSource

_NAMED = 8


@contextmanager
def naming_rows(source: PackedSource, name_of: Callable[[int], str], module: nn.Module, path: Path) -> Iterator[None]:
    """Add to an error of this kind the rows of the step and the tensor that is no number; keep all in a JSON file.

    Args:
        source: Knows which sequences the step under way is made of.
        name_of: From a sequence's position to the name of its row.
        module: The whole model.
        path: The file.

    Raises:
        GuardError: with step and rows; the weights are as they were before the step.
    """
    try:
        yield
    except NotFiniteError as error:
        ids = list(dict.fromkeys(name_of(position) for position in source.under_way))
        where = first_not_finite(module)
        write_json(path, {"step": source.step, "what": str(error), "examples": ids, "tensor": where})
        shown = ", ".join(ids[:_NAMED]) + ", …" * (len(ids) > _NAMED)
        place = f" The first tensor that is no number: {where}." if where else " All weights are numbers."
        raise GuardError(f"{error} Step {source.step}, with rows {shown}.{place} See {path.name} in the run.") from None


def first_not_finite(module: nn.Module) -> str:
    """Name the first weight, or else gradient, that holds a value that is no number; empty if there is none."""
    named = list(module.named_parameters())
    for name, parameter in named:
        if not torch.isfinite(parameter).all():
            return name
    for name, parameter in named:
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            return f"the gradient of {name}"
    return ""
