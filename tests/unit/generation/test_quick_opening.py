"""A model that was opened before opens without transformers, writes the same, and only while nothing has changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from luthier.adapters import ADAPTERS
from luthier.core.errors import LuthierError
from luthier.core.files import write_json
from luthier.core.sealed import read_checked, with_check
from luthier.core.types import Decoding, Message, Request
from luthier.generation.lean.packing import can_halve
from luthier.generation.local import LocalModel, open_local
from luthier.generation.quick import keep, open_quickly
from luthier.generation.quick.kept import FACTS, TOKENIZER, folder_of
from luthier.models.load import load_model
from luthier.models.source import ModelSource, find_model
from luthier.testing import FAMILIES

DESCRIBED = sorted(set(FAMILIES) - {"cohere", "bloom"})
ASKED = [
    Request((Message("user", text),), Decoding(max_tokens=8, temperature=temperature, seed=3))
    for text, temperature in (("Wo ist der Bahnhof? 🚉", 0.0), ("Two.", 0.0), ("Two.", 1.0))
]


def opened(folder: Path) -> tuple[ModelSource, LocalModel]:
    """Open a model through transformers, and let it write."""
    source = find_model(str(folder))
    model = open_local(source, precision="fp32")
    list(model.stream(ASKED[0]))
    return source, model


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "kept"))


@pytest.fixture
def own(tiny_folder: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Return a copy of a family's tiny model, which a test may change."""

    def copy(family: str = "llama") -> Path:
        return Path(shutil.copytree(tiny_folder(family), tmp_path / family))

    return copy


def adapter_on(folder: Path, place: Path) -> Path:
    """Save a LoRA that changes every linear layer."""
    model = load_model(find_model(str(folder)), precision="fp32")
    attached = ADAPTERS.get("lora")().attach(model)
    for parameter in attached.parameters().values():
        nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(1))
    attached.save(place)
    return place


@pytest.mark.parametrize("family", DESCRIBED)
def test_it_writes_what_the_model_writes(own: Callable[..., Path], family: str) -> None:
    source, model = opened(own(family))
    assert open_quickly(source, precision="fp32") is None
    assert keep(source, model)
    quick = open_quickly(source, precision="fp32")
    assert quick is not None
    assert [c.text for c in quick.complete(ASKED)] == [c.text for c in model.complete(ASKED)]
    assert list(quick.stream(ASKED[0])) == list(model.stream(ASKED[0]))
    with pytest.raises(LuthierError, match="cannot score"):
        quick.complete([Request(ASKED[0].messages, continuations=("a", "b"))])


def test_an_adapter_comes_along(own: Callable[..., Path], tmp_path: Path) -> None:
    folder = own()
    source, model = opened(adapter_on(folder, tmp_path / "adapter"))
    assert keep(source, model)
    quick = open_quickly(source, precision="fp32")
    assert quick is not None
    with_adapter = [c.text for c in model.complete(ASKED)]
    assert [c.text for c in quick.complete(ASKED)] == with_adapter
    _, plain = opened(folder)
    assert [c.text for c in plain.complete(ASKED)] != with_adapter


@pytest.mark.parametrize("family", ["cohere", "bloom"])
def test_what_writes_through_the_ordinary_forward_is_not_kept(own: Callable[..., Path], family: str) -> None:
    source, model = opened(own(family))
    assert not keep(source, model)
    assert open_quickly(source, precision="fp32") is None


def test_an_adapter_that_is_more_than_low_rank_is_not_kept(own: Callable[..., Path], tmp_path: Path) -> None:
    model = load_model(find_model(str(own())), precision="fp32")
    lora = ADAPTERS.get("lora")
    lora(lora.Config(peft={"use_dora": True})).attach(model).save(tmp_path / "dora")
    source, local = opened(tmp_path / "dora")
    assert not keep(source, local)


def change_weights(folder: Path, kept: Path) -> None:
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-2] ^= 0x40
    file.write_bytes(data)


def change_template(folder: Path, kept: Path) -> None:
    file = folder / "chat_template.jinja"
    file.write_text("{# changed #}" + file.read_text(encoding="utf-8"), encoding="utf-8")


def change_facts(folder: Path, kept: Path) -> None:
    file = kept / FACTS
    file.write_text(file.read_text(encoding="utf-8").replace("assistant", "user"), encoding="utf-8")


def cut_tokenizer(folder: Path, kept: Path) -> None:
    file = kept / TOKENIZER
    file.write_bytes(file.read_bytes()[:-2])


def change_what_was_said(folder: Path, kept: Path) -> None:
    facts = read_checked(kept / FACTS)
    facts["probe"]["logps"][0] += 0.02
    write_json(kept / FACTS, with_check(facts))


def lose_a_weight(folder: Path, kept: Path) -> None:
    facts = read_checked(kept / FACTS)
    facts["output"]["weight"] = "lm_head.weight"
    write_json(kept / FACTS, with_check(facts))


@pytest.mark.parametrize(
    "change", [change_weights, change_template, change_facts, cut_tokenizer, change_what_was_said, lose_a_weight]
)
def test_what_has_changed_is_opened_through_transformers_again(
    own: Callable[..., Path], change: Callable[[Path, Path], None]
) -> None:
    folder = own()
    source, model = opened(folder)
    assert keep(source, model)
    assert open_quickly(source, precision="fp32") is not None
    change(folder, folder_of(source, "fp32"))
    assert open_quickly(source, precision="fp32") is None
    source, model = opened(folder)
    assert keep(source, model)
    assert open_quickly(source, precision="fp32") is not None


def test_the_models_that_were_kept_longest_ago_are_forgotten(
    own: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luthier.generation.quick.keeping.MOST_KEPT", 2)
    sources = []
    for family in ("llama", "qwen2", "gpt2"):
        source, model = opened(own(family))
        assert keep(source, model)
        sources.append(source)
    assert [open_quickly(source, precision="fp32") is not None for source in sources] == [False, True, True]


def test_it_can_be_switched_off(own: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    source, model = opened(own())
    assert keep(source, model)
    monkeypatch.setenv("LUTHIER_NO_QUICK", "1")
    assert open_quickly(source, precision="fp32") is None


CHAT = """
import sys
from luthier.cli.main import app
try:
    app(["chat", sys.argv[1], "--max-tokens", "8", "--precision", "fp32"])
except SystemExit as end:
    assert not end.code, end.code
print(sorted(name for name in ("transformers", "peft", "sklearn", "scipy") if name in sys.modules), file=sys.stderr)
"""


def test_the_second_chat_imports_no_transformers(own: Callable[..., Path], tmp_path: Path) -> None:
    def chat(what: Path) -> tuple[str, list[str]]:
        surroundings: dict[str, Any] = {**os.environ, "LUTHIER_CACHE": str(tmp_path / "cache")}
        done = subprocess.run(
            [sys.executable, "-c", CHAT, str(what)], input="Where to?\n", env=surroundings, capture_output=True,
            encoding="utf-8", check=True,
        )  # fmt: skip
        return done.stdout, json.loads(done.stderr.splitlines()[-1].replace("'", '"'))

    folder = own()
    for what in (folder, adapter_on(folder, tmp_path / "adapter")):
        first, imported = chat(what)
        assert "transformers" in imported
        assert chat(what) == (first, [])
        assert first.strip()


@pytest.mark.skipif(not can_halve(), reason="this torch cannot hold weights in fp16 here")
def test_it_may_decode_with_weights_in_fp16(own: Callable[..., Path]) -> None:
    source, model = opened(own())
    assert keep(source, model)
    quick = open_quickly(source, precision="fp32", half=True)
    ordinary = open_local(source, precision="fp32", half=True)
    assert quick is not None
    long = Request(ASKED[1].messages, Decoding(max_tokens=40))
    (a, b) = (one.complete([long])[0].text for one in (quick, ordinary))
    assert a == b
    for one in (quick.engine.reader, ordinary.engine.reader):  # type: ignore[attr-defined]
        decoder = getattr(one, "decoder", None) or one._decoder
        assert type(decoder.layers[0].output.packed).__name__ == "_HalfProduct"
    assert quick.identity != open_quickly(source, precision="fp32").identity  # type: ignore[union-attr]
    assert ordinary.identity != model.identity
