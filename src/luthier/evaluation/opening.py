"""From what a person writes to an answerer: a model, a run, or a file of finished answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from luthier.core.disk import runs_in
from luthier.core.errors import ConfigError, DataError, ModelError, RunError, nearest
from luthier.core.files import sha256_text
from luthier.core.listener import Listener
from luthier.core.protocols import Answerer, LanguageModel
from luthier.core.run import RunDirectory
from luthier.core.types import Completion, Example, Request
from luthier.data.mapping import RowMapping
from luthier.data.tasks import guess_task
from luthier.evaluation.answerers import FinishedAnswers, Prompted
from luthier.evaluation.model_free import BASELINES
from luthier.generation.lean.packing import can_halve
from luthier.generation.local import LocalModel, open_local
from luthier.generation.quick import QuickModel, keep, open_quickly
from luthier.generation.writer import Writer
from luthier.models.device import pick_device, pick_precision
from luthier.models.load import template_note
from luthier.models.source import ModelSource, find_model
from luthier.prompting.asking import Known
from luthier.prompting.strategies import build_strategy
from luthier.reporting.inline import escape


def open_answerer(
    spec: str, *, precision: str = "auto", max_tokens: int | None = None, listener: Listener | None = None
) -> Answerer:
    """Open a model name or folder, a run directory, or an answers file (`.jsonl`).

    Args:
        spec: What the person wrote.
        precision: Compute precision of a local model.
        max_tokens: Output limit, instead of the one that a run recorded (or 256 for a plain model).
        listener: Told of downloads.

    Raises:
        DataError: for an answers file that is not there, or holds something else.
        RunError: for a run that is not there, or cannot answer.
        ModelError: for a model that cannot be found or read.
    """
    require_there(spec)
    path = Path(spec)
    if file := answers_file(spec):
        return FinishedAnswers(file)
    if RunDirectory.is_run(path):
        return _of_run(winner_of(RunDirectory(path)), precision, max_tokens, listener)
    limit = {} if max_tokens is None else {"max_tokens": max_tokens}
    return Prompted(open_model(spec, precision, listener), build_strategy({"strategy": "zero_shot", **limit}))


class AskedBy:
    """A model that is asked as a strategy asks: with its instruction, its demonstrations, its constraint."""

    def __init__(self, model: LanguageModel, strategy: Any) -> None:
        self.model = model
        self.strategy = strategy
        self.identity = sha256_text(model.identity, strategy.identity)

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Complete all requests, in their order."""
        return self.model.complete([self._asked(request) for request in requests])

    def stream(self, request: Request) -> Iterator[str]:
        """Yield the pieces of one text as they come."""
        return self.model.stream(self._asked(request))

    def _asked(self, request: Request) -> Request:
        decoding = replace(request.decoding, constraint=self.strategy.config.decoding.constraint)
        return replace(request, messages=self.strategy.messages(Example("", request.messages)), decoding=decoding)


@dataclass(frozen=True)
class Chat:
    """A model to talk to.

    Attributes:
        model: The model, asked the way its run found best.
        limit: Its output limit.
        source: Where it came from.
        writer: What writes.
    """

    model: LanguageModel
    limit: int
    source: ModelSource
    writer: LocalModel | QuickModel

    def close(self) -> None:
        """Keep what opening the model has found out: the next time it opens without transformers."""
        if isinstance(self.writer, LocalModel):
            # A full or read-only cache, or no memory for a second copy, costs seconds next time and nothing else.
            with suppress(OSError, MemoryError, torch.OutOfMemoryError):
                keep(self.source, self.writer)


def layout_of(answerer: Answerer) -> str | None:
    """Say how a model in this process reads and writes, and why not in the quickest way; None for all else."""
    model = answerer.model if isinstance(answerer, Prompted) else None
    return model.layout if isinstance(model, LocalModel) else None


def open_chat(
    spec: str, *, precision: str = "auto", decode_precision: str = "same", listener: Listener | None = None
) -> Chat:
    """Open a model to talk to, asked the way its run found best.

    Args:
        spec: A run or a model.
        precision: Compute precision.
        decode_precision: `fp16` holds the weights that the steps of an answer read in fp16; `same` does not.
        listener: Is told what opening takes.

    Raises:
        ConfigError: if fp16 is asked for and not there.
        RunError: if the run's winner is no language model.
    """
    half = _decodes_in_half(decode_precision, precision)
    require_there(spec)
    path = Path(spec)
    if path.is_file():
        raise RunError(f"{spec} is a file: there is nobody to chat with. Name a run or a model.")
    if not RunDirectory.is_run(path):
        source, writer = _open_writer(spec, precision, half, listener)
        return Chat(writer, 512, source, writer)
    run = winner_of(RunDirectory(path))
    answering = _answering(run)
    if answering["kind"] == "baseline":
        raise RunError(f"The winner of {spec} is no language model ({answering['method']}): "
                       "there is nobody to chat with. "
                       f"It answers rows: luthier answer {spec} FILE.")  # fmt: skip
    source, writer = _open_writer(_asked_model(run, answering), precision, half, listener)
    strategy = strategy_for(answering["strategy"], writer, examples_of(run, "tune"))
    return Chat(AskedBy(writer, strategy), answering["strategy"]["max_tokens"], source, writer)


def _decodes_in_half(decode_precision: str, precision: str) -> bool:
    if decode_precision == "same":
        return False
    if decode_precision != "fp16":
        raise ConfigError(f"Decode precision '{decode_precision}' is unknown. Known: same, fp16.")
    device = pick_device()
    computes = pick_precision(precision, device)
    if device.type != "cpu" or computes != "fp32":
        raise ConfigError(
            f"--decode-precision fp16 is for models that compute in fp32 on a CPU; here they compute in {computes} on "
            f"{device.type}. Leave it out."
        )
    if not can_halve():
        raise ConfigError("This torch cannot hold weights in fp16 here. Leave --decode-precision out.")
    return True


def _open_writer(
    spec: str, precision: str, half: bool, listener: Listener | None
) -> tuple[ModelSource, LocalModel | QuickModel]:
    """Open a model to write with: from what was kept of it, else through transformers."""
    source = find_model(spec, listener)
    with reading_weights(source):
        writer = open_quickly(source, precision=precision, half=half) or open_local(
            source, precision=precision, half=half
        )
    _say_template(source, writer, listener)
    return source, writer


def _say_template(source: ModelSource, writer: Writer, listener: Listener | None) -> None:
    if listener is not None and (note := template_note(source.base, writer.renderer.tokenizer)):
        listener.say(escape(note))


def open_model(spec: str, precision: str = "auto", listener: Listener | None = None) -> LocalModel:
    """Open a model, with its adapter if it is one, ready to answer.

    Raises:
        ModelError: if it cannot be found, or its weights are pickled or broken.
    """
    source = find_model(spec, listener)
    with reading_weights(source):
        model = open_local(source, precision=precision)
    _say_template(source, model, listener)
    return model


@contextmanager
def reading_weights(source: ModelSource) -> Iterator[None]:
    """Say in a sentence what is wrong with weight files that cannot be read."""
    adapter = source.adapter
    if adapter is not None and not (adapter / "adapter_model.safetensors").is_file():
        pickles = sorted(p.name for p in adapter.glob("*.bin"))
        found = f"only pickled weights ({pickles[0]}), which are refused because loading them runs code" * bool(pickles)
        raise ModelError(
            f"The adapter {adapter} holds {found or 'no weights'}. Save it as adapter_model.safetensors: "
            "PeftModel.save_pretrained(folder)."
        )
    try:
        yield
    except SafetensorError as error:
        places = source.folder if adapter is None else f"{source.folder} or {adapter}"
        raise ModelError(
            f"A weight file in {places} is broken ({error}): probably a partial download or copy. Fetch it again."
        ) from None


def require_there(spec: str) -> None:
    """Say so early where a path was meant and nothing is there: else it would be looked for on the hub.

    Raises:
        DataError: for an answers file that is not there.
        RunError: for a run that is not there, naming those there are.
    """
    path = Path(spec)
    if path.exists():
        return
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    if path.suffix in (".jsonl", ".json"):
        raise DataError(f"There is no answers file {spec}.{nearest(path.name, beside)}")
    runs = [run.path.name for run in runs_in(path.parent)]
    if path.parent.name == "runs" or (runs and path.parent != Path()):
        found = f"{path.parent} holds: {', '.join(runs[-10:])}" if runs else f"{path.parent} holds no runs"
        raise RunError(f"There is no run {spec}; {found}. Give one that is there (luthier runs), or a model.")


def answers_file(spec: str) -> Path | None:
    """Return the file of finished answers that is meant: the file itself, or that of a run that only answered."""
    path = Path(spec)
    if path.is_file():
        return path
    if RunDirectory.is_run(path) and (run := RunDirectory(path)).manifest["stage"] in ("answer", "evaluate"):
        if run.status == "finished" and isinstance(answers := run.manifest["answers"], list):
            raise RunError(
                f"{path} has {len(answers)} sampled answers to each row. Name one of its samples: {path / answers[0]}."
            )
        if run.status == "finished":
            run.files.lines(str(answers))  # they are looked at before they are used
            return path / str(answers)
        raise RunError(f"{path} has not finished its answers (status {run.status}). Finish it: luthier resume {path}.")
    return None


def winner_of(run: RunDirectory) -> RunDirectory:
    """Return the run that answers for a run: the chosen child of a bake-off, else the run itself."""
    chosen = run.manifest.get("chosen")
    if chosen is None and run.manifest["stage"] == "adapt":
        raise RunError(
            f"{run.path} has not chosen a winner yet (status {run.status}). Finish it: luthier resume {run.path}."
        )
    return RunDirectory(run.path / chosen, run.listener, run.stop) if chosen else run


def require_answering(spec: str) -> None:
    """Stop where a run is meant that does not answer, before its rows are read.

    Raises:
        RunError: if it was tuned on raw text, or is not done.
    """
    if RunDirectory.is_run(Path(spec)):
        _answering(winner_of(RunDirectory(Path(spec))))


def mapping_of(run: RunDirectory) -> RowMapping | None:
    """Return how the run's data was read, to read new files alike."""
    stored = run.manifest.get("mapping")
    return RowMapping.parse(stored, "the run's mapping") if stored else None


def examples_of(run: RunDirectory, part: str) -> list[Example]:
    """Return a part of a run's examples, as it stood when the run was made."""
    return [Example.from_json(line) for line in run.files.lines("parts.jsonl") if line["part"] == part]


def strategy_for(settings: Mapping[str, Any], model: Writer, known: Sequence[Example]) -> Any:
    """Build a strategy for a model from its settings.

    Args:
        settings: The strategy's name under `strategy`, and its settings.
        model: Whose tokens its budget is counted in.
        known: The rows to learn from, which it may show as demonstrations; never others.

    Raises:
        ConfigError: for an unknown strategy or setting, or one that needs rows where there are none.
    """
    renderer = model.renderer
    return build_strategy(settings, Known(tuple(known), lambda ms: len(renderer.prompt_ids(ms)), renderer.context))


def _of_run(run: RunDirectory, precision: str, max_tokens: int | None, listener: Listener | None) -> Answerer:
    answering = _answering(run)
    if answering["kind"] == "baseline":
        known = examples_of(run, "tune")
        baseline: Answerer = BASELINES.get(answering["method"])(known, guess_task(known, run.recipe["data"]["kind"]))
        return baseline
    return _prompted(run, precision, max_tokens, listener)


def _prompted(run: RunDirectory, precision: str, max_tokens: int | None, listener: Listener | None) -> Prompted:
    """Open a run that answers with a language model, asked the way it was asked then."""
    answering = _answering(run)
    settings = answering["strategy"] | ({} if max_tokens is None else {"max_tokens": max_tokens})
    model = open_model(_asked_model(run, answering), precision, listener)
    return Prompted(model, strategy_for(settings, model, examples_of(run, "tune")))


def _asked_model(run: RunDirectory, answering: Mapping[str, Any]) -> str:
    """Name the model that answers for a run: the run's own, or the one that it asks."""
    if answering["kind"] != "prompted":
        return str(run.path)
    named = run.named_run(answering["model"])
    return str(named.path) if named else str(answering["model"])


def _answering(run: RunDirectory) -> dict[str, Any]:
    answering: dict[str, Any] | None = run.manifest.get("answering")
    if answering is None:
        raise RunError(f"{run.path} cannot answer yet (status {run.status}). Finish it: luthier resume {run.path}.")
    if answering["kind"] == "reading":
        raise RunError(
            f"{run.path} was tuned on raw text: it goes on with text and was not taught to answer. Measure it on text: "
            f"luthier evaluate {run.path} TEXT. To teach it to answer: luthier merge {run.path}, then luthier tune "
            f"EXAMPLES -m {run.path}/merged."
        )
    return answering
