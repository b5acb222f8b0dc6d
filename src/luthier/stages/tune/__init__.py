"""Supervised tuning: read the examples, train, prove."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from luthier.adapters import ADAPTERS, default_learning_rate
from luthier.core.disk import require_room
from luthier.core.errors import ConfigError
from luthier.core.files import staged_folder
from luthier.core.run import RunDirectory
from luthier.core.sealed import SEAL, problem_of, seal
from luthier.core.seeding import derive
from luthier.data.render import Renderer
from luthier.evaluation.answerers import Prompted
from luthier.evaluation.answering import collect_answers, read_answers
from luthier.evaluation.comparison import Comparison, compare
from luthier.evaluation.latency import median_latency_seconds
from luthier.evaluation.opening import reading_weights, require_there
from luthier.evaluation.second_reading import read_again
from luthier.evaluation.statistics import Scores
from luthier.generation.local import LocalModel, adapter_digest
from luthier.models.compatibility import check_compatible
from luthier.models.cost import estimate_run_bytes, estimate_training_bytes, forget_peak_memory, peak_memory_bytes
from luthier.models.load import load_model, template_note
from luthier.models.readout_model import ReadoutModel
from luthier.models.source import find_model
from luthier.models.weights import weights_digest
from luthier.objectives import OBJECTIVES
from luthier.prompting.strategies.zero_shot import ZeroShot, ZeroShotConfig
from luthier.reporting.inline import escape
from luthier.stages.guards import WeightWatch, render_parts, require_known_tokens, trained_ends
from luthier.stages.material import Material, measure_lengths, read_material, require_same_model
from luthier.stages.not_finite import naming_rows
from luthier.stages.tune.recipe import Config, Outcome
from luthier.stages.tune.report import announce, write_reports
from luthier.training.checkpoints import Checkpoints
from luthier.training.early_stopping import EarlyStopping
from luthier.training.engine.single import SingleDeviceEngine
from luthier.training.optim import Schedule
from luthier.training.rehearsal import rehearse
from luthier.training.source import PackedSource
from luthier.training.speed import tokens_per_second
from luthier.training.state import TrainingState, fit
from luthier.training.tensorboard import TensorBoardLog
from luthier.training.validation import validate, validation_work

__all__ = ["Config", "run"]


def run(config: Config, run: RunDirectory) -> None:
    """Read, train, prove."""
    forget_peak_memory()
    material = read_material(config.data, run)
    require_there(config.model)
    source = find_model(config.model, run.listener)
    if source.adapter is not None:
        raise ConfigError(
            f"{config.model} is an adapter on {source.base}. Merge it first (luthier merge), or tune its base."
        )
    method = _method(config)
    objective = OBJECTIVES.get(config.objective)()
    check_compatible(source.facts(), [method, objective])

    with reading_weights(source):
        model = load_model(source, precision=config.precision, masters=method.masters)
    require_same_model(run, model.digest)
    renderer = Renderer(model.tokenizer, model.facts.context, config.data.thoughts == "train")
    rendered = render_parts(renderer, material.parts)
    lengths = measure_lengths(renderer, material.parts)
    tune, choose = rendered["tune"], [row.batch() for row in rendered["choose"]]
    strategy = ZeroShot(ZeroShotConfig(max_tokens=lengths.limit))

    attached = method.attach(model, "default", seed=derive(config.seed, "adapter"))
    require_known_tokens(model, [row for part in rendered.values() for row in part])
    readout = ReadoutModel(model, [attached], recompute=config.training.recompute)
    work = PackedSource([r.batch() for r in tune], objective, config.batch, config.training.epochs, config.seed)
    rate = config.training.learning_rate or default_learning_rate(method, model.facts)
    run.save_recipe(_resolved(config, method, work.batch_size, rate))
    warmup = round(work.total_steps * config.training.warmup_share)
    engine = SingleDeviceEngine(
        readout, config.training.optimizer, Schedule(rate, work.total_steps, warmup, config.training.schedule)
    )
    numbers = sum(p.numel() for p in engine.trained.values())
    disk = estimate_run_bytes(engine.trained, numbers)
    require_room(run.path, disk, "This run")
    watch = WeightWatch(model.module, engine.trained)
    stopping = EarlyStopping(config.training.patience)
    state = TrainingState(engine, work, config.training.clip, parts={"early_stopping": stopping})
    _seed_dropout(config.seed)

    speed = run.once("speed", lambda: tokens_per_second(engine, work.first_pieces()))
    seconds = work.total_steps * sum(map(len, tune)) / work.steps_per_epoch / speed
    prediction = estimate_training_bytes(model.facts, engine.trained, work.largest_micro_batch, model.precision)
    run.update(
        lengths=lengths.to_json(),
        model={"name": source.base, "digest": model.digest, "precision": model.precision},
        layout="packed" if readout.layout == "packed" else f"rows: {model.why_rows}",
        trained_parameters=numbers,
        training_tokens={"all": sum(map(len, tune)), "trained": sum(r.trained for r in tune)},
        sequences={"all": len(tune), "trained_to_their_end": trained_ends(renderer, tune)},
        plan={
            "iterations": work.total_steps,
            "memory_bytes": prediction,
            "disk_bytes": disk,
            "seconds": round(seconds, 1),
        },
        answering={"kind": "tuned", "strategy": {"strategy": "zero_shot", "max_tokens": lengths.limit}},
    )
    announce(run, config, material, lengths)
    if note := template_note(model):
        run.listener.say(escape(note))

    base = Prompted(LocalModel(readout, renderer, None), strategy)
    before = _scores(base, material, config, run, "before") if config.compare_before else None

    checkpoints = Checkpoints(run.path / "checkpoints")
    if not checkpoints.folder.exists():
        pieces = validation_work(objective, choose, config.batch.micro_tokens)
        run.once("rehearsal", lambda: rehearse(state, work.longest_piece(), pieces, checkpoints.folder))
    with naming_rows(work, tune, model.module, run.path / "not_finite.json"):
        _train(config, run, state, checkpoints, stopping, choose, objective)
    watch.check(state.step)
    best = checkpoints.restore_best(state) if config.training.keep_best else None
    run.update(saved_step=state.step if best is None else best, best=_best(stopping, best))
    folder = run.path / ("model" if config.adapter.get("method") == "full" else "adapter")
    _save(attached, folder, run)

    digest = adapter_digest(folder) if folder.name == "adapter" else weights_digest(folder)
    tuned = Prompted(LocalModel(readout, renderer, "default", digest), strategy)
    after = _scores(tuned, material, config, run, "after")
    latency = median_latency_seconds(tuned, material.parts[config.prove_on])
    comparison = None
    if before is not None:
        comparison = run.once("comparison", lambda: compare(before, after, material.task.metric), Comparison.from_json)
    training_seconds = sum(line["seconds"] for line in run.timings())
    memory = peak_memory_bytes()
    run.update(measured={"memory_bytes": memory, "seconds": round(training_seconds, 1), "latency_seconds": latency})
    answers = read_answers(run.path / "evaluation" / f"{config.prove_on}.jsonl")
    form = read_again(material.parts[config.prove_on], answers, material.metrics[0])
    write_reports(run, config, material, Outcome(after, before, comparison, form))
    run.finish(
        comparison.to_json()
        if comparison
        else {"metric": material.task.metric, "value": after.value(material.task.metric)}
    )
    checkpoints.remove()  # last: without them a run that is killed here would train again


def _save(attached: Any, folder: Path, run: RunDirectory) -> None:
    """Save what was trained, unless it was before an interruption; a folder that is broken is made again."""
    name = f"{folder.name}/{SEAL}"
    if folder.exists():
        problem = problem_of(folder) if run.files.knows(name) else "it is not in the run's record"
        if not problem:
            return
        run.listener.say(escape(f"{folder} is saved again: {problem}."))
        shutil.rmtree(folder)
    with staged_folder(folder) as staged:
        attached.save(staged)
        seal(staged)
        run.files.record(name, (staged / SEAL).read_bytes())


def _best(stopping: EarlyStopping, step: int | None) -> dict[str, Any] | None:
    """Say what the weights that are kept were the best by; None if they are the last ones."""
    if step is None:
        return None
    return {"by": "eval_total_loss", "part": "choose", "better": "lower", "step": step, "value": stopping.best}


def _method(config: Config) -> Any:
    settings = {"method": "lora", **config.adapter}
    entry = ADAPTERS.get(str(settings["method"]))
    return entry(entry.Config.parse(settings, "adapter"))


def _resolved(config: Config, method: Any, batch_size: int, rate: float) -> Config:
    """Return the recipe with the defaults filled in that depend on model and data: it does the same for ever."""
    return config.model_copy(
        update={
            "adapter": method.config.model_dump(mode="json"),
            "batch": config.batch.model_copy(update={"sequences": batch_size}),
            "training": config.training.model_copy(update={"learning_rate": rate}),
        }
    )


def _train(
    config: Config,
    run: RunDirectory,
    state: TrainingState,
    checkpoints: Checkpoints,
    stopping: EarlyStopping,
    choose: list[Any],
    objective: Any,
) -> None:
    """Train to the end, from the newest checkpoint that verifies; pauses where a stop is asked for."""
    training, total = config.training, state.source.total_steps
    if _resumed(config, run, state, checkpoints, stopping) and (state.step == total or stopping.satisfied):
        return
    run.forget_after(state.step)
    with (
        run.listener.track("tuning", total, "steps") as progress,
        TensorBoardLog(run.path / "tensorboard", state.step) as board,
    ):
        progress.advance(state.step)
        began = time.monotonic()
        for record in fit(state):
            line: dict[str, Any] = record.to_json()
            seconds = time.monotonic() - began
            if training.validates_at(record.step, total):
                validation = validate(state.engine, objective, choose, config.batch.micro_tokens)
                stopping.observe(record.step, validation.loss)
                line |= validation.to_json()
            run.log(line, {
                "step": record.step,
                "seconds": round(seconds, 4),
                "validation_seconds": round(time.monotonic() - began - seconds, 4),
                "tokens_per_second": round(record.tokens / seconds, 1),
                "peak_memory_bytes": peak_memory_bytes(),
            })  # fmt: skip
            board.log(record.step, line)
            progress.advance(1)
            progress.note(f"loss {record.loss:.3f}")
            best = training.keep_best and "eval_total_loss" in line and stopping.is_best
            asked = run.stop_requested
            last = record.step == total or stopping.satisfied or asked
            if best or last or record.step % training.checkpoint_every == 0:
                run.record_logs()
                checkpoints.save(state, best=best)
            if asked:
                run.check_stop()
            if stopping.satisfied:
                run.listener.say(f"stopped early at step {record.step}: best validation at step {stopping.best_step}")
                break
            began = time.monotonic()


def _resumed(
    config: Config, run: RunDirectory, state: TrainingState, checkpoints: Checkpoints, stopping: EarlyStopping
) -> bool:
    """Go back to the newest checkpoint that verifies; False if there is none."""
    if not checkpoints.resume_newest_that_verifies(state, run.listener.say):
        return False
    if config.training.keep_best and stopping.best_step == state.step:
        checkpoints.save(state, best=True)  # a kill may have come before it was marked as the best
    run.listener.say(f"Going on after step {state.step} of {state.source.total_steps}.")
    return True


def _scores(answerer: Prompted, material: Material, config: Config, run: RunDirectory, when: str) -> Scores:
    """Answer and score the part to prove on; "after" is what the run is known by."""
    examples = material.parts[config.prove_on]
    name = config.prove_on if when == "after" else f"before_{config.prove_on}"
    answers = collect_answers(answerer, examples, run, name)
    return run.once(
        f"scores_{name}",
        lambda: Scores.measure(answerer.identity, examples, answers, material.metrics),
        Scores.from_json,
    )


def _seed_dropout(seed: int) -> None:
    import torch

    torch.manual_seed(derive(seed, "dropout"))
