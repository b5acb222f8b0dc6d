"""The model card: what a model is, how well it does, how it is loaded outside Luthier."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier.core.files import read_json
from luthier.core.run import RunDirectory
from luthier.models.builtin import BUILTIN
from luthier.models.source import find_model
from luthier.reporting.blocks import Block, Code, Heading, Text
from luthier.reporting.inline import escape


def card_blocks(run: RunDirectory, results: list[Block], place: Path, *, redact: bool = False) -> list[Block]:
    """Return the model card: what it is, how well it does, how it is loaded outside Luthier.

    Args:
        run: The run that made the model, or found out how to ask it.
        results: What is known about it.
        place: The folder of the card; paths are written as seen from there.
        redact: Leave out the text that stands before each prompt: it has labels and values of the rows.
    """
    manifest = run.manifest
    source = manifest["model"]
    answering = manifest["answering"]
    units = "documents" if answering["kind"] == "reading" else "rows"
    how = "asked as on" if answering["kind"] == "prompted" and _tuned(run) is None else "tuned on"
    return [
        Heading(f"{source['name']}, {how} {escape(str(manifest['data']['path']))}"),
        Text(
            f"Base model `{escape(source['name'])}` (weights {source['digest'][:16]}…, {source['precision']}). "
            f"Data: {manifest['data']['rows']} {units}, SHA-256 {manifest['data']['sha256'][:16]}…"
        ),
        *_caveat(source["name"]),
        *results,
        Heading("Loading it without Luthier"),
        Code(_loading(run, place), "python"),
        Text(_READS if answering["kind"] == "reading" else _ASKED),
        *_instruction(answering, redact),
    ]


def _loading(run: RunDirectory, place: Path) -> str:
    """Return the lines that load the model with transformers and PEFT alone."""
    answering = run.manifest["answering"]
    if (tuned := _tuned(run)) is not None:
        return _loading(tuned, place)
    if answering["kind"] == "prompted":
        return _LOAD_MODEL.format(folder=find_model(answering["model"]).folder)
    if (run.path / "adapter").exists():
        return _LOAD_ADAPTER.format(base=_base_folder(run), folder=_seen_from(place, run.path / "adapter"))
    return _LOAD_MODEL.format(folder=_seen_from(place, run.path / "model"))


def _tuned(run: RunDirectory) -> RunDirectory | None:
    """Return the tuned candidate beside a run, if the run asks that one."""
    answering = run.manifest["answering"]
    named = run.named_run(answering["model"]) if answering["kind"] == "prompted" else None
    return named if named is not None and named.path.parent == run.path.parent else None


def _seen_from(place: Path, folder: Path) -> str:
    return Path(os.path.relpath(folder, place)).as_posix()


def _instruction(answering: Mapping[str, Any], redact: bool) -> list[Block]:
    """Return what was put before each prompt, if anything was."""
    text = answering.get("strategy", {}).get("instruction")
    if not text:
        return []
    if redact:
        return [Text("Before each prompt, and a blank line, it was told the task and its format (left out here).")]
    return [Text("Before each prompt, and a blank line, it was told:"), Code(text, "text")]


def _caveat(name: str) -> list[Block]:
    """What a reader of any result with a built-in model has to know."""
    return [Text(escape(BUILTIN[name].card))] if name in BUILTIN else []


def _base_folder(run: RunDirectory) -> str:
    return str(read_json(run.path / "adapter" / "adapter_config.json")["base_model_name_or_path"])


_ASKED = (
    "Ask it in the chat template of the tokenizer, as it was taught: "
    "`tokenizer.apply_chat_template(messages, add_generation_prompt=True)`."
)
_READS = (
    "It was taught to go on with plain text, without a chat template: `model.generate(**tokenizer(beginning, "
    'return_tensors="pt"))`.'
)
_LOAD_ADAPTER = """from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = "{base}"
tokenizer = AutoTokenizer.from_pretrained(base)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), "{folder}")"""

_LOAD_MODEL = """from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{folder}")
model = AutoModelForCausalLM.from_pretrained("{folder}")"""
