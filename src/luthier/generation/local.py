"""A local model as a `LanguageModel`: requests in, completions out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from luthier.adapters import ADAPTERS
from luthier.core.errors import CompatibilityError, LuthierError
from luthier.core.files import read_json, sha256_file
from luthier.core.types import Completion, Request, Usage
from luthier.data.render import Renderer
from luthier.generation.engine import BatchEngine
from luthier.generation.ordinary import OrdinaryEngine
from luthier.generation.scoring import Options, score
from luthier.generation.sequences import Generation, Turns
from luthier.generation.structured import Grammars
from luthier.models.load import load_model
from luthier.models.loaded import LoadedModel
from luthier.models.readout_model import ReadoutModel
from luthier.models.source import ModelSource
from luthier.models.weights import check_adapter_base


class LocalModel:
    """Completes requests with a model in this process.

    Args:
        model: The module to read.
        renderer: Renders conversations for it.
        adapter: The adapter that is on; None for the model without any.
        adapter_digest: Names the adapter's weights in `identity`.
    """

    def __init__(self, model: ReadoutModel, renderer: Renderer, adapter: str | None, adapter_digest: str = "") -> None:
        self.model = model
        self.renderer = renderer
        self.adapter = adapter
        self.identity = model.loaded.identity(adapter_digest)
        # The batch engine goes through the described output layer: only where that is the model's own.
        engine = BatchEngine if model.loaded.packs and model.loaded.output.verified else OrdinaryEngine
        stop_ids = renderer.template.stop_ids
        grammars = Grammars(renderer.tokenizer, model.loaded.facts.vocabulary, stop_ids)
        self.engine = engine(model, adapter, Turns(stop_ids, self._text, grammars))
        self.progress: Callable[[int], None] = lambda n: None

    @property
    def loaded(self) -> LoadedModel:
        """The model in memory."""
        return self.model.loaded

    @property
    def layout(self) -> str:
        """How it reads and writes, for people to read; with the reason, where that is not the quickest way."""
        if not self.loaded.packs:
            return f"rows: {self.loaded.why_rows}"
        why = getattr(self.engine, "why_ordinary", "")
        return f"{self.model.layout}, written by the ordinary forward: {why}" if why else self.model.layout

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Complete all requests, in their order: those with continuations are scored, the others generated."""
        self.model.module.eval()
        completions: dict[int, Completion] = {}
        to_score: dict[int, Options] = {}
        prompts: dict[int, list[int]] = {}
        for i, request in enumerate(requests):
            try:
                if request.continuations:
                    to_score[i] = self._options(request)
                else:
                    prompts[i] = self._prompt(request)
            except LuthierError as error:
                completions[i] = Completion(str(error), "failed")
        start = time.monotonic()
        jobs = self.engine.generate(list(prompts.values()), [requests[i].decoding for i in prompts], self.progress)
        share = (time.monotonic() - start) / max(1, len(jobs))
        for i, job in zip(prompts, jobs, strict=True):
            completions[i] = self._completion(job, share)
        start = time.monotonic()
        scores = score(self.model, self.adapter, list(to_score.values()))
        share = (time.monotonic() - start) / max(1, len(scores))
        for i, logps in zip(to_score, scores, strict=True):
            completions[i] = _scored(requests[i], to_score[i], logps, share)
        return [completions[i] for i in range(len(requests))]

    def stream(self, request: Request) -> Iterator[str]:
        """Yield the pieces of one text as they come; a piece never ends inside a character."""
        self.model.module.eval()
        shown = ""
        for job in self.engine.stream(self._prompt(request), request.decoding):
            text = self._completion(job, 0.0).text
            if job.finish is None:
                if text.endswith("\ufffd"):  # an unfinished multi-byte character
                    continue
                text = text[: len(text) - _begun(text, request.decoding.stop)]
            yield text[len(shown) :]
            shown = text

    def _prompt(self, request: Request) -> list[int]:
        ids = self.renderer.prompt_ids(request.messages)
        room = self.renderer.context - request.decoding.max_tokens
        if len(ids) > room:
            raise LuthierError(
                f"The prompt has {len(ids)} tokens; with an answer of up to {request.decoding.max_tokens} the model "
                f"takes {room}."
            )
        return ids

    def _completion(self, job: Generation, seconds: float) -> Completion:
        tokens = job.tokens
        usage = Usage(1, len(job.prompt), job.cached_tokens, len(tokens), seconds)
        if job.finish == "failed":
            return Completion(job.problem, "failed", usage=usage)
        if job.finish == "stop" and tokens[-1] in self.renderer.template.stop_ids:
            tokens = tokens[:-1]
        text = self._text(tokens)
        for stop in job.decoding.stop:
            text = text.split(stop, 1)[0]
        return Completion(text, job.finish or "length", usage=usage)

    def _text(self, tokens: Sequence[int]) -> str:
        text: str = self.renderer.tokenizer.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _options(self, request: Request) -> Options:
        prompt = self.renderer.prompt_ids(request.messages)
        options = [self.renderer.answer_ids(text) for text in request.continuations]
        if not all(options):
            raise LuthierError("A continuation to be scored is empty.")
        longest = len(prompt) + max(map(len, options))
        if longest > self.renderer.context:
            raise LuthierError(
                f"The prompt and its longest continuation have {longest} tokens; the model takes "
                f"{self.renderer.context}."
            )
        return Options(prompt, options)


def _scored(request: Request, options: Options, logps: tuple[float, ...], seconds: float) -> Completion:
    """The likeliest continuation, with the log-probabilities of all."""
    tokens = sum(map(len, options.continuations))
    usage = Usage(calls=1, prompt_tokens=len(options.prompt), completion_tokens=tokens, seconds=seconds)
    return Completion(request.continuations[logps.index(max(logps))], "stop", logps, usage)


def _begun(text: str, stops: Sequence[str]) -> int:
    """Return the length of the end of a text that may become a stop string."""
    return max((n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0)


def open_local(source: ModelSource, *, precision: str = "auto", device: str = "auto") -> LocalModel:
    """Load a model, with its adapter if the source names one, ready to answer."""
    loaded = load_model(source, precision=precision, device=device)
    renderer = Renderer(loaded.tokenizer, loaded.facts.context)
    if source.adapter is None:
        return LocalModel(ReadoutModel(loaded), renderer, None)
    attached = open_adapter(source.adapter, loaded)
    return LocalModel(ReadoutModel(loaded, [attached]), renderer, attached.name, adapter_digest(source.adapter))


def open_adapter(folder: Path, model: LoadedModel) -> Any:
    """Attach a saved adapter to the base it was trained on.

    Raises:
        GuardError: if the base or the chat template is another one.
    """
    check_adapter_base(folder, model.digest, model.template_digest, model.tokens_digest)
    method = read_json(folder / "adapter_config.json").get("peft_type", "").lower()
    if method not in ADAPTERS:
        raise CompatibilityError(f"The adapter {folder} is of type {method or 'unknown'}. Luthier opens: lora.")
    return ADAPTERS.get(method).open(folder, model)


def adapter_digest(folder: Path) -> str:
    """Return the SHA-256 of an adapter's weights."""
    return sha256_file(folder / "adapter_model.safetensors")
