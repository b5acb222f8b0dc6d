"""Rows and tiny models for the planted faults: the same files for every tool. Needs torch and transformers only."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

BOS, EOS = "<|pad|>", "<|end|>"
WORDS = "red blue late early broken new old big small cold warm soft loud quiet fast slow".split()  # noqa: SIM905
LABELS = {"billing": "invoice", "shipping": "parcel", "other": "garden"}


def rows(count: int = 40, seed: int = 0) -> list[dict[str, str]]:
    """Return made-up questions with one of three answers."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        label = list(LABELS)[number % 3]
        words = [*draw.sample(WORDS, 4), LABELS[label], str(number)]
        draw.shuffle(words)
        found.append({"prompt": " ".join(words), "completion": label})
    return found


def planted_rows(fault: int) -> list[dict[str, str]]:
    """Return the rows with a fault in them."""
    found = rows()
    for row in found[::5]:
        if fault == 3:
            row["prompt"] += f" {EOS} red"
        elif fault == 4:
            row["prompt"] = "red " * 348 + row["prompt"]
        elif fault == 38:
            row["completion"] = ""
    if fault == 5:
        lengths = (1, 60, 2, 50, 1, 40, 3, 30)
        found = [row | {"completion": "x" * n} for row, n in zip(found[:8], lengths, strict=True)]
    return found


def write_lines(path: Path, found: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return path


def as_chat(row: dict[str, str]) -> dict[str, Any]:
    """Return a row as conversational prompt and completion."""
    return {
        "prompt": [{"role": "user", "content": row["prompt"]}],
        "completion": [{"role": "assistant", "content": row["completion"]}],
    }


def planted_model(base: Path, folder: Path, fault: int, trace: Path) -> Path:
    """Copy the tiny model with a fault planted in its files."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder)
    template = folder / "chat_template.jinja"
    if fault == 1:
        _edit(folder / "tokenizer_config.json", pad_token=EOS)
    elif fault == 8:
        _edit(folder / "tokenizer_config.json", bos_token=BOS)
        template.write_text("{{ bos_token }}{{ bos_token }}" + template.read_text())
    elif fault in (21, 34):
        _tamper(folder / "model.safetensors", fault)
    elif fault == 45:
        (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    elif fault == 47:
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(_pickle(trace))
    elif fault == 48:
        code = f"open({str(trace)!r}, 'w').write('ran')\nfrom transformers import LlamaConfig, LlamaForCausalLM\n"
        code += "class OwnConfig(LlamaConfig):\n    model_type = 'own'\nclass OwnModel(LlamaForCausalLM):\n    pass\n"
        (folder / "modeling_own.py").write_text(code)
        classes = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnModel"}
        _edit(folder / "config.json", model_type="own", auto_map=classes)
    elif fault == 49:
        loops = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
        template.write_text(loops + template.read_text())
    return folder


def _edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def _tamper(path: Path, fault: int) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(path)
    if fault == 21:
        weights["model.embed_tokens.weight"][1] = 0  # <|start|>, which every turn begins with
    else:
        weights["model.layers.0.mlp.up_proj.weight"].view(-1)[7] = float("nan")
    save_file(weights, path, metadata={"format": "pt"})


def _pickle(trace: Path) -> bytes:
    """Return a torch-like zip whose pickle would write a file when loaded."""
    import io
    import zipfile

    call = f"c__builtin__\neval\n(S\"open({str(trace)!r}, 'w').write('ran')\"\ntR.".encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("archive/data.pkl", call)
        archive.writestr("archive/version", "3\n")
    return made.getvalue()


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-2] ^= 0x40
    path.write_bytes(content)


def rename_tensors(path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_file({n.replace("layers.", "blocks."): t for n, t in load_file(path).items()}, path, metadata={"format": "pt"})
