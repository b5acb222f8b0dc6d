"""Looked at before training, and after it: faults that would pass in silence stop the run here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from luthier.core.errors import GuardError
from luthier.data.mapping import PartName
from luthier.data.render import Rendered, Renderer
from luthier.data.rendering import RowProblems, TargetCount
from luthier.data.splits import Parts
from luthier.models.loaded import LoadedModel

_PARTS: tuple[PartName, ...] = ("tune", "choose", "confirm")
_NEARLY_ZERO = 1e-3
"""Share of the median norm of the embeddings, below which a row says nothing."""
_NEARLY_THE_MEAN = 5e-3
"""Share of the median distance of embeddings from their mean, below which a row is the mean: transformers adds tokens
with 3e-5, bf16 rounds to 1e-3; the nearest row of SmolLM2-135M that was trained lies at 0.7."""
_SAMPLED = 4096


def render_parts(
    renderer: Renderer, parts: Parts, names: Sequence[PartName] = _PARTS
) -> dict[PartName, list[Rendered]]:
    """Render the rows of parts, so that what the model cannot take is known before anything is spent.

    Raises:
        DataError: listing the rows that are too long, or hold a special token.
        GuardError: if a row trains nothing, or not the token that ends its turn.
    """
    rendered: dict[PartName, list[Rendered]] = {name: [] for name in names}
    problems = RowProblems()
    for name in names:
        for example in parts[name]:
            rendered[name] += problems.render(renderer, example)
    problems.stop_if_any(sum(parts.sizes[name] for name in names))
    require_targets(renderer, [row for name in names for row in rendered[name]])
    return rendered


def require_targets(renderer: Renderer, rows: Sequence[Rendered]) -> None:
    """Make sure that every row trains its answer, to its end.

    Raises:
        GuardError: with the number of rows, and one of them.
    """
    found = TargetCount()
    for row in rows:
        found.add(renderer, row)
    found.stop_if_any_is_missing()


def require_known_tokens(model: LoadedModel, rows: Callable[[], Iterable[npt.NDArray[Any]]]) -> None:
    """Make sure that every token of some rows has an embedding that means something.

    A token that was added without being trained, or that pre-training never saw, has a row of (nearly) zeros, the mean
    of all rows, the row of another token, or none. Where the embedding itself is trained, such a row may still learn.

    Raises:
        GuardError: naming the tokens, and how many rows hold them.
    """
    weight = getattr(model.module.get_input_embeddings(), "weight", None)
    if weight is None:
        return
    used: set[int] = set()
    for tokens in rows():
        used.update(np.unique(tokens).tolist())
    if missing := sorted(i for i in used if i >= len(weight)):
        _refuse_tokens(model, rows, missing, f"has no embedding ({len(weight)} rows)")
    if not weight.requires_grad:
        added = model.tokenizer.added_tokens_decoder.keys()
        for what, found in untrained_tokens(weight.detach(), sorted(used), added).items():
            if found:
                _refuse_tokens(model, rows, found, f"has {what}, which is not trained here")


def untrained_tokens(weight: torch.Tensor, used: Sequence[int], added: Collection[int]) -> dict[str, list[int]]:
    """Find the tokens whose embedding no training has made.

    Args:
        weight: All embeddings, `[V, D]`.
        used: Ids to look at, below V.
        added: Ids of tokens beyond the ordinary vocabulary. Only of these a copy of another row is told: a few ordinary
            ones have it too, in which nothing went wrong but that pre-training met them never (SmolLM2 has four).

    Returns:
        What such an embedding is -> those of the ids that have one.
    """
    ids = torch.tensor(used, dtype=torch.long, device=weight.device)
    norms = torch.linalg.vector_norm(weight, dim=1, dtype=torch.float32)
    sample = weight[:: max(1, len(weight) // _SAMPLED)].float()
    mean = weight.mean(dim=0, dtype=torch.float32)
    far = torch.linalg.vector_norm(sample - mean, dim=1).median()
    distances = torch.linalg.vector_norm(weight[ids].float() - mean, dim=1)
    sums = _whole(weight).sum(dim=1, dtype=torch.int64)  # equal for equal rows, and hardly ever else
    _, place, times = sums.unique(return_inverse=True, return_counts=True)
    copies = [i for i in ids[times[place[ids]] > 1].tolist() if i in added and _has_a_copy(weight, sums, i)]
    zeros = ids[norms[ids] < _NEARLY_ZERO * norms.median()].tolist()
    means = ids[distances < _NEARLY_THE_MEAN * far].tolist()
    return {
        "an embedding of zeros": zeros,
        "the mean of all embeddings": means,
        "the same embedding as another token": copies,
    }


def _has_a_copy(weight: torch.Tensor, sums: torch.Tensor, token: int) -> bool:
    same = (sums == sums[token]).nonzero().flatten().tolist()
    return any(other != token and torch.equal(weight[other], weight[token]) for other in same)


def _refuse_tokens(
    model: LoadedModel, rows: Callable[[], Iterable[npt.NDArray[Any]]], ids: Sequence[int], what: str
) -> None:
    shown = ", ".join(f"{model.tokenizer.convert_ids_to_tokens(i)!r} ({i})" for i in ids[:5])
    holding = [bool(np.isin(tokens, ids).any()) for tokens in rows()]
    raise GuardError(
        f"{len(ids)} token(s) in {sum(holding)} of {len(holding)} rows mean nothing to {model.facts.name}: {shown} "
        f"{what}. Tokens were added and not trained, or this is a base model asked in a chat template that it never "
        "learned. Use the model that the tokenizer belongs to, a chat template without these tokens, or train the "
        "embeddings too (adapter.method=full)."
    )


class WeightWatch:
    """Sees whether training changed all that is trained, and nothing else.

    Args:
        module: The whole model.
        trained: What is trained, by name.
    """

    def __init__(self, module: nn.Module, trained: Mapping[str, nn.Parameter]) -> None:
        self._trained = dict(trained)
        known = {id(parameter) for parameter in trained.values()}
        self._frozen = {name: p for name, p in module.named_parameters() if id(p) not in known}
        self._before = {name: fingerprint(p) for name, p in [*self._trained.items(), *self._frozen.items()]}

    def check(self, updates: int) -> None:
        """Compare with the start; after two updates every trained tensor must differ (the first leaves LoRA's A alone).

        Raises:
            GuardError: naming what did not change, or what did and should not.
        """
        if broken := [name for name, p in self._trained.items() if not torch.isfinite(p).all()]:
            raise GuardError(
                f"{len(broken)} of {len(self._trained)} trained tensors hold values that are no numbers (first: "
                f"{broken[0]}). Nothing was saved. Lower training.learning_rate."
            )
        if changed := self._changed(self._frozen):
            raise GuardError(
                f"Training changed {len(changed)} tensors that are frozen (first: {changed[0]}), so the base model is "
                "no longer what the adapter is recorded on. Nothing was saved."
            )
        still = sorted(self._trained.keys() - set(self._changed(self._trained)))
        if updates >= 2 and still:
            raise GuardError(
                f"After {updates} updates {len(still)} of {len(self._trained)} trained tensors are what they were "
                f"(first: {still[0]}): they learned nothing. Nothing was saved. Is training.learning_rate too small?"
            )

    def _changed(self, parameters: Mapping[str, nn.Parameter]) -> list[str]:
        return [name for name, parameter in parameters.items() if fingerprint(parameter) != self._before[name]]


def fingerprint(tensor: torch.Tensor) -> int:
    """Sum a tensor's bits as whole numbers: quick on large models, and changed by any update that changes a value."""
    return int(_whole(tensor).sum(dtype=torch.int64))


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor's bits as whole numbers, in its shape."""
    whole: Any = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return tensor.detach().contiguous().view(whole)
