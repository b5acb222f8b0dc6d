"""Reading plain text: what an answerer is where nothing is asked. Each section of a document is an example.

    examples = text_examples(store, parts.confirm)
    answers = TextReader(model, store).answer(examples)     # scores: nats, tokens, hits, words, bytes

A section is read with what stands before it in its document as context, up to `overlap` tokens; every token is scored
once. So the sums of all sections are those of the documents, and sections (which do not depend on the tokenizer) can be
compared between models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from luthier.core.errors import GuardError
from luthier.core.files import sha256_text
from luthier.core.types import Answer, Budget, Example, Usage
from luthier.data.corpus.parts import FEWEST_DOCUMENTS
from luthier.data.store import Integers, TokenStore
from luthier.evaluation.metrics import build_metric
from luthier.models.readouts import NextTokenHits, TokenLogps
from luthier.segments import Batch, join, sequence_batch
from luthier.segments.packing import pack_by_tokens

if TYPE_CHECKING:
    from luthier.core.protocols import Metric
    from luthier.generation.local import LocalModel

TEXT_METRICS = ("bits_per_byte", "token_perplexity", "word_perplexity", "byte_perplexity", "next_token_accuracy")
"""What is measured of text; the first carries the verdict."""


def text_metrics() -> tuple[Metric, ...]:
    """Build all of them."""
    return tuple(map(build_metric, TEXT_METRICS))


def text_examples(store: TokenStore, sections: Integers) -> list[Example]:
    """Return sections `[s]` as examples; those of one document are one cluster.

    With fewer documents than `FEWEST_DOCUMENTS` each section is a cluster of its own: they stand for the text.
    """
    records = store.sections[sections]
    alone = len(np.unique(records["document"])) < FEWEST_DOCUMENTS
    return [
        Example(
            f"{index}-{record['digest']:016x}",
            (),
            cluster=None if alone else f"d{record['document']}",
            fields={"section": int(index)},
            line=int(record["line"]),
        )
        for index, record in zip(sections.tolist(), records, strict=True)
    ]


class TextReader:
    """A language model that reads the sections of a store.

    Args:
        model: The model, with its adapter on or without.
        store: The documents in its tokens.
        window: Most tokens read together.
        overlap: Tokens before a section that are read as context, and not scored again.
    """

    def __init__(self, model: LocalModel, store: TokenStore, window: int, overlap: int) -> None:
        self.model = model
        self._store = store
        self._window = window
        self._overlap = overlap
        self.identity = sha256_text(model.identity, f"reading window={window} overlap={overlap}")

    def answer(self, examples: Sequence[Example], budget: Budget = Budget()) -> Iterator[Answer]:
        """Read the examples' sections.

        Raises:
            GuardError: if a probability is not a finite number.
        """
        pieces = [(place, piece) for place, e in enumerate(examples) for piece in self._pieces(e.fields["section"])]
        sums = np.zeros((len(examples), 3))  # nats, tokens, hits
        read = np.zeros(len(examples), dtype=np.int64)
        for group in pack_by_tokens([piece.tokens for _, piece in pieces], self._window):
            batch = join([pieces[index][1] for index in group])
            of = np.array([pieces[index][0] for index in group])
            sums += self._read(batch, of, len(examples))
            np.add.at(read, of, [pieces[index][1].tokens for index in group])
            self.model.progress(len({*of.tolist()}))
        if not np.isfinite(sums).all():
            raise GuardError(
                "The model gives text probabilities that are not numbers: its weights or its precision are broken. Try "
                "precision=fp32; after tuning, a lower learning rate."
            )
        for place, example in enumerate(examples):
            record = self._store.sections[example.fields["section"]]
            nats, tokens, hits = sums[place].tolist()
            scores = {"nats": nats, "tokens": tokens, "hits": hits}
            scores |= {"words": float(record["words"]), "bytes": float(record["bytes"])}
            yield Answer(example.id, "", "stop", scores, Usage(calls=1, prompt_tokens=int(read[place])))

    def _read(self, batch: Batch, of: Any, examples: int) -> Any:
        """Return the sums of nats, tokens and hits by example, `[E, 3]`."""
        found = self.model.model.read(batch, [TokenLogps(), NextTokenHits()], self.model.adapter)
        logps, hits = (found[name].cpu().double() for name in ("logps", "hits"))
        rows = torch.stack([-logps, torch.ones_like(logps), hits], dim=1)  # [P, 3]
        index = torch.from_numpy(of)[batch.targets.sequence]
        return torch.zeros((examples, 3), dtype=torch.float64).index_add_(0, index, rows).numpy()

    def _pieces(self, section: int) -> Iterator[Batch]:
        """Yield what is read for a section: its tokens are targets once, what stands before them is context."""
        store = self._store
        document = int(store.sections[section]["document"])
        origin = int(store.starts[store.document_starts[document]])
        begin, stop = int(store.starts[section]), int(store.starts[section + 1])
        begin = max(begin, origin + 1)  # what begins a document is context
        if section + 1 == store.document_starts[document + 1]:
            stop -= 1  # what ends it is not of the text
        for first in range(begin, stop, self._window - self._overlap):
            last = min(stop, first + self._window - self._overlap)
            start = max(origin, first - self._overlap)
            tokens = store.tokens[start:last].astype(np.int64)
            weights = np.zeros(len(tokens), dtype=np.float32)
            weights[first - start :] = 1.0
            yield sequence_batch(tokens, weights)
