"""How Luthier's own speed and memory change with the length of rows, their number, LoRA's rank, and the model."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import material
import torch
from alternating import Contestant, play
from shared.tables import table

from luthier.core.files import read_json, write_json
from luthier.models.source import find_model

_MODEL = "smollm2-135m-instruct"
_LARGE_VOCABULARY = "270M random weights with 262,144 words"
_TURNS = 2
_USUAL = {"model": _MODEL, "method": "all", "rank": 16, "rows": "length-128", "of_turn": 16, "rate": 3e-4}
SERIES: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]] = {
    "Length of a row": [
        (f"{n} tokens", {"rows": f"length-{n}", "of_turn": max(1, material.TOKENS_A_TURN // n)})
        for n in material.LENGTHS
    ],
    "Rows a step, of 128 tokens": [(str(n), {"of_turn": n}) for n in (1, 4, 16, 64)],
    "Rank of LoRA": [(str(n), {"rank": n}) for n in (4, 16, 64, 256)],
    "What is trained": [
        ("q and v", {"method": "qv"}), ("all linear layers", {"method": "all"}), ("all weights", {"method": "full"}),
    ],
    "Model": [(n, {"model": n}) for n in (_MODEL, _LARGE_VOCABULARY)],
}  # fmt: skip


def measure(work: Path, precision: str, said: Any) -> dict[str, list[dict[str, Any]]]:
    """Measure every series, each setting in a program of its own; `work` keeps what was measured before a break."""
    place = work / f"scaling.{precision}.json"
    done: dict[str, dict[str, Any]] = read_json(place) if place.exists() else {}
    for title, settings in SERIES.items():
        for name, changes in settings:
            if (key := f"{title}: {name}") not in done:
                said(key)
                done[key] = _one({**_USUAL, **changes}, work, precision, said)
                write_json(place, done)
    place.unlink()
    return {
        title: [{"setting": name, **done[f"{title}: {name}"]} for name, _ in settings]
        for title, settings in SERIES.items()
    }


def _large_vocabulary(folder: Path) -> Path:
    """Make a model in the shape of Gemma 3 270M, once: how fast it is does not depend on what its weights are."""
    if not (folder / "config.json").exists():
        from transformers import AutoTokenizer, Gemma3ForCausalLM, Gemma3TextConfig

        shape = Gemma3TextConfig(
            vocab_size=262_144, hidden_size=640, intermediate_size=2048, num_hidden_layers=18, num_attention_heads=4,
            num_key_value_heads=1, head_dim=256, query_pre_attn_scalar=256, sliding_window=512,
            max_position_embeddings=32_768, layer_types=["full_attention" if i % 6 == 5 else "sliding_attention"
            for i in range(18)],
        )  # fmt: skip
        torch.manual_seed(0)
        Gemma3ForCausalLM(shape).save_pretrained(folder)
        AutoTokenizer.from_pretrained(find_model(_MODEL).folder).save_pretrained(folder)
    return folder


def _one(given: Mapping[str, Any], work: Path, precision: str, said: Any) -> dict[str, Any]:
    rows = material.read(work / "material", given["rows"])
    turns = [[(t * given["of_turn"] + i) % len(rows) for i in range(given["of_turn"])] for t in range(_TURNS + 1)]
    start = work / "start-scaling"
    shutil.rmtree(start, ignore_errors=True)
    if given["model"] == _LARGE_VOCABULARY:
        given = {**given, "model": str(_large_vocabulary(work / "large-vocabulary"))}
    settings = {
        **given, "work": "supervised", "material": str(work / "material"), "precision": precision, "start": str(start),
    }  # fmt: skip
    with Contestant("ours.py", settings, work / "scaling.log") as one:
        found = play({"luthier": one}, [{"rows": turn} for turn in turns], said)["luthier"][1:]
    tokens = material.tokens_of([rows[i] for i in turns[-1]])
    return {
        "tokens": tokens,
        "tokens_per_second": tokens / statistics.median(turn["seconds"] for turn in found),
        "peak_bytes": max(turn["peak_bytes"] for turn in found),
    }


def render(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return a table for each series."""
    parts = []
    for title, lines in found.items():
        rows = [
            [
                one["setting"],
                f"{one['tokens']:,}",
                f"{one['tokens_per_second']:.0f}",
                f"{one['peak_bytes'] / 1e9:.2f} GB",
            ]
            for one in lines
        ]
        parts += [table([title, "Tokens a step", "Tokens a second", "Peak memory"], rows), ""]
    return "\n".join(parts).rstrip()
