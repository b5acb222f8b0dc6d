"""How long a person waits: for the help, and for the first token of a chat, each in a program of its own."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from shared.tables import table

_REPEATS = 7
_QUESTION = b"What is rain?\n"
_PLAIN = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
asked = [{"role": "user", "content": sys.stdin.readline().strip()}]
ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
written = model.generate(**ids, max_new_tokens=1, do_sample=False)
print(tokenizer.decode(written[0, ids["input_ids"].shape[1]:]), flush=True)
"""


def measure(name: str, model: Path) -> dict[str, list[float]]:
    """Return the seconds of each kind of start, the kinds in turn."""
    luthier = [sys.executable, "-m", "luthier.cli.main"]
    kinds: dict[str, Callable[[], float]] = {
        "luthier --help": lambda: _whole([*luthier, "--help"]),
        "luthier chat, first token, opened before": lambda: _first([*luthier, "chat", name, "--max-tokens", "1"], {}),
        "luthier chat, first token, never opened": lambda: _first(
            [*luthier, "chat", name, "--max-tokens", "1"], {"LUTHIER_NO_QUICK": "1"}
        ),
        "transformers, first token": lambda: _first([sys.executable, "-c", _PLAIN, str(model)], {}),
    }
    _whole([*luthier, "chat", name, "--max-tokens", "1"])  # it is opened once before
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(_REPEATS):
        for kind, start in kinds.items():
            found[kind].append(start())
    return found


def _whole(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, input=_QUESTION, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def _first(command: Sequence[str], settings: Mapping[str, str]) -> float:
    """Return the seconds to the first character on standard output."""
    began = time.perf_counter()
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **settings},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(_QUESTION)
        process.stdin.close()
        process.stdout.read(1)
        seconds = time.perf_counter() - began
        process.stdout.read()
    return seconds


def render(found: Mapping[str, Sequence[float]]) -> str:
    """Return the table."""
    rows = [
        [kind, f"{statistics.median(times):.2f} s", f"{min(times):.2f} to {max(times):.2f} s"]
        for kind, times in found.items()
    ]
    return table(["", "Median", f"Of {_REPEATS}"], rows)
