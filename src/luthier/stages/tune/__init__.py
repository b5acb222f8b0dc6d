"""Tuning: read what is to be learned, train, prove. Examples with answers and raw text differ in the lesson alone."""

from __future__ import annotations

from luthier.core.errors import ConfigError
from luthier.core.run import RunDirectory
from luthier.evaluation.comparison import Comparison, compare
from luthier.evaluation.opening import reading_weights, require_there
from luthier.evaluation.retention import Forgetting, Retained, compare_retention, retention, retention_of_base
from luthier.generation.local import LocalModel, adapter_digest
from luthier.models.compatibility import check_compatible
from luthier.models.load import load_model, load_tokenizer, template_note
from luthier.models.memory import forget_peak_memory
from luthier.models.source import find_model
from luthier.models.weights import weights_digest
from luthier.objectives import OBJECTIVES
from luthier.reporting.inline import escape
from luthier.stages.guards import require_known_tokens
from luthier.stages.material import require_same_model
from luthier.stages.tune.lessons import LESSONS
from luthier.stages.tune.recipe import Config, Outcome
from luthier.stages.tune.shared_training import Training, adapter_method

__all__ = ["Config", "run"]


def run(config: Config, run: RunDirectory) -> None:
    """Read, train, prove."""
    forget_peak_memory()
    objective = OBJECTIVES.get(config.objective)()
    lesson = LESSONS.get(objective.material)(config, run)
    require_there(config.model)
    source = find_model(config.model, run.listener)
    if source.adapter is not None:
        raise ConfigError(
            f"{config.model} is an adapter on {source.base}. Merge it first (luthier merge), or tune its base."
        )
    method = adapter_method(config)
    check_compatible(source.facts(), [method, objective])
    tokenizer = load_tokenizer(source)
    lesson.prepare(tokenizer, source.facts().context)

    with reading_weights(source):
        model = load_model(source, precision=config.precision, masters=method.masters, tokenizer=tokenizer)
    require_same_model(run, model.digest)
    training = Training.begin(config, run, model, method, objective, lesson.sequences)
    require_known_tokens(model, lesson.token_rows)
    training.plan(lesson.tokens, source.base)
    run.update(**lesson.record())
    lesson.announce()
    if note := template_note(model.facts.name, model.tokenizer):
        run.listener.say(escape(note))

    base = LocalModel(training.readout, lesson.renderer, None)
    before = lesson.scores(base, "before") if config.compare_before else None
    retained = None
    if config.asks_general_questions(objective.material):
        retained = run.once("retention_before", lambda: retention_of_base(base, run), Retained.from_json)

    training.train(lesson.held_out, lesson.name_of)
    folder = training.save()

    digest = adapter_digest(folder) if folder.name == "adapter" else weights_digest(folder)
    tuned = LocalModel(training.readout, lesson.renderer, "default", digest)
    after = lesson.scores(tuned, "after")
    comparison = forgetting = None
    if before is not None:
        comparison = run.once("comparison", lambda: compare(before, after, lesson.metric), Comparison.from_json)
    if retained is not None:
        forgetting = run.once(
            "forgetting",
            lambda: compare_retention(retained, retention(tuned, run, "retention_after")),
            Forgetting.from_json,
        )
    training.measured(lesson.latency_seconds(tuned))
    lesson.report(Outcome(after, before, comparison, forgetting=forgetting))
    run.finish(comparison.to_json() if comparison else {"metric": lesson.metric, "value": after.value(lesson.metric)})
    training.checkpoints.remove()  # last: without them a run that is killed here would train again
