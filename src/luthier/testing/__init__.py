"""Test doubles and tiny models, built offline in a second: for Luthier's own tests, and for yours.

folder = tiny_model(tmp_path / "tiny")            # a random Llama with a byte-level tokenizer and a chat template
model = ScriptedLanguageModel(["yes", "no"])      # answers from a list, records what it was asked
"""

from luthier.testing.scripted import ScriptedLanguageModel
from luthier.testing.tiny import FAMILIES, tiny_model

__all__ = ["FAMILIES", "ScriptedLanguageModel", "tiny_model"]
