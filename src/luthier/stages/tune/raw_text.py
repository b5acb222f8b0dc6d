"""Learning from raw text: documents without prompts, every token of which is predicted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy.typing as npt

from luthier.core.run import RunDirectory
from luthier.data.corpus.windows import Windows
from luthier.data.render import Renderer
from luthier.evaluation.answering import collect_answers
from luthier.evaluation.reading import TEXT_METRICS, text_metrics
from luthier.evaluation.statistics import Scores
from luthier.generation.local import LocalModel
from luthier.stages.raw_text import find_text, read_text, reader_of, store_learned
from luthier.stages.tune.raw_text_report import announce, write_reports
from luthier.stages.tune.recipe import Config, Outcome


class RawTextLesson:
    """The documents of a corpus; see `Lesson`."""

    metric = TEXT_METRICS[0]

    def __init__(self, config: Config, run: RunDirectory) -> None:
        self._config = config
        self._run = run
        self._corpus = find_text(config.data, config.corpus.column)

    def prepare(self, tokenizer: Any, context: int) -> None:
        """Tokenise the corpus and cut it into windows."""
        config = self._config.corpus
        self.renderer = Renderer(tokenizer, context)
        self.text = read_text(self._corpus, tokenizer, self._config.data, config.held_out_tokens, self._run)
        store_learned(self._run, self.text)
        window = config.window_for(context)
        self.sequences = Windows(self.text.store, self.text.parts.tune, window)
        self.held_out = Windows(self.text.store, self.text.parts.choose, window)[:]
        self.tokens = int(self.sequences.lengths.sum())
        self.examples = self.text.examples(self._config.prove_on)

    def record(self) -> dict[str, Any]:
        """Return tokens and windows, and that the tuned model reads text and answers nothing."""
        windows = {
            "window_tokens": self._config.corpus.window_for(self.renderer.context),
            "windows": len(self.sequences),
            "cut": self.sequences.cut,
        }
        return {
            "corpus": {"store": self.text.store.key, "tokens": self.text.tokens, **windows},
            "training_tokens": {"all": self.tokens, "trained": self.sequences.targets},
            "answering": {"kind": "reading"},
        }

    def announce(self) -> None:
        """Show the corpus, its parts, iterations and the estimate of memory."""
        announce(self._run, self._config, self.text, self.examples)

    def token_rows(self) -> Iterator[npt.NDArray[Any]]:
        """Yield the tokens of every section of the corpus."""
        store = self.text.store
        return (store.tokens[start:stop] for start, stop in zip(store.starts[:-1], store.starts[1:], strict=True))

    def name_of(self, position: int) -> str:
        """Return the number of the document that a window is of, counted from 1."""
        return f"document {self.sequences.document(position) + 1:,}"

    def scores(self, model: LocalModel, when: str) -> Scores:
        """Let a model read the part to prove on; "after" is what the run is known by."""
        part = self._config.prove_on
        name = part if when == "after" else f"before_{part}"
        reader = reader_of(model, self.text.store, self._config.corpus)
        answers = collect_answers(reader, self.examples, self._run, name)
        return self._run.once(
            f"scores_{name}",
            lambda: Scores.measure(reader.identity, self.examples, answers, text_metrics()),
            Scores.from_json,
        )

    def latency_seconds(self, model: LocalModel) -> float | None:
        """Return None: nothing is answered."""
        return None

    def report(self, outcome: Outcome) -> None:
        """Show the result, and write report.html and card.md."""
        write_reports(self._run, self._config, self.text, outcome)
