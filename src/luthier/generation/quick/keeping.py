"""Keeping what opening a model through transformers has found out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from luthier.core.files import sha256_file, staged_folder, write_json
from luthier.core.sealed import with_check
from luthier.generation.lean import NotDescribedError
from luthier.generation.local import LocalModel
from luthier.generation.quick.kept import FACTS, TOKENIZER, folder_of
from luthier.generation.quick.opening import build_reader, read_weights, says_the_same
from luthier.generation.quick.tokenizer import PlainTokenizer
from luthier.models.arithmetic.linear import OwnLinear
from luthier.models.probe import probe
from luthier.models.source import ModelSource
from luthier.models.weights import weight_files


def keep(source: ModelSource, model: LocalModel) -> bool:
    """Keep what is needed to open a model without transformers, if its decoder alone says the same.

    Args:
        source: Where it was opened from.
        model: The model; it has written already, so its decoder was checked.

    Returns:
        Whether it was kept. It is not where it writes through its ordinary forward, where its output layer is more than
        a product, or where its weights' files have other names than its parameters.
    """
    loaded = model.loaded
    folder = folder_of(source, loaded.precision)
    if (folder / FACTS).exists():
        return True
    output = _output(source, model)
    attached = model.model.adapters.get(model.adapter) if model.adapter is not None else None
    updates = {} if attached is None else attached.low_rank_updates()
    if output is None or updates is None or not model.writes_with_its_decoder:
        return False
    with model.model.reading(model.adapter):
        said = probe(loaded)
    facts: dict[str, Any] = {
        "config": _config(loaded.module.config),
        "tokenizer": PlainTokenizer.facts_of(loaded.tokenizer),
        "context": loaded.facts.context,
        "vocabulary": loaded.facts.vocabulary,
        "output": output,
        "updates": {name: update.scale for name, update in updates.items()},
        "precision": loaded.precision,
        "probe": said,
    }
    dtype = torch.bfloat16 if loaded.precision == "bf16" else torch.float32
    try:
        if not says_the_same(build_reader(source, facts, dtype, loaded.device), facts):
            return False
    except (NotDescribedError, KeyError):
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with staged_folder(folder) as staged:
        loaded.tokenizer.backend_tokenizer.save(str(staged / TOKENIZER), pretty=False)
        write_json(staged / FACTS, with_check({**facts, "tokenizer_sha256": sha256_file(staged / TOKENIZER)}))
    return True


def _config(config: Any) -> dict[str, Any]:
    """Return a config with the names that it goes by as well (GPT-2's `n_head` is `num_attention_heads`)."""
    return {**config.to_dict(), **{alias: getattr(config, alias) for alias in config.attribute_map}}


def _output(source: ModelSource, model: LocalModel) -> dict[str, Any] | None:
    """Describe the output layer by the names of its tensors in the files; None if it is more than a product.

    They are found by what they hold: some families are saved under other names than their parameters have.
    """
    output = model.loaded.output
    linear: Any = output.linear
    if type(linear) not in (nn.Linear, OwnLinear):
        return None
    files = read_weights(weight_files(source.folder), linear.weight.dtype, model.loaded.device)

    def name_of(tensor: Tensor | None) -> str | None:
        return None if tensor is None else next(n for n, t in files.items() if torch.equal(t, tensor))

    try:
        names = {"weight": name_of(linear.weight), "bias": name_of(linear.bias)}
    except StopIteration:
        return None
    return {**names, "scale": output.scale, "softcap": output.softcap}
