"""Looking at data before spending anything on it: `luthier data check` and `luthier data preview`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from luthier.core.errors import DataError
from luthier.core.listener import Listener
from luthier.data.diversity import Diversity, measure_diversity, near_duplicates
from luthier.data.labels import label_notes
from luthier.data.lengths import estimate_tokens, length_statistics, output_limit
from luthier.data.options import ReadOptions
from luthier.data.render import Renderer
from luthier.data.sources import read_examples
from luthier.data.splits import split
from luthier.data.tasks import guess_task, require_different_answers
from luthier.models.load import load_tokenizer
from luthier.models.source import DEFAULT_MODEL, find_model
from luthier.reporting.blocks import Row, Text
from luthier.reporting.inline import escape
from luthier.reporting.quantities import MISSING, percent
from luthier.reporting.tokens import print_tokens
from luthier.stages.blocks import data_row, lengths_table
from luthier.stages.material import Material


def check_data(
    path: str, read: Mapping[str, Any], kind: str | None, model: str | None, listener: Listener
) -> dict[str, Any]:
    """Report dialect, bad rows, task, lengths, variety and parts; returns them as JSON."""
    dataset = read_examples(path, ReadOptions.parse(read, "reading"))
    examples = dataset.examples
    found: dict[str, Any] = {
        "path": path,
        "description": dataset.description,
        "mapping": dataset.mapping.explain(),
        "rows": len(dataset),
        "sha256": dataset.digest,
        "bad_rows": [str(row) for row in dataset.bad_rows],
    }
    for row in dataset.bad_rows:
        listener.say(escape(str(row)))
    found["near_duplicates"] = near_duplicates(examples)
    seen = examples  # lengths are of the rows that the output limit comes from, as in a run: all but those to confirm
    try:
        require_different_answers(examples)
        parts = split(examples, given=dataset.given)
        seen = (*parts.tune, *parts.choose)
        task = guess_task(parts.tune, kind)
        material = Material(dataset, task, parts)
        listener.show(data_row(material, parts))
        diversity = measure_diversity(parts.tune, repeating=material.near_duplicates)
        found |= {"parts": parts.sizes, "task": task.to_json()}
        found["label_notes"] = label_notes(parts) if task.labels else []
    except DataError as error:
        listener.show(
            Row("data", [f"{escape(dataset.description)}. {escape(dataset.mapping.explain())}", escape(str(error))])
        )
        found["problem"] = str(error)
        diversity = measure_diversity(examples, repeating=found["near_duplicates"] / len(examples))
    found["diversity"] = diversity.to_json()
    found["lengths"] = _lengths(seen, model, listener)
    listener.show(lengths_table(found["lengths"]))
    listener.show(Row("variety", _variety(diversity)))
    listener.show(Row("rows", f"{found['near_duplicates']} near-duplicates; {len(dataset.bad_rows)} bad rows"))
    return found


def _variety(diversity: Diversity) -> str:
    one, two, three = (f"{share:.2f}" for share in diversity.distinct)
    spread = MISSING if diversity.spread is None else f"{diversity.spread:.2f}"
    return (
        f"{percent(diversity.near_duplicates)} of {diversity.rows:,} rows nearly repeat others; distinct-1 {one}, "
        f"distinct-2 {two}, distinct-3 {three}; spread {spread} ({diversity.vectors})"
    )


def preview_data(
    path: str, read: Mapping[str, Any], model: str | None, rows: int, listener: Listener, *, to_stderr: bool
) -> list[dict[str, Any]]:
    """Print rows token by token; returns them as JSON: tokens, weights, counts."""
    dataset = read_examples(path, ReadOptions.parse(read, "reading"))
    source = find_model(model or DEFAULT_MODEL, listener)
    renderer = Renderer(load_tokenizer(source), source.facts().context)
    shown = []
    for example in dataset.examples[:rows]:
        try:
            sequences = renderer.render_turns(example)
        except DataError as error:
            listener.say(f"**line {example.line}**: {escape(str(error))}")
            continue
        for rendered in sequences:
            pieces = renderer.pieces(rendered)
            listener.show(Text(f"**line {example.line}**: {len(rendered)} tokens, {rendered.trained} trained"))
            print_tokens(pieces, sys.stderr if to_stderr else sys.stdout)
            shown.append({
                "example_id": example.id,
                "tokens": [text for text, _ in pieces],
                "ids": rendered.tokens.tolist(),
                "weights": rendered.weights.tolist(),
            })  # fmt: skip
    return shown


def _lengths(examples: Any, model: str | None, listener: Listener) -> dict[str, Any]:
    """Length statistics in a model's tokens, chat template included, or by the rule of thumb of the texts alone."""
    references = [text for example in examples for text in example.references]
    if model is None:
        prompts = [sum(estimate_tokens(m.content) for m in example.messages) for example in examples]
        answers = [estimate_tokens(text) + 1 for text in references]
    else:
        source = find_model(model, listener)
        renderer = Renderer(load_tokenizer(source), source.facts().context)
        prompts = [len(renderer.prompt_ids(example.messages)) for example in examples]
        answers = [len(renderer.answer_ids(text)) + 1 for text in references]
    return {
        "unit": "tokens" if model else "characters / 4",
        "prompt": length_statistics(prompts).to_json(),
        "answer": length_statistics(answers).to_json(),
        "output_limit": output_limit(answers),
    }
