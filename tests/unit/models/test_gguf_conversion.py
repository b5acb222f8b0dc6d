"""The conversion on a tiny GGUF file, and the tokenizer's repair and checks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luthier.core.errors import ModelError
from luthier.core.listener import SilentListener
from luthier.models.builtin_table import TokenizerFacts
from luthier.models.gguf_conversion import (
    _check_weights,
    _reading_once,
    _write_compactly,
    check_tokenizer,
    convert_gguf,
    reload_tokenizer,
    repair_split,
)

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["Ċ Ċ", "Ġ Ġ", "H i", "1 2"]  # the last one must never happen: digits stand alone
FACTS = TokenizerFacts(1, 2, 2, {"\n\n3": ("ĊĊ", "3"), "a  12": ("a", "ĠĠ", "1", "2"), "Hi": ("Hi",)})


def alphabet() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers with a byte-level vocabulary, as llama.cpp's converter writes it."""
    from gguf import GGUFWriter, TokenType

    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    tokens = SPECIAL + alphabet() + [merge.replace(" ", "") for merge in MERGES]
    width, hidden, layers, heads = 32, 64, 2, 4
    writer = GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // heads)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL] * 3 + [TokenType.NORMAL] * (len(tokens) - 3))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    random = np.random.default_rng(0)

    def add(name: str, *shape: int) -> None:
        writer.add_tensor(f"{name}.weight", random.standard_normal(shape).astype(np.float32))

    add("token_embd", len(tokens), width)
    add("output_norm", width)
    for layer in range(layers):
        shapes = {"attn_q": (width, width), "attn_k": (width // 2, width), "attn_v": (width // 2, width)}
        shapes |= {"attn_output": (width, width), "ffn_gate": (hidden, width), "ffn_up": (hidden, width)}
        shapes |= {"ffn_down": (width, hidden)}
        for name, shape in shapes.items():
            add(f"blk.{layer}.{name}", *shape)
        add(f"blk.{layer}.attn_norm", width)
        add(f"blk.{layer}.ffn_norm", width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def converted(gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted") / "model"
    convert_gguf(gguf, folder, FACTS, SilentListener())
    return folder


def test_the_folder_gives_the_same_logits_as_the_gguf_file(gguf: Path, converted: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    direct: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    loaded: Any = AutoModelForCausalLM.from_pretrained(converted, dtype=torch.float32)
    ids = torch.arange(60)[None]
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, direct(ids).logits)
    assert not hasattr(loaded.config, "quantization_config")


def test_the_tokenizer_splits_as_the_file_says(gguf: Path, converted: Path) -> None:
    from transformers import AutoTokenizer

    stock = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer = reload_tokenizer(converted)
    assert stock.tokenize("\n\n3") == ["Ċ", "Ċ", "3"], "transformers splits right by itself now: drop the repair"
    assert tokenizer.tokenize("\n\n3") == ["ĊĊ", "3"]
    assert tokenizer.model_max_length == 128
    assert tokenizer.chat_template == "{% for m in messages %}{{ m['content'] }}{% endfor %}"


def test_an_unrepaired_tokenizer_is_refused(gguf: Path) -> None:
    from transformers import AutoTokenizer

    stock = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    with pytest.raises(ModelError, match=r"'\\n\\n3' becomes \['Ċ', 'Ċ', '3'\] instead of \['ĊĊ', '3'\]") as caught:
        check_tokenizer(stock, FACTS)
    assert "constraints.txt" in str(caught.value)


def test_other_special_tokens_and_lost_texts_are_refused(converted: Path) -> None:
    tokenizer = reload_tokenizer(converted)
    check_tokenizer(tokenizer, FACTS)
    with pytest.raises(ModelError, match=r"ids \(1, 2, 2\) instead of \(1, 2, 0\)"):
        check_tokenizer(tokenizer, replace(FACTS, pad_id=0))
    from tokenizers.normalizers import Strip

    tokenizer.backend_tokenizer.normalizer = Strip()
    with pytest.raises(ModelError, match="' lead, trail ' comes back as 'lead, trail'"):
        check_tokenizer(tokenizer, replace(FACTS, probes={}))


@pytest.mark.parametrize(
    ("kind", "split", "warned"),
    [
        ("gpt2", "smollm", False),
        ("gpt2", "gpt-2", False),
        ("gpt2", "llama-bpe", False),  # transformers applies this one
        ("gpt2", "no-such-split", True),
        ("gpt2", None, True),
        ("llama", "default", False),  # SentencePiece does not split
    ],
)
def test_unknown_splits_are_warned_of(converted: Path, kind: str, split: str | None, warned: bool) -> None:
    warning = repair_split(reload_tokenizer(converted), kind, split)
    assert (warning is not None) == warned
    if warning:
        assert f"'{split}' (tokenizer.ggml.pre)" in warning


def test_the_compact_tokenizer_file_is_the_same_tokenizer(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    path = tmp_path / "tokenizer.json"
    Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")])).save(str(path), pretty=True)
    before, size = Tokenizer.from_file(str(path)).to_str(), path.stat().st_size
    _write_compactly(path)
    assert '"merges":["a b"]' in path.read_text()
    assert path.stat().st_size < size
    assert Tokenizer.from_file(str(path)).to_str() == before

    Tokenizer(models.BPE({" ": 0, "b": 1, " b": 2}, [(" ", "b")])).save(str(path), pretty=True)
    _write_compactly(path)
    assert '"merges":[[" ","b"]]' in path.read_text()
    assert Tokenizer.from_file(str(path)).encode(" b").tokens == [" b"]


def test_a_file_that_reads_back_differently_is_refused(converted: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(converted)
    _check_weights(model, converted / "model.safetensors")
    with torch.no_grad():
        model.model.norm.weight[3] += 1e-6
    with pytest.raises(ModelError, match=r"reads back differently at model\.norm\.weight"):
        _check_weights(model, converted / "model.safetensors")


def test_the_libraries_are_as_before_after_a_conversion() -> None:
    import gguf
    from gguf import gguf_reader
    from transformers import modeling_gguf_pytorch_utils as reading

    def state() -> tuple[Any, ...]:
        return gguf.GGUFReader, gguf.get_tensor_name_map, gguf_reader.np, reading.tqdm

    before = state()
    with _reading_once():
        assert state() != before
    assert state() == before
    assert gguf_reader.np is np
