"""The half of tuning that does not depend on what is learned: attach, train, checkpoint, resume, save."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from luthier.adapters import ADAPTERS, default_learning_rate
from luthier.core.disk import require_room
from luthier.core.files import staged_folder
from luthier.core.run import RunDirectory
from luthier.core.sealed import SEAL, problem_of, seal
from luthier.core.seeding import derive
from luthier.models.cost import estimate_run_bytes, estimate_training_bytes
from luthier.models.device import name_of
from luthier.models.loaded import LoadedModel
from luthier.models.memory import peak_memory_bytes
from luthier.models.readout_model import Objective, ReadoutModel
from luthier.reporting.inline import escape
from luthier.segments import Batch
from luthier.stages.guards import WeightWatch
from luthier.stages.not_finite import naming_rows
from luthier.stages.tune.recipe import Config
from luthier.training.checkpoints import Checkpoints
from luthier.training.early_stopping import EarlyStopping
from luthier.training.engine.single import SingleDeviceEngine
from luthier.training.optim import Schedule
from luthier.training.rehearsal import rehearse
from luthier.training.source import PackedSource, Sequences
from luthier.training.speed import tokens_per_second
from luthier.training.state import TrainingState, fit
from luthier.training.tensorboard import TensorBoardLog
from luthier.training.validation import validate, validation_work


def adapter_method(config: Config) -> Any:
    """Build the adapter method that a recipe names."""
    settings = {"method": "lora", **config.adapter}
    entry = ADAPTERS.get(str(settings["method"]))
    return entry(entry.Config.parse(settings, "adapter"))


@dataclass(frozen=True)
class Training:
    """A model with an adapter attached, and all that changes while it is trained."""

    config: Config
    run: RunDirectory
    readout: ReadoutModel
    attached: Any
    objective: Objective
    state: TrainingState
    work: PackedSource
    stopping: EarlyStopping
    watch: WeightWatch
    checkpoints: Checkpoints

    @classmethod
    def begin(
        cls,
        config: Config,
        run: RunDirectory,
        model: LoadedModel,
        method: Any,
        objective: Objective,
        sequences: Sequences | Sequence[Batch],
    ) -> Training:
        """Attach the adapter and make everything ready for the first step; keeps the recipe with its defaults."""
        attached = method.attach(model, "default", seed=derive(config.seed, "adapter"))
        readout = ReadoutModel(model, [attached], recompute=config.training.recompute)
        work = PackedSource(sequences, objective, config.batch, config.training.epochs, config.seed)
        rate = config.training.learning_rate or default_learning_rate(method, model.facts)
        run.save_recipe(_resolved(config, method, work.batch_size, rate))
        warmup = round(work.total_steps * config.training.warmup_share)
        engine = SingleDeviceEngine(
            readout, config.training.optimizer, Schedule(rate, work.total_steps, warmup, config.training.schedule)
        )
        watch = WeightWatch(model.module, engine.trained)
        stopping = EarlyStopping(config.training.patience)
        state = TrainingState(engine, work, config.training.clip, parts={"early_stopping": stopping})
        torch.manual_seed(derive(config.seed, "dropout"))
        checkpoints = Checkpoints(run.path / "checkpoints")
        return cls(config, run, readout, attached, objective, state, work, stopping, watch, checkpoints)

    def plan(self, tokens: int, source_name: str) -> None:
        """Measure the speed, and record what the run will cost.

        Args:
            tokens: Of all sequences, once.
            source_name: The name of the model.

        Raises:
            BudgetError: if the disk has no room for it.
        """
        engine, work, model = self.state.engine, self.work, self.readout.loaded
        trained: dict[str, Any] = engine.trained  # type: ignore[attr-defined]
        numbers = sum(p.numel() for p in trained.values())
        disk = estimate_run_bytes(trained, numbers)
        require_room(self.run.path, disk, "This run")
        speed = self.run.once("speed", lambda: tokens_per_second(engine, work.first_pieces()))
        seconds = work.total_steps * tokens / work.steps_per_epoch / speed
        prediction = estimate_training_bytes(model.facts, trained, work.largest_micro_batch, model.precision)
        self.run.update(
            model={
                "name": source_name,
                "digest": model.digest,
                "precision": model.precision,
                "device": name_of(model.device),
                "own_functions": dict(model.own_functions),
            },
            layout="packed" if self.readout.layout == "packed" else f"rows: {model.why_rows}",
            trained_parameters=numbers,
            plan={
                "iterations": work.total_steps,
                "memory_bytes": prediction,
                "disk_bytes": disk,
                "seconds": round(seconds, 1),
            },
        )

    def train(self, choose: Sequence[Batch], name_of: Callable[[int], str]) -> None:
        """Rehearse, train to the end, and go back to the best weights; pauses where a stop is asked for.

        Args:
            choose: What the loss is watched on.
            name_of: From a sequence's position to its name, for errors.
        """
        if not self.checkpoints.folder.exists():
            pieces = validation_work(self.objective, choose, self.config.batch.micro_tokens)
            self.run.once(
                "rehearsal", lambda: rehearse(self.state, self.work.longest_piece(), pieces, self.checkpoints.folder)
            )
        with naming_rows(self.work, name_of, self.readout.loaded.module, self.run.path / "not_finite.json"):
            self._train(choose)
        self.watch.check(self.state.step)
        best = self.checkpoints.restore_best(self.state) if self.config.training.keep_best else None
        self.run.update(saved_step=self.state.step if best is None else best, best=self._best(best))

    def _best(self, step: int | None) -> dict[str, Any] | None:
        """Say what the weights that are kept were the best by; None if they are the last ones."""
        if step is None:
            return None
        return {"by": "eval_total_loss", "part": "choose", "better": "lower", "step": step, "value": self.stopping.best}

    def save(self) -> Path:
        """Write what was trained; returns the folder."""
        full = self.config.adapter.get("method") == "full"
        folder = self.run.path / ("model" if full else "adapter")
        save_weights(self.attached, folder, self.run)
        return folder

    def measured(self, latency_seconds: float | None = None) -> None:
        """Record what the run took."""
        found: dict[str, Any] = {
            "memory_bytes": peak_memory_bytes(),
            "seconds": round(sum(line["seconds"] for line in self.run.timings()), 1),
        }
        self.run.update(measured=found | ({} if latency_seconds is None else {"latency_seconds": latency_seconds}))

    def _train(self, choose: Sequence[Batch]) -> None:
        """Train to the end, from the newest checkpoint that verifies."""
        training, run, state, stopping = self.config.training, self.run, self.state, self.stopping
        total = state.source.total_steps
        if self._resumed() and (state.step == total or stopping.satisfied):
            return
        run.forget_after(state.step)
        with (
            run.listener.track("tuning", total, "steps", done=state.step) as progress,
            TensorBoardLog(run.path / "tensorboard", state.step) as board,
        ):
            began = time.monotonic()
            for record in fit(state):
                line: dict[str, Any] = record.to_json()
                seconds = time.monotonic() - began
                if training.validates_at(record.step, total):
                    validation = validate(state.engine, self.objective, choose, self.config.batch.micro_tokens)
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
                    self.checkpoints.save(state, best=best)
                if asked:
                    run.check_stop()
                if stopping.satisfied:
                    run.listener.say(
                        f"stopped early at step {record.step}: best validation at step {stopping.best_step}"
                    )
                    break
                began = time.monotonic()

    def _resumed(self) -> bool:
        """Go back to the newest checkpoint that verifies; False if there is none."""
        state, say = self.state, self.run.listener.say
        if not self.checkpoints.resume_newest_that_verifies(state, say):
            return False
        if self.config.training.keep_best and self.stopping.best_step == state.step:
            self.checkpoints.save(state, best=True)  # a kill may have come before it was marked as the best
        say(f"Going on after step {state.step} of {state.source.total_steps}.")
        return True


def save_weights(attached: Any, folder: Path, run: RunDirectory) -> None:
    """Write an adapter or a model, unless it was before an interruption; one that is broken is made again."""
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


def _resolved(config: Config, method: Any, batch_size: int, rate: float) -> Config:
    """Return the recipe with the defaults filled in that depend on model and data: it does the same for ever."""
    return config.model_copy(
        update={
            "adapter": method.config.model_dump(mode="json"),
            "batch": config.batch.model_copy(update={"sequences": batch_size}),
            "training": config.training.model_copy(update={"learning_rate": rate}),
        }
    )
