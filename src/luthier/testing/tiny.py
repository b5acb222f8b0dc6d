"""Tiny random models of many families with a real tokenizer and chat template."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier.core.errors import unknown_name

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|start|>' + message['role'] + '\n' + message['content'] + '<|end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)
_SPECIAL = ["<|pad|>", "<|start|>", "<|end|>"]

_COMMON: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "initializer_range": 0.2,
}
_GPT2: dict[str, Any] = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 2048, "initializer_range": 0.2}

FAMILIES: Mapping[str, dict[str, Any]] = {
    "llama": _COMMON | {"tie_word_embeddings": True},
    "llama_untied": _COMMON | {"tie_word_embeddings": False},
    "qwen2": _COMMON,
    "qwen3": _COMMON | {"head_dim": 8},
    "mistral": _COMMON | {"sliding_window": 5},
    "gemma2": _COMMON | {"head_dim": 8, "sliding_window": 5, "query_pre_attn_scalar": 8},
    "gemma3_text": _COMMON | {"head_dim": 8, "sliding_window": 5, "query_pre_attn_scalar": 8},
    "granite": _COMMON | {"logits_scaling": 3.0},
    "cohere": _COMMON | {"logit_scale": 0.3},
    "phi": _COMMON | {"num_key_value_heads": 4},
    "gpt_neox": _COMMON,
    "gpt2": _GPT2 | {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    "bloom": {"hidden_size": 32, "n_layer": 3, "n_head": 4, "initializer_range": 0.2},
}
"""Family (a transformers `model_type`, or a variant of one) -> config values. Bloom is here because it cannot pack."""


def tiny_model(folder: Path, family: str = "llama", *, seed: int = 0) -> Path:
    """Write a random model of a family with tokenizer and chat template; returns the folder.

    About 30,000 parameters, 3 layers, a byte-level vocabulary of 259. Weights are drawn wide (0.2), so that logits
    differ clearly and a wrong mask shows.

    Raises:
        ConfigError: for an unknown family.
    """
    if family not in FAMILIES:
        raise unknown_name("tiny family", family, FAMILIES)
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    tokenizer = byte_tokenizer()
    config_class: Any = CONFIG_MAPPING[family.removesuffix("_untied")]
    ids = {"bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0}
    config = config_class(vocab_size=len(tokenizer), **ids, **FAMILIES[family])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def byte_tokenizer() -> Any:
    """Return a byte-level tokenizer: every byte is a token, nothing is merged."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*_SPECIAL, *alphabet])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=["<|start|>"],
        chat_template=CHAT_TEMPLATE,
    )
