"""Rows to learn from in a model's tokens, on disk: tokenised in one pass, read through memory maps.

    tokens.bin      all sequences one after the other (uint16 or 32)
    weights.bin     the weight of each token as a target (float32)
    sequences.bin   a record a sequence: where its tokens start, and which row it comes from
    store.json      sizes, SHA-256 of all, counts; written last

A store is a folder of the cache, named by the rows, the tokenizer, its chat template and what is learned of a row: a
run that goes on, and any other run that learns the same, finds it again. Of a sequence 24 bytes are held in use.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from luthier.core.files import cache_folder, sha256_text
from luthier.core.listener import Listener, SilentListener
from luthier.data.cached import cached, mapped
from luthier.data.document_tokens import DocumentTokens
from luthier.data.render import Renderer
from luthier.data.rendering import RowProblems, TargetCount
from luthier.data.row_store import Integers, StoredExamples
from luthier.segments import Batch, BatchesOnDemand, sequence_batch

_VERSION = "1"
_SEQUENCE = np.dtype([("start", "<i8"), ("row", "<i8")])
_EVERY = 1000


@dataclass(frozen=True)
class RenderedStore(BatchesOnDemand):
    """An opened store: sequences, each made when it is asked for.

    Attributes:
        examples: The rows.
        tokens: `[T]` ids of all sequences.
        weights: `[T]` of each as a target.
        sequences: `[S]` records, see the module's docstring.
        digest: Names the sequences, in their order.
        trained: Tokens that are targets.
        ends: Sequences whose last token is the end of a turn, and is trained.
        longest_answer: Most tokens of a right answer, its end of turn included, of all rows.
    """

    examples: StoredExamples
    tokens: npt.NDArray[Any]
    weights: npt.NDArray[Any]
    sequences: npt.NDArray[Any]
    digest: str
    trained: int
    ends: int
    longest_answer: int

    def __len__(self) -> int:
        return len(self.sequences)

    def make(self, index: int) -> Batch:
        """Make one sequence."""
        start, stop = self._starts[index], self._starts[index + 1]
        return sequence_batch(self.tokens[start:stop].astype(np.int64), np.array(self.weights[start:stop]))

    @cached_property
    def _starts(self) -> Integers:
        return np.append(self.sequences["start"], len(self.tokens)).astype(np.int64)

    @property
    def lengths(self) -> Integers:
        """Tokens of each sequence."""
        return np.diff(self._starts)

    def token_rows(self) -> Iterator[npt.NDArray[Any]]:
        """Yield the tokens of every sequence."""
        for start, stop in zip(self._starts[:-1], self._starts[1:], strict=True):
            yield np.array(self.tokens[start:stop])

    def name_of(self, position: int) -> str:
        """Return the name of the row that a sequence comes from."""
        return self.examples[int(self.sequences["row"][position])].id


def open_rendered(examples: StoredExamples, renderer: Renderer, listener: Listener | None = None) -> RenderedStore:
    """Return the sequences of some rows for a model; renders them if that was not done before.

    Raises:
        DataError: for rows that are too long for the model, or hold a special token; it counts all of them.
        GuardError: if a row trains nothing, or not the token that ends its turn.
    """
    rows = sha256_text(examples.store.key, sha256(examples.rows.astype("<i8").tobytes()).hexdigest())
    settings = (str(renderer.context), str(renderer.train_thoughts))
    key = sha256_text(_VERSION, rows, _digest_of(renderer), *settings)
    folder = cache_folder() / "rendered" / key
    dtype = np.dtype(DocumentTokens(renderer.tokenizer).dtype)
    found = cached(folder, lambda staged: _write(examples, renderer, staged, dtype, listener or SilentListener()))
    return RenderedStore(
        examples,
        mapped(folder / "tokens.bin", dtype),
        mapped(folder / "weights.bin", np.dtype("<f4")),
        mapped(folder / "sequences.bin", _SEQUENCE),
        key,
        found["trained"],
        found["ends"],
        found["longest_answer"],
    )


def _digest_of(renderer: Renderer) -> str:
    """Return a digest of the tokenizer and its template."""
    tokenizer = renderer.tokenizer
    special = sorted((name, str(value)) for name, value in tokenizer.special_tokens_map.items())
    return sha256_text(tokenizer.backend_tokenizer.to_str(), str(tokenizer.chat_template), str(special))


def _write(
    examples: StoredExamples, renderer: Renderer, folder: Path, dtype: np.dtype[Any], listener: Listener
) -> dict[str, Any]:
    problems, targets = RowProblems(), TargetCount()
    starts, rows, count, longest = array("q"), array("q"), 0, 0
    with (
        open(folder / "tokens.bin", "wb") as token_file,
        open(folder / "weights.bin", "wb") as weight_file,
        listener.track("tokenising", len(examples), "rows") as progress,
    ):
        for position, example in enumerate(examples):
            for sequence in problems.render(renderer, example):
                targets.add(renderer, sequence)
                starts.append(count)
                rows.append(position)
                token_file.write(sequence.tokens.astype(dtype).tobytes())
                weight_file.write(sequence.weights.astype("<f4").tobytes())
                count += len(sequence)
            longest = max([longest, *(len(renderer.answer_ids(text)) + 1 for text in example.references)])
            if position % _EVERY == _EVERY - 1:
                progress.advance(_EVERY)
    problems.stop_if_any(len(examples))
    targets.stop_if_any_is_missing()
    sequences = np.empty(len(starts), _SEQUENCE)
    sequences["start"], sequences["row"] = starts, rows
    sequences.tofile(folder / "sequences.bin")
    return {"trained": targets.trained, "ends": targets.ends, "longest_answer": longest}
