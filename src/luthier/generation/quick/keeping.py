"""Keeping what opening a model through transformers has found out."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from luthier.core.files import sha256_file, staged_folder, write_json
from luthier.core.sealed import with_check
from luthier.generation.lean import NotDescribedError
from luthier.generation.local import LocalModel
from luthier.generation.quick.kept import FACTS, MOST_KEPT, TOKENIZER, folder_of
from luthier.generation.quick.opening import adapter_weights, base_weights, build_reader, says_the_same
from luthier.generation.quick.tokenizer import PlainTokenizer
from luthier.models.output_layer import OutputLayer
from luthier.models.probe import probe
from luthier.models.source import ModelSource


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
    attached = None if model.adapter is None else model.model.adapters[model.adapter]
    updates = {} if attached is None else attached.low_rank_updates()
    if updates is None or not model.writes_with_its_decoder:
        return False
    base = base_weights(source, loaded.precision, loaded.device)
    output = _output(loaded.output, base)
    if output is None:
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
    try:
        if not says_the_same(build_reader(base, adapter_weights(source, loaded.device), facts), facts):
            return False
    except (NotDescribedError, KeyError):
        return False
    folder = folder_of(source, loaded.precision)
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)  # what is there was of no use, or this model would not have been loaded
    with staged_folder(folder) as staged:
        loaded.tokenizer.backend_tokenizer.save(str(staged / TOKENIZER), pretty=False)
        write_json(staged / FACTS, with_check({**facts, "tokenizer_sha256": sha256_file(staged / TOKENIZER)}))
    _forget_oldest(folder.parent)
    return True


def _forget_oldest(home: Path) -> None:
    """Keep the newest models only: every adapter and every version of a library has a folder of its own."""
    whole = [folder for folder in home.iterdir() if not folder.name.startswith(".")]
    folders = sorted(whole, key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in folders[MOST_KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)


def _config(config: Any) -> dict[str, Any]:
    """Return a config with the names that it goes by as well (GPT-2's `n_head` is `num_attention_heads`)."""
    return {**config.to_dict(), **{alias: getattr(config, alias) for alias in config.attribute_map}}


def _output(output: OutputLayer, base: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """Describe an output layer by the names of its tensors in the files; None if it is more than a product.

    They are found by what they hold: some families are saved under other names than their parameters have.
    """
    linear: Any = output.linear
    if type(linear) is not nn.Linear:
        return None

    def name_of(tensor: Tensor) -> str | None:
        return next((name for name, held in base.items() if torch.equal(held, tensor)), None)

    weight, bias = name_of(linear.weight), None if linear.bias is None else name_of(linear.bias)
    if weight is None or (bias is None) != (linear.bias is None):
        return None
    return {"weight": weight, "bias": bias, "scale": output.scale, "softcap": output.softcap}
