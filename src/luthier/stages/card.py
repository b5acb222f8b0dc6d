"""The model card: what a model is, how well it does, how it is loaded outside Luthier."""

from __future__ import annotations

from luthier.core.files import read_json
from luthier.core.run import RunDirectory
from luthier.models.builtin import BUILTIN
from luthier.reporting.blocks import Block, Code, Heading, Text
from luthier.reporting.inline import escape


def card_blocks(run: RunDirectory, results: list[Block]) -> list[Block]:
    """Return the model card: what it is, how well it does, how it is loaded outside Luthier."""
    manifest = run.manifest
    source = manifest["model"]
    adapter = (run.path / "adapter").exists()
    folder = "adapter" if adapter else "model"
    return [
        Heading(f"{source['name']}, tuned on {escape(str(manifest['data']['path']))}"),
        Text(
            f"Base model `{escape(source['name'])}` (weights {source['digest'][:16]}…, {source['precision']}). "
            f"Data: {manifest['data']['rows']} rows, SHA-256 {manifest['data']['sha256'][:16]}…"
        ),
        *_caveat(source["name"]),
        *results,
        Heading("Loading it without Luthier"),
        Code(
            _LOAD_ADAPTER.format(base=_base_folder(run), folder=folder)
            if adapter
            else _LOAD_MODEL.format(folder=folder),
            "python",
        ),
        Text(
            "Ask it in the chat template of the tokenizer, as it was taught: "
            "`tokenizer.apply_chat_template(messages, add_generation_prompt=True)`."
        ),
    ]


def _caveat(name: str) -> list[Block]:
    """What a reader of any result with a built-in model has to know."""
    return [Text(escape(BUILTIN[name].card))] if name in BUILTIN else []


def _base_folder(run: RunDirectory) -> str:
    return str(read_json(run.path / "adapter" / "adapter_config.json")["base_model_name_or_path"])


_LOAD_ADAPTER = """from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = "{base}"
tokenizer = AutoTokenizer.from_pretrained(base)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), "{folder}")"""

_LOAD_MODEL = """from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{folder}")
model = AutoModelForCausalLM.from_pretrained("{folder}")"""
