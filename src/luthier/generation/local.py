"""A local model as a `LanguageModel`: requests in, completions out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from luthier.adapters import ADAPTERS
from luthier.core.errors import CompatibilityError, LuthierError
from luthier.core.files import read_json, sha256_file, sha256_text
from luthier.core.types import Completion, Request, Usage
from luthier.data.render import Renderer
from luthier.generation.engine import BatchEngine
from luthier.generation.ordinary import OrdinaryEngine
from luthier.generation.readers import ModelReader
from luthier.generation.scoring import Options, score
from luthier.generation.sequences import Turns
from luthier.generation.writer import Engine, Writer
from luthier.models.load import load_model
from luthier.models.loaded import LoadedModel
from luthier.models.readout_model import ReadoutModel
from luthier.models.source import ModelSource
from luthier.models.weights import check_adapter_base


class LocalModel(Writer):
    """Completes requests with a model in this process.

    Args:
        model: The module to read.
        renderer: Renders conversations for it.
        adapter: The adapter that is on; None for the model without any.
        adapter_digest: Names the adapter's weights in `identity`.
        half: Decode with weights in fp16 where the model computes in fp32.
    """

    def __init__(
        self,
        model: ReadoutModel,
        renderer: Renderer,
        adapter: str | None,
        adapter_digest: str = "",
        half: bool = False,
    ) -> None:
        self.model = model
        self.adapter = adapter
        named = model.loaded.identity(adapter_digest)
        self.identity = sha256_text(named, "decodes in fp16") if half else named
        self._reader = ModelReader(model, adapter, half)
        super().__init__(renderer, model.loaded.facts.vocabulary, self._engine)

    def _engine(self, turns: Turns) -> Engine:
        """The batch engine goes through the described output layer: only where that is the model's own."""
        if self.loaded.packs and self.loaded.output.verified:
            return BatchEngine(self._reader, turns)
        return OrdinaryEngine(self.model, self.adapter, turns)

    @property
    def loaded(self) -> LoadedModel:
        """The model in memory."""
        return self.model.loaded

    @property
    def layout(self) -> str:
        """How it reads and writes, for people to read; with the reason, where that is not the quickest way."""
        if not self.loaded.packs:
            return f"rows: {self.loaded.why_rows}"
        if not self.loaded.output.verified:
            return f"{self.model.layout}, written by the ordinary forward: its output layer is more than a product"
        self._reader.open()
        why = self._reader.why_ordinary
        return f"{self.model.layout}, written by the ordinary forward: {why}" if why else self.model.layout

    @property
    def writes_with_its_decoder(self) -> bool:
        """Whether generation goes through a decoder that was seen to compute what the model does."""
        return self._reader.decoder is not None

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Complete all requests, in their order: those with continuations are scored, the others generated."""
        self.model.module.eval()
        return super().complete(requests)

    def stream(self, request: Request) -> Iterator[str]:
        """Yield the pieces of one text as they come; a piece never ends inside a character."""
        self.model.module.eval()
        return super().stream(request)

    def _score(self, asked: Mapping[int, Request]) -> dict[int, Completion]:
        completions: dict[int, Completion] = {}
        options: dict[int, Options] = {}
        for i, request in asked.items():
            try:
                options[i] = self._options(request)
            except LuthierError as error:
                completions[i] = Completion(str(error), "failed")
        start = time.monotonic()
        scores = score(self.model, self.adapter, list(options.values()))
        share = (time.monotonic() - start) / max(1, len(scores))
        for i, logps in zip(options, scores, strict=True):
            completions[i] = _scored(asked[i], options[i], logps, share)
        return completions

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


def open_local(source: ModelSource, *, precision: str = "auto", device: str = "auto", half: bool = False) -> LocalModel:
    """Load a model, with its adapter if the source names one, ready to answer; `half` as for `LocalModel`."""
    loaded = load_model(source, precision=precision, device=device)
    renderer = Renderer(loaded.tokenizer, loaded.facts.context)
    if source.adapter is None:
        return LocalModel(ReadoutModel(loaded), renderer, None, half=half)
    attached = open_adapter(source.adapter, loaded)
    return LocalModel(ReadoutModel(loaded, [attached]), renderer, attached.name, adapter_digest(source.adapter), half)


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
