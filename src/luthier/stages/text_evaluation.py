"""Measuring models on raw text that is given to evaluate and compare: all of it, section by section."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from luthier.core.errors import ConfigError, DataError
from luthier.core.listener import Listener
from luthier.core.protocols import Metric
from luthier.core.run import RunDirectory
from luthier.core.types import Answer, Example
from luthier.data.corpus import Corpus
from luthier.data.store import TokenStore
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.opening import answers_file, open_model, require_there
from luthier.evaluation.reading import TEXT_METRICS, TextReader, text_examples
from luthier.evaluation.statistics import Scores
from luthier.reporting.blocks import Row
from luthier.reporting.html import write_html
from luthier.reporting.inline import escape
from luthier.stages.blocks import reproduce
from luthier.stages.glossary import GLOSSARY
from luthier.stages.material import DataConfig, require_same_data
from luthier.stages.raw_text import (
    CorpusConfig,
    corpus_config_of,
    corpus_sentence,
    find_text,
    read_store,
    reader_of,
    text_scores_table,
    unit_sentence,
    warn_of_learned_text,
)

Collect = Callable[[TextReader, list[Example]], Sequence[Answer]]
_SECTIONS_AT_ONCE = 64


def evaluate_text(answerer: str, data: DataConfig, metrics: Sequence[str], precision: str, run: RunDirectory) -> Scores:
    """Measure how a run or a model predicts a corpus; shows it, and writes the report."""
    from luthier.evaluation.answering import collect_answers

    built = metrics_of_text(metrics)
    config = corpus_config_of(answerer)
    corpus = find_text(data, config.column)
    answered = "evaluation/answers.jsonl"

    def collect(reader: TextReader, examples: list[Example]) -> Sequence[Answer]:
        return collect_answers(reader, examples, run, "answers")

    def seen(store: TokenStore, examples: list[Example]) -> None:
        require_same_data(run, data.path, store.corpus_digest)
        run.update(
            data={"path": data.path, "sha256": store.corpus_digest, "rows": store.documents},
            task={"kind": "corpus", "reason": "raw text"},
            answers=answered,
        )
        run.listener.show(Row("run", f"`{escape(str(run.path))}`"))
        run.listener.show(Row("data", [escape(corpus_sentence(corpus, store)), unit_sentence(examples)]))

    scores = run.once(
        "scores",
        lambda: _read(answerer, corpus, data, config, built, precision, run.listener, collect, seen),
        Scores.from_json,
    )
    table = text_scores_table([(answerer, scores)], data.path)
    run.listener.show(table)
    write_html(run.path / "report.html", f"{answerer} on {data.path}", [table, *reproduce(run)], glossary=GLOSSARY)
    run.listener.show(Row("report", f"`{escape(str(run.path / 'report.html'))}`"))
    return scores


def text_scores(
    answerers: Sequence[str], data: DataConfig, metrics: Sequence[Metric], precision: str, listener: Listener
) -> dict[str, Scores]:
    """Return how each of some runs or models predicts a corpus, by the same sections.

    Raises:
        DataError: for an answers file among them, which has read nothing.
    """
    scores = {}
    for answerer in answerers:
        config = corpus_config_of(answerer)
        corpus = find_text(data, config.column)

        def collect(reader: TextReader, examples: list[Example], name: str = answerer) -> Sequence[Answer]:
            answers: list[Answer] = []
            with listener.track(f"reading ({name})", len(examples), "sections") as progress:
                for start in range(0, len(examples), _SECTIONS_AT_ONCE):
                    answers += reader.answer(examples[start : start + _SECTIONS_AT_ONCE])
                    progress.advance(len(answers) - start)
            return answers

        scores[answerer] = _read(
            answerer, corpus, data, config, metrics, precision, listener, collect, lambda store, examples: None
        )
    return scores


def metrics_of_text(names: Sequence[str]) -> tuple[Metric, ...]:
    """Build the metrics asked for, by default all of text.

    Raises:
        ConfigError: for a metric of answers.
    """
    built = tuple(build_metric(name) for name in (names or TEXT_METRICS) if name in TEXT_METRICS)
    if len(built) < len(names):
        other = next(name for name in names if name not in TEXT_METRICS)
        raise ConfigError(f"{other} does not measure raw text. These do: {', '.join(TEXT_METRICS)}.")
    return built


def _read(
    answerer: str,
    corpus: Corpus,
    data: DataConfig,
    config: CorpusConfig,
    metrics: Sequence[Metric],
    precision: str,
    listener: Listener,
    collect: Collect,
    seen: Callable[[TokenStore, list[Example]], None],
) -> Scores:
    require_there(answerer)
    if answers_file(answerer) and not Path(answerer).is_dir():
        raise DataError(f"{answerer} holds answers, and raw text is read, not answered. Name a model or a run.")
    model = open_model(answerer, precision, listener)
    store = read_store(corpus, model.renderer.tokenizer, data, listener)
    examples = text_examples(store, np.arange(len(store.sections)))
    seen(store, examples)
    warn_of_learned_text(answerer, store, listener)
    reader = reader_of(model, store, config)
    return Scores.measure(reader.identity, examples, collect(reader, examples), metrics)
