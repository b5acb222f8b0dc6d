"""Learning from examples: prompts with the answers that are right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from luthier.core.errors import ConfigError, DataError
from luthier.core.run import RunDirectory
from luthier.data.render import Rendered, Renderer
from luthier.data.tasks import CORPUS
from luthier.evaluation.answerers import Prompted
from luthier.evaluation.answering import collect_answers, stored_answers
from luthier.evaluation.latency import median_latency_seconds
from luthier.evaluation.second_reading import read_again
from luthier.evaluation.statistics import Scores
from luthier.generation.local import LocalModel
from luthier.prompting.strategies.zero_shot import ZeroShot, ZeroShotConfig
from luthier.stages.guards import render_parts, trained_ends
from luthier.stages.material import measure_lengths, read_material
from luthier.stages.raw_text import CorpusConfig, looks_like_text
from luthier.stages.tune.recipe import Config, Outcome
from luthier.stages.tune.report import announce, write_reports


class ExamplesLesson:
    """The rows of a table, of which each has a prompt and an answer; see `Lesson`."""

    def __init__(self, config: Config, run: RunDirectory) -> None:
        self._config = config
        self._run = run
        if config.corpus != CorpusConfig() or config.data.kind == CORPUS:
            raise ConfigError(
                f"corpus.* and the kind {CORPUS} have no effect with objective={config.objective}. For raw text: "
                "--objective causal_lm."
            )
        try:
            self.material = read_material(config.data, run)
        except DataError as error:
            if looks_like_text(config.data.path):
                error.add_note(f"If this is raw text: luthier tune {config.data.path} --objective causal_lm")
            raise
        self.metric = self.material.task.metric

    def prepare(self, tokenizer: Any, context: int) -> None:
        """Render all rows, so that what the model cannot take is known."""
        self.renderer = Renderer(tokenizer, context, self._config.data.thoughts == "train")
        rendered = render_parts(self.renderer, self.material.parts)
        self._tune: list[Rendered] = rendered["tune"]
        self._rest = [row for part in ("choose", "confirm") for row in rendered[part]]
        self.lengths = measure_lengths(self.renderer, self.material.parts)
        self.sequences = [row.batch() for row in self._tune]
        self.held_out = [row.batch() for row in rendered["choose"]]
        self.tokens = sum(map(len, self._tune))
        self._strategy = ZeroShot(ZeroShotConfig(max_tokens=self.lengths.limit))

    def record(self) -> dict[str, Any]:
        """Return lengths, tokens, and how the tuned model is asked."""
        return {
            "lengths": self.lengths.to_json(),
            "training_tokens": {"all": self.tokens, "trained": sum(row.trained for row in self._tune)},
            "sequences": {"all": len(self._tune), "trained_to_their_end": trained_ends(self.renderer, self._tune)},
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
        return (row.tokens for row in (*self._tune, *self._rest))

    def name_of(self, position: int) -> str:
        """Return the name of the row that a sequence comes from."""
        return self._tune[position].example_id

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
