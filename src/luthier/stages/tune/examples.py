"""Learning from examples: prompts with the answers that are right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy.typing as npt

from luthier.core.errors import ConfigError, DataError
from luthier.core.run import RunDirectory
from luthier.data.lengths import output_limit
from luthier.data.render import Renderer
from luthier.data.rendered_store import RenderedStore, open_rendered
from luthier.data.rendering import RenderedRows
from luthier.data.row_store import StoredExamples
from luthier.data.tasks import CORPUS
from luthier.evaluation.answerers import Prompted
from luthier.evaluation.answering import collect_answers, stored_answers
from luthier.evaluation.latency import median_latency_seconds
from luthier.evaluation.second_reading import read_again
from luthier.evaluation.statistics import Scores
from luthier.generation.local import LocalModel
from luthier.prompting.strategies.zero_shot import ZeroShot, ZeroShotConfig
from luthier.segments import Batch
from luthier.stages.guards import render_parts
from luthier.stages.material import measure_lengths, read_material, reads_from_disk
from luthier.stages.raw_text import CorpusConfig, looks_like_text
from luthier.stages.stored_rows import read_stored_material
from luthier.stages.tune.recipe import Config, Outcome
from luthier.stages.tune.report import announce, write_reports


class ExamplesLesson:
    """The rows of a table, of which each has a prompt and an answer; see `Lesson`."""

    sequences: RenderedStore | list[Batch]
    _learned: RenderedStore | RenderedRows

    def __init__(self, config: Config, run: RunDirectory) -> None:
        self._config = config
        self._run = run
        if config.corpus != CorpusConfig() or config.data.kind == CORPUS:
            raise ConfigError(
                f"corpus.* and the kind {CORPUS} have no effect with objective={config.objective}. For raw text: "
                "--objective causal_lm."
            )
        try:
            read = read_stored_material if reads_from_disk(config.data) else read_material
            self.material = read(config.data, run)
        except DataError as error:
            if looks_like_text(config.data.path):
                error.add_note(f"If this is raw text: luthier tune {config.data.path} --objective causal_lm")
            raise
        self.metric = self.material.task.metric

    def prepare(self, tokenizer: Any, context: int) -> None:
        """Render all rows, so that what the model cannot take is known."""
        self.renderer = Renderer(tokenizer, context, self._config.data.thoughts == "train")
        parts = self.material.parts
        if isinstance(parts.tune, StoredExamples):
            rendered = render_parts(self.renderer, parts, ("choose", "confirm"))
            self.sequences = self._learned = open_rendered(parts.tune, self.renderer, self._run.listener)
            longest = self._learned.longest_answer
        else:
            rendered = render_parts(self.renderer, parts)
            self._learned = RenderedRows(self.renderer, rendered["tune"])
            self.sequences, longest = [row.batch() for row in rendered["tune"]], 1
        lengths = measure_lengths(self.renderer, self.material.looked_at)
        self.lengths = replace(lengths, limit=max(lengths.limit, output_limit([longest])))
        self._rest = [row for part in ("choose", "confirm") for row in rendered[part]]
        self.held_out = [row.batch() for row in rendered["choose"]]
        self.tokens = int(self._learned.lengths.sum())
        self._strategy = ZeroShot(ZeroShotConfig(max_tokens=self.lengths.limit))

    def record(self) -> dict[str, Any]:
        """Return lengths, tokens, and how the tuned model is asked."""
        return {
            "lengths": self.lengths.to_json(),
            "training_tokens": {"all": self.tokens, "trained": self._learned.trained},
            "sequences": {"all": len(self._learned), "trained_to_their_end": self._learned.ends},
            "answering": {
                "kind": "tuned",
                "strategy": {"strategy": "zero_shot", "max_tokens": self.lengths.limit},
            },
        }

    def announce(self) -> None:
        """Show data, lengths, iterations and the estimate of memory."""
        announce(self._run, self._config, self.material, self.lengths)

    def token_rows(self) -> Iterator[npt.NDArray[Any]]:
        """Yield the tokens of every row, of all parts."""
        return chain(self._learned.token_rows(), (row.tokens for row in self._rest))

    def name_of(self, position: int) -> str:
        """Return the name of the row that a sequence comes from."""
        return self._learned.name_of(position)

    def scores(self, model: LocalModel, when: str) -> Scores:
        """Answer and score the part to prove on; "after" is what the run is known by."""
        part = self._config.prove_on
        examples, name = self.material.parts[part], part if when == "after" else f"before_{part}"
        answerer = Prompted(model, self._strategy)
        answers = collect_answers(answerer, examples, self._run, name)
        return self._run.once(
            f"scores_{name}",
            lambda: Scores.measure(answerer.identity, examples, answers, self.material.metrics),
            Scores.from_json,
        )

    def latency_seconds(self, model: LocalModel) -> float | None:
        """Return the median time of one answer."""
        return median_latency_seconds(Prompted(model, self._strategy), self.material.parts[self._config.prove_on])

    def report(self, outcome: Outcome) -> None:
        """Show the result, and write report.html and card.md."""
        part = self._config.prove_on
        answers = stored_answers(self._run, part)
        form = read_again(self.material.parts[part], answers, self.material.metrics[0])
        write_reports(self._run, self._config, self.material, replace(outcome, form=form))
