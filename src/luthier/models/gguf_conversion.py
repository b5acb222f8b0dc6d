"""Converts a GGUF file, once, to what everything else reads: fp32 safetensors, config, tokenizer, chat template.

transformers does the arithmetic of the weights. Its tokenizer is checked and repaired here, because a tokenizer that
splits otherwise than the one the model was trained with is a fault that nobody sees: the GGUF key
`tokenizer.ggml.pre` names the split, and transformers knows only some of its values.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from luthier.core.errors import ModelError
from luthier.core.listener import Listener
from luthier.models.builtin_table import TokenizerFacts

ODD_TEXTS = (
    "Hello world",
    " lead, trail ",
    "a , b ? don 't",
    "\n\n3 and  12\t\t4\r\n    5",
    "1234567890.12 ½ Ⅷ १२३",
    "héllo 你好 🤷‍♀️ עברית ру́сский",
    "e\u0301 \ufeff \u00a0 \u200b \u2028",
    "def f(x):\n        return {'a': [x, 1]}\n\n\n\n#",
    "<b>bold</b> </s> [INST] \\n",
)
"""Texts that must survive tokenizing and back."""


def convert_gguf(gguf: Path, target: Path, facts: TokenizerFacts, listener: Listener) -> None:
    """Write a GGUF file as a folder that `from_pretrained` loads, and read it back to be sure.

    Args:
        gguf: The file; transformers must know its architecture.
        target: Folder to make.
        facts: What the tokenizer must do.
        listener: Told of the progress.

    Raises:
        ModelError: if the tokenizer does not do what it must, or the written files differ from what was converted.
    """
    with listener.track("Converting to safetensors", 4, "steps") as tracker, _reading_once():
        tokenizer = _load_tokenizer(gguf, listener)
        tracker.advance()
        model = _load_model(gguf)
        tracker.advance()
        tokenizer.model_max_length = model.config.max_position_embeddings
        for argument in ("is_local", "local_files_only"):  # how it was loaded here, not what it is
            tokenizer.init_kwargs.pop(argument, None)
        model.save_pretrained(target, max_shard_size="50GB")
        tokenizer.save_pretrained(target)
        _write_compactly(target / "tokenizer.json")
        tracker.advance()
        _check_weights(model, target / "model.safetensors")
        check_tokenizer(reload_tokenizer(target), facts)
        tracker.advance()


def _load_model(gguf: Path) -> Any:
    """Dequantise the weights to fp32 and make the model forget that it was quantised."""
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, local_files_only=True
    )
    # Left in place, these make `save_pretrained` refuse and a reload look for the GGUF file.
    model.hf_quantizer = None
    model.is_quantized = False
    model.quantization_method = None
    del model.config.quantization_config
    return model


def _load_tokenizer(gguf: Path, listener: Listener) -> Any:
    from gguf import GGUFReader
    from transformers import AutoTokenizer

    fields = GGUFReader(str(gguf)).fields  # the same argument as transformers gives: one parse serves all
    kind, split = (
        str(fields[key].contents()) if key in fields else None for key in ("tokenizer.ggml.model", "tokenizer.ggml.pre")
    )
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
    if warning := repair_split(tokenizer, kind, split):
        listener.say(warning)
    return tokenizer


def _write_compactly(path: Path) -> None:
    """Rewrite a tokenizer.json without indentation and with each merge as one text ("a b"), where merges allow it.

    A vocabulary of 262k tokens then loads in half the time (1.5 s instead of 3 s) and takes a third of the space.
    """
    from tokenizers import Tokenizer

    content = json.loads(path.read_text(encoding="utf-8"))
    merges = content["model"].get("merges") or []
    # The text form has no escapes: a space inside a part would split wrongly, and "#version" lines are skipped.
    if merges and all(" " not in left + right and not left.startswith("#version") for left, right in merges):
        content["model"]["merges"] = [f"{left} {right}" for left, right in merges]
    compact = path.with_name("compact.json")
    compact.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    if Tokenizer.from_file(str(compact)).to_str() != Tokenizer.from_file(str(path)).to_str():
        compact.unlink()  # never seen; the long form is as good, only slower
        return
    compact.replace(path)


def reload_tokenizer(folder: Path) -> Any:
    """Load the tokenizer of a converted folder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


# ------------------------------------------------------------------------------------------ how a text is split


def _digits_then_words() -> Any:
    """Every digit alone, then GPT-2's split."""
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    return Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)])


def _words() -> Any:
    """GPT-2's split."""
    from tokenizers.pre_tokenizers import ByteLevel

    return ByteLevel(add_prefix_space=False, use_regex=True)


SPLITS: dict[str, Callable[[], Any]] = {
    "smollm": _digits_then_words,
    "starcoder": _digits_then_words,
    "refact": _digits_then_words,
    "command-r": _digits_then_words,
    "gpt-2": _words,
}
"""`tokenizer.ggml.pre` of byte-level vocabularies -> the pre-tokenizer that it stands for."""


def repair_split(tokenizer: Any, kind: str | None, split: str | None) -> str | None:
    """Give a tokenizer that came out of a GGUF file the split that the file names.

    Args:
        tokenizer: A fast tokenizer; changed in place.
        kind: `tokenizer.ggml.model`. "llama" is SentencePiece, which does not split before merging.
        split: `tokenizer.ggml.pre`.

    Returns:
        A warning where the split is not known, else None.
    """
    if kind != "gpt2":
        return None
    if split in SPLITS:
        tokenizer.backend_tokenizer.pre_tokenizer = SPLITS[split]()
        return None
    if split in _known_to_transformers():
        return None
    return (
        f"Warning: this GGUF file splits text the way it calls '{split}' (tokenizer.ggml.pre), which Luthier does not "
        "know; some texts, mostly with numbers or several spaces, may become other tokens than the model was trained "
        "on. Use the model's own repository where you can."
    )


def _known_to_transformers() -> frozenset[str]:
    """Return the names of the splits that this version of transformers applies by itself."""
    try:
        from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS
    except ImportError:
        return frozenset()
    return frozenset(GGUF_PRE_TOKENIZER_SPLITS)


# ------------------------------------------------------------------------------------------ checks


def check_tokenizer(tokenizer: Any, facts: TokenizerFacts) -> None:
    """Compare a tokenizer with what is known of the model.

    Raises:
        ModelError: naming the first text that becomes other tokens, or does not survive tokenizing and back.
    """
    ids = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    if ids != (facts.bos_id, facts.eos_id, facts.pad_id):
        raise _tokenizer_differs(
            f"BOS, EOS and padding have the ids {ids} instead of {(facts.bos_id, facts.eos_id, facts.pad_id)}"
        )
    for text, expected in facts.probes.items():
        received = tuple(tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"]))
        if received != expected:
            raise _tokenizer_differs(f"{text!r} becomes {list(received)} instead of {list(expected)}")
    for text in ODD_TEXTS:
        received = tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"])
        if received != text:
            raise _tokenizer_differs(f"{text!r} comes back as {received!r}")


def _tokenizer_differs(what: str) -> ModelError:
    import transformers

    return ModelError(
        f"The converted tokenizer is not the one the model was trained with: {what}. transformers "
        f"{transformers.__version__} converts it differently from the versions that Luthier was tested with; install "
        "the tested one (pip install -c constraints.txt transformers) and run the same command again."
    )


def _check_weights(model: Any, path: Path) -> None:
    """Compare the written file with the weights in memory, bit for bit."""
    import torch
    from safetensors import safe_open

    weights = model.state_dict()
    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
        # A tied output layer is stored once, under the embedding's name.
        stored = {weights[name].data_ptr() for name in names & set(weights)}
        missing = {name for name in set(weights) - names if weights[name].data_ptr() not in stored}
        if missing or not names <= set(weights):
            raise ModelError(f"{path} lacks {sorted(missing)} or holds tensors that the model does not have.")
        for name in names:
            if not torch.equal(file.get_tensor(name), weights[name]):
                raise ModelError(f"{path} was written, but reads back differently at {name}: check the disk.")


@contextlib.contextmanager
def _reading_once() -> Iterator[None]:
    """Keep transformers from parsing the file three times and from drawing its own progress bars.

    It asks for the reader, and for the table of tensor names, anew in each of its steps; both depend on their
    arguments alone, so they are remembered for the time of one conversion. The reader slices a `numpy.memmap` millions
    of times, where a plain array over the same memory is several times faster. Together that saves most of the time.
    """
    import gguf
    from gguf import gguf_reader
    from transformers import modeling_gguf_pytorch_utils as reading
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    plain = SimpleNamespace(**{**vars(np), "memmap": lambda *args, **more: np.asarray(np.memmap(*args, **more))})
    try:
        with (
            _replaced(gguf_reader, "np", plain),
            _replaced(gguf, "GGUFReader", functools.cache(gguf.GGUFReader)),
            _replaced(gguf, "get_tensor_name_map", functools.cache(gguf.get_tensor_name_map)),
            _replaced(reading, "tqdm", lambda items, **_: items),
        ):
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    """Replace a module's attribute for a while, if it has it."""
    if not hasattr(module, name):
        yield
        return
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
