"""Loading a model: weights, tokenizer, precision, and the checks that decide which layout it takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from luthier.core.errors import ModelError
from luthier.models import attention
from luthier.models.arithmetic.modules import use_own_functions
from luthier.models.attention import ATTENTION_NAME
from luthier.models.device import pick_device, pick_precision, settle
from luthier.models.loaded import LoadedModel, freeze
from luthier.models.memory import release_memory
from luthier.models.output_layer import OutputLayer
from luthier.models.readout_model import ReadoutModel
from luthier.models.readouts import TokenLogps
from luthier.models.source import ModelSource, require_saved
from luthier.models.weights import require_known, weights_digest
from luthier.segments import Batch, join, sequence_batch

PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n\n' }}{% endfor %}"
)
"""For base models, which have no chat template: texts with a blank line between, the end token after answers."""

_PACKING_TOLERANCE = {"fp32": 2e-3, "bf16": 0.5}
"""On log-probabilities of short sequences (nats); a leak between sequences changes some of them by whole nats."""


def load_model(
    source: ModelSource,
    *,
    precision: str = "auto",
    masters: bool = False,
    device: str = "auto",
    check: bool = True,
    tokenizer: Any = None,
) -> LoadedModel:
    """Load a model's base (a possible adapter is attached by `luthier.adapters.open_adapter`).

    Args:
        source: From `find_model`.
        precision: fp32, bf16, or auto (bf16 where the machine computes in it natively).
        masters: Keep fp32 weights also under bf16: they will be trained.
        device: cpu, cuda, mps, or auto.
        check: Test packing and the output layer on the real weights; costs about 0.2 s for a 135 M model.
        tokenizer: From `load_tokenizer`, where it was needed before.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    attention.register()
    place = pick_device(device)
    settle(place)
    chosen = pick_precision(precision, place)
    facts = source.facts()
    dtype = torch.bfloat16 if chosen == "bf16" and not masters else torch.float32
    require_saved(source.folder)
    require_known(source.folder)
    digest = weights_digest(source.folder)
    implementation = ATTENTION_NAME if facts.packs else None  # None: transformers picks what the family supports
    module: Any
    try:
        module = AutoModelForCausalLM.from_pretrained(
            source.folder,
            dtype=dtype,
            attn_implementation=implementation,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"Cannot load {source.spec} ({facts.architecture}): {str(error).splitlines()[0]}") from None
    module.config.use_cache = False
    module.to(place).eval()
    freeze(module)
    own = use_own_functions(module)
    words = tokenizer or load_tokenizer(source)
    output = OutputLayer.of(module)
    model = LoadedModel(facts, words, module, output, digest, chosen, packs=facts.packs, own_functions=own)
    model.ordinary_attention = _ordinary_attention(module, facts.packs)
    if not facts.packs:
        model.why_rows = f"the family {facts.family} is not on the list of those that pack"
    if check:
        _check_output_layer(model)
        _check_packing(model)
        release_memory()  # the checks held the weights in fp32
    return model


def _ordinary_attention(module: Any, packs: bool) -> str:
    """Name the implementation of the ordinary forward: SDPA, or eager for families whose scores it cannot compute."""
    if not packs:
        return str(module.config._attn_implementation)
    written_out = getattr(module.config, "attn_logit_softcapping", None) or module.config.model_type == "gpt_oss"
    return "eager" if written_out else "sdpa"


def load_tokenizer(source: ModelSource) -> Any:
    """Load the tokenizer; a model without a chat template gets the plain one."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source.folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"Cannot load the tokenizer of {source.spec}: {str(error).splitlines()[0]}") from None
    if not tokenizer.is_fast:
        raise ModelError(f"{source.spec} has only a slow tokenizer; Luthier needs one with tokenizer.json.")
    if not tokenizer.chat_template:
        begins = tokenizer.bos_token is not None and tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id
        tokenizer.chat_template = ("{{ bos_token }}" if begins else "") + PLAIN_TEMPLATE
    return tokenizer


def template_note(name: str, tokenizer: Any) -> str:
    """Say that a model is asked in the plain template; an empty text for one that has its own."""
    if not tokenizer.chat_template.endswith(PLAIN_TEMPLATE):
        return ""
    return (
        f"{name} has no chat template (a base model?): prompts and answers are put together as plain text, "
        "with a blank line between."
    )


def _probe_sequences(model: LoadedModel) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    """Two short sequences of ordinary ids."""
    low, high = min(10, model.facts.vocabulary // 3), min(1000, model.facts.vocabulary - 1)
    generator = np.random.default_rng(0)
    return [generator.integers(low, high, size=n) for n in (7, 5)]


def probe_batch(model: LoadedModel) -> Batch:
    """Return two short sequences whose tokens are all targets but the first."""
    sequences = _probe_sequences(model)
    weights = [np.r_[0.0, np.ones(len(s) - 1)].astype(np.float32) for s in sequences]
    return join([sequence_batch(s, w) for s, w in zip(sequences, weights, strict=True)])


def _branched(batch: Batch) -> Batch:
    """Let the second of two sequences go on from the first; its targets stay what they are."""
    first, second = batch.segments
    return replace(batch, segments=(first, replace(second, parent=0)))


def _check_output_layer(model: LoadedModel) -> None:
    """Compare the described output layer with the model's own logits; if they differ, the ordinary forward is used."""
    ids = torch.from_numpy(_probe_sequences(model)[0])[None].to(model.device)
    with torch.no_grad(), model.attention(model.ordinary_attention), model.in_fp32():
        own = model.module(input_ids=ids, use_cache=False).logits[0].float()
        hidden = model.module.base_model(input_ids=ids, use_cache=False).last_hidden_state[0]
        described = model.output(hidden)
    if not torch.allclose(own, described, rtol=1e-4, atol=1e-4):
        model.output = replace(model.output, verified=False)


def _check_packing(model: LoadedModel) -> None:
    """Read sequences packed and as rows, and count the calls of the attention function: one a layer.

    Two apart and one below the other, in fp32 and in the precision that the model computes in: attention takes another
    way in each.
    """
    if not model.packs:
        return
    packing, apart = ReadoutModel(model, layout="packed"), ReadoutModel(model, layout="rows")
    batch = probe_batch(model)
    for exact in (True, False) if model.precision == "bf16" else (True,):
        allowed = _PACKING_TOLERANCE["fp32" if exact else "bf16"]
        for read in (batch, _branched(batch)):
            packed, rows = (one.read(read, [TokenLogps()], None, exact=exact)["logps"] for one in (packing, apart))
            worst = float((packed - rows).abs().max())
            if packing.attention_calls != model.facts.layers:
                calls = f"{packing.attention_calls} times for {model.facts.layers} layers"
                model.packs, model.why_rows = False, f"its attention was called {calls}"
            elif not worst <= allowed:
                model.packs, model.why_rows = False, f"packed and separate sequences differ by {worst:.1e} nats"
            if not model.packs:
                model.module.config._attn_implementation = model.ordinary_attention
                return
