"""Raw text as material: a corpus' store and parts, and a model that reads it. Shared by tune, evaluate and compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, model_validator
from safetensors.numpy import load, save

from luthier.core.config import Config
from luthier.core.errors import ConfigError
from luthier.core.listener import Listener
from luthier.core.run import RunDirectory
from luthier.core.types import Example
from luthier.data.corpus import Corpus, find_corpus
from luthier.data.corpus.parts import FEWEST_DOCUMENTS, CorpusParts, divide
from luthier.data.document_tokens import DocumentTokens
from luthier.data.mapping import PartName
from luthier.data.options import ReadOptions
from luthier.data.store import TokenStore, open_store
from luthier.data.tasks import CORPUS
from luthier.evaluation.metrics import title_of
from luthier.evaluation.opening import winner_of
from luthier.evaluation.reading import TextReader, text_examples
from luthier.evaluation.statistics import Scores
from luthier.generation.local import LocalModel
from luthier.reporting.blocks import CellLike, Column, Table
from luthier.reporting.inline import escape
from luthier.stages.blocks import score_cell
from luthier.stages.material import DataConfig, require_same_data


class CorpusConfig(Config):
    """How raw text is read (objective causal_lm)."""

    column: str | None = Field(
        None, description="the column of tables that holds the text; null: text, or the only one"
    )
    window_tokens: int = Field(
        1024, ge=16, description="most tokens that are read together; longer documents are cut into windows"
    )
    overlap_tokens: int | None = Field(
        None,
        ge=1,
        description="tokens before a piece that are its context when text is measured, and not counted again; null: a "
        "quarter of window_tokens",
    )
    held_out_tokens: int = Field(
        100_000, ge=1, description="most tokens of choose and of confirm; what is beyond is learned from"
    )

    @model_validator(mode="after")
    def _overlap_fits(self) -> CorpusConfig:
        if self.overlap_tokens is not None and self.overlap_tokens >= self.window_tokens:
            raise ValueError(f"overlap_tokens {self.overlap_tokens} is not below window_tokens {self.window_tokens}")
        return self

    def window_for(self, context: int) -> int:
        """Return the most tokens read together by a model with this context."""
        return min(self.window_tokens, context)

    def overlap_for(self, context: int) -> int:
        """Return the tokens of context that a model with this context reads before a piece."""
        window = self.window_for(context)
        return window // 4 if self.overlap_tokens is None else min(self.overlap_tokens, window // 2)


@dataclass(frozen=True)
class RawText:
    """A corpus in a model's tokens, and its parts; the same from the same config, wherever it is read."""

    corpus: Corpus
    store: TokenStore
    parts: CorpusParts

    @cached_property
    def tokens(self) -> dict[PartName, int]:
        """Tokens of each part."""
        sizes = self.store.starts[1:] - self.store.starts[:-1]
        names: tuple[PartName, ...] = ("tune", "choose", "confirm")
        return {name: int(sizes[self.parts[name]].sum()) for name in names}

    def examples(self, part: PartName) -> list[Example]:
        """Return the sections of a part as what is measured."""
        return text_examples(self.store, self.parts[part])

    @property
    def description(self) -> str:
        """What was read, in words."""
        return corpus_sentence(self.corpus, self.store)


def corpus_sentence(corpus: Corpus, store: TokenStore) -> str:
    """Say what a corpus holds, and what of it is not read."""
    files = corpus.files[0].name if len(corpus.files) == 1 else f"{len(corpus.files):,} files"
    sentence = f"{files}: {store.documents:,} documents, {len(store.tokens):,} tokens"
    if store.empty:
        sentence += f", {store.empty:,} empty documents left out"
    if store.unusable:
        sentence += f", {store.unusable:,} documents that cannot be used left out"
    if store.other_columns:
        sentence += f"; columns not read: {', '.join(store.other_columns)}"
    if corpus.left_out:
        shown = ", ".join(corpus.left_out[:5]) + ", …" * (len(corpus.left_out) > 5)
        sentence += f"; files not read: {shown}"
    return sentence


def unit_sentence(examples: list[Example]) -> str:
    """Say what intervals and tests draw anew."""
    clusters = {example.cluster for example in examples}
    if None in clusters:
        return (
            f"{len(examples):,} sections are the units of intervals and tests, because they come from fewer than "
            f"{FEWEST_DOCUMENTS} documents: a verdict is about this text"
        )
    return f"{len(clusters):,} documents are the units of intervals and tests"


def find_text(data: DataConfig, column: str | None) -> Corpus:
    """Find the corpus, before any model is looked for.

    Raises:
        DataError: if there is nothing to read.
        ConfigError: for options that raw text has no use for.
    """
    require_no_idle_options(data)
    return find_corpus(data.path, column)


def looks_like_text(path: str) -> bool:
    """Say whether a path on this machine is a text file, or a folder with text files and no tables."""
    place = Path(path)
    files = [place] if place.is_file() else list(place.iterdir()) if place.is_dir() else []
    suffixes = {file.suffix.lower() for file in files}
    return bool(suffixes & {".txt", ".md"}) and not suffixes & {".csv", ".jsonl", ".parquet", ".json"}


def require_no_idle_options(data: DataConfig) -> None:
    """Refuse options of reading that have no effect on raw text.

    Raises:
        ConfigError: naming them.
    """
    kept = ReadOptions(skip_bad=data.read.skip_bad)
    idle = [f"data.read.{name}" for name in ReadOptions.model_fields if getattr(data.read, name) != getattr(kept, name)]
    defaults = DataConfig(path=data.path)
    idle += [
        f"data.{name}" for name in ("thoughts", "fold", "stream") if getattr(data, name) != getattr(defaults, name)
    ]
    idle += ["data.kind"] * (data.kind not in (None, CORPUS))
    if idle:
        raise ConfigError(
            f"Raw text has no prompts and answers, so these settings have no effect: {', '.join(idle)}. Leave them "
            "out. What holds the text in a table is corpus.column."
        )


def read_store(corpus: Corpus, tokenizer: Any, data: DataConfig, listener: Listener) -> TokenStore:
    """Tokenise a corpus, or find it tokenised.

    Raises:
        DataError: for documents that cannot be used, or no text at all.
    """
    return open_store(corpus, DocumentTokens(tokenizer), listener, skip_bad=data.read.skip_bad)


def read_text(corpus: Corpus, tokenizer: Any, data: DataConfig, most: int, run: RunDirectory) -> RawText:
    """Tokenise a corpus and divide it.

    Raises:
        DataError: for documents that cannot be used, or too little text.
        RunError: if the corpus has changed since the run began.
    """
    store = read_store(corpus, tokenizer, data, run.listener)
    require_same_data(run, data.path, store.corpus_digest)
    parts = divide(store, data.seed, most, corpus.parts)
    run.update(
        data={
            "path": data.path,
            "sha256": store.corpus_digest,
            "rows": store.documents,
            "parts": dict(parts.documents),
        },
        task={"kind": CORPUS, "reason": "raw text"},
    )
    return RawText(corpus, store, parts)


def text_scores_table(entries: Sequence[tuple[str, Scores]], part: str) -> Table:
    """Tabulate how models read a text, a row a metric: their names and figures are too long for columns."""
    first = entries[0][1]
    columns = [Column(f"text of {part}"), *(Column(name, "right") for name, _ in entries)]
    rows: list[list[CellLike]] = [
        [title_of(metric), *(score_cell(scores, metric) for _, scores in entries)] for metric in first.names
    ]
    return Table(columns, rows, caption=f"{len(first):,} sections of text, 95 % intervals")


# ------------------------------------------------------------------------------------------------- runs and models


def is_raw_text(answerer: str, kind: str | None) -> bool:
    """Say whether what an answerer is measured on is raw text: it was tuned on some, or `--kind corpus` says so."""
    path = Path(answerer)
    if not RunDirectory.is_run(path):
        return kind == CORPUS
    return kind == CORPUS or tuned_on_text(RunDirectory(path))


def tuned_on_text(run: RunDirectory) -> bool:
    """Say whether a run was tuned on raw text."""
    answering: dict[str, Any] = run.manifest.get("answering") or {}
    return run.manifest["stage"] == "tune" and answering.get("kind") == "reading"


def corpus_config_of(answerer: str) -> CorpusConfig:
    """Return how a run read its text, or the defaults."""
    path = Path(answerer)
    if RunDirectory.is_run(path) and (stored := RunDirectory(path).recipe.get("corpus")):
        return CorpusConfig.parse(stored, f"{answerer}/recipe.yaml")
    return CorpusConfig()


def reader_of(model: LocalModel, store: TokenStore, config: CorpusConfig) -> TextReader:
    """Return a model as what reads a store."""
    context = model.loaded.facts.context
    return TextReader(model, store, config.window_for(context), config.overlap_for(context))


def warn_of_learned_text(answerer: str, store: TokenStore, listener: Listener) -> None:
    """Say how many documents a run has learned from or chosen on: a score on them says little about new text."""
    path = Path(answerer)
    if not RunDirectory.is_run(path) or not (winner_of(RunDirectory(path)).path / LEARNED).exists():
        return
    of = _as_signed(store.sections["digest"])
    learned = int(np.isin(of, learned_digests(winner_of(RunDirectory(path)))).sum())
    if learned:
        listener.say(
            f"**{learned:,} of these {len(of):,} sections of text were learned from or chosen on** by "
            f"{escape(answerer)}: its score on them is too good. Text that it has not seen says more."
        )


LEARNED = "learned.safetensors"
"""In a run: the digests of the sections that it learned from and chose on."""


def store_learned(run: RunDirectory, text: RawText) -> None:
    """Keep the digests of the sections that a run learns from and chooses on."""
    digests = _as_signed(text.store.sections["digest"])
    run.files.write(LEARNED, save({"tune": digests[text.parts.tune], "choose": digests[text.parts.choose]}))


def learned_digests(run: RunDirectory) -> Any:
    """Return the digests that `store_learned` kept, `[n]`."""
    return np.concatenate(list(load(run.files.read(LEARNED)).values()))


def _as_signed(digests: Any) -> Any:
    """Return digests as whole numbers that safetensors can hold."""
    return np.ascontiguousarray(digests).view(np.int64)
