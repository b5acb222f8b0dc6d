"""What is kept of a model, and where: a folder of the cache for each state of its files and of the libraries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from luthier.core.environment import environment
from luthier.core.files import cache_folder, sha256_file, sha256_text
from luthier.models.source import ModelSource
from luthier.models.weights import weights_digest

FACTS, TOKENIZER = "facts.json", "tokenizer.json"
MOST_KEPT = 8
"""Models, with their adapters, of which something is kept."""

_BESIDE_WEIGHTS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                   "chat_template.jinja", "chat_template.json", "generation_config.json")  # fmt: skip


def folder_of(source: ModelSource, precision: str) -> Path:
    """Return the folder for a model as its files and the installed libraries are now."""
    return cache_folder() / "opened" / sha256_text(precision, *_state(source))[:32]


def _state(source: ModelSource) -> Iterator[str]:
    yield from (f"{name} {version}" for name, version in environment()["packages"].items())
    yield weights_digest(source.folder)
    for name in _BESIDE_WEIGHTS:
        if (file := source.folder / name).is_file():
            yield f"{name} {sha256_file(file)}"
    if source.adapter is not None:
        for file in sorted(source.adapter.iterdir()):
            if file.suffix in (".json", ".safetensors"):
                yield f"adapter {file.name} {sha256_file(file)}"
