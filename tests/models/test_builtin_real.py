"""The built-in models as they are: downloaded once, then from the cache."""

import time
from typing import Any

import pytest

from luthier.models.builtin import BUILTIN, builtin_folder, is_converted, read_manifest
from luthier.models.builtin_terms import accepted

pytestmark = pytest.mark.real_model

NAMES = [
    "smollm2-135m-instruct",
    pytest.param(
        "gemma-3-270m",
        marks=pytest.mark.skipif(
            not accepted("gemma"), reason="the Gemma terms are not accepted here (LUTHIER_ACCEPT_TERMS=gemma)"
        ),
    ),
]


def load(name: str) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = builtin_folder(name)
    return AutoModelForCausalLM.from_pretrained(folder, dtype="float32"), AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("name", NAMES)
def test_loads_fast_and_is_what_the_table_says(name: str) -> None:
    folder = builtin_folder(name)
    load(name)  # imports
    seconds = []
    for _ in range(3):
        start = time.process_time()  # not the clock on the wall: other tests may run beside this one
        model, tokenizer = load(name)
        seconds.append(time.process_time() - start)
    known = BUILTIN[name]
    assert is_converted(known)
    assert sum(p.numel() for p in model.parameters()) == known.parameters
    assert model.config.max_position_embeddings == tokenizer.model_max_length == known.context_tokens
    assert (tokenizer.chat_template is not None) == known.chat
    assert sum(entry["bytes"] for entry in read_manifest(folder)["files"].values()) <= known.folder_bytes
    assert min(seconds) < 2.0, f"loading took {seconds} seconds"


@pytest.mark.parametrize("name", NAMES)
def test_tokenizer_does_what_it_must(name: str) -> None:
    from luthier.models.gguf_conversion import check_tokenizer

    check_tokenizer(load(name)[1], BUILTIN[name].tokenizer)


def test_smollm2_knows_the_capital_of_france() -> None:
    model, tokenizer = load("smollm2-135m-instruct")
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    output = model.generate(**inputs, max_new_tokens=16, do_sample=False)
    answer = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :])
    assert answer == "The capital of France is Paris.<|im_end|>"


def test_no_token_of_text_is_taken_for_one_that_was_never_trained() -> None:
    """The guard looks at all 49,152 tokens, and names the reserved ones, which pre-training did not meet."""
    from luthier.stages.guards import untrained_tokens

    model, tokenizer = load("smollm2-135m-instruct")
    weight, added = model.get_input_embeddings().weight.detach(), tokenizer.added_tokens_decoder
    assert untrained_tokens(weight, range(len(weight)), added) == {
        "an embedding of zeros": [],
        "the mean of all embeddings": [],
        "the same embedding as another token": [5, *range(7, 17)],
    }
    assert [added[i].content for i in (5, 7, 16)] == ["<file_sep>", "<gh_stars>", "<empty_output>"]


@pytest.mark.parametrize("name", NAMES)
def test_reads_english_as_a_language_model_does(name: str) -> None:
    """Wrongly permuted or shifted weights give more than 6 nats a token."""
    import torch

    model, tokenizer = load(name)
    text = (
        "The sun rises in the east and sets in the west. When it rains, people carry umbrellas so that they do not get "
        "wet. In winter the days are short and the nights are long, and many birds fly south to warmer countries."
    )
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        loss = float(model(ids, labels=ids).loss)
    assert loss < 3.0
