"""How a document of plain text becomes tokens: what stands before it, what ends it, and its text as text.

What ends a document is what the model was pre-trained with, which is not always what ends a turn in a chat: a tuned
chat model's `eos_token` is the latter. What stands before a document is the tokenizer's beginning-of-sequence token
where it adds one, else the end of the document before, as in GPT-2's way of packing. With it the first token of a
document has something to be predicted from.

The text itself holds no special tokens: "<|endoftext|>" in a document is read as these thirteen characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from luthier.core.errors import ModelError
from luthier.core.files import sha256_text

DOCUMENT_ENDS = ("<|endoftext|>", "<|end_of_text|>")
"""Tokens that end documents in pre-training, by name (GPT-2, Qwen, SmolLM and Phi; Llama 3), before `eos_token`."""


@dataclass(frozen=True)
class DocumentTokens:
    """Turns documents into tokens with a model's tokenizer."""

    tokenizer: Any

    @cached_property
    def end(self) -> int:
        """The id that ends a document.

        Raises:
            ModelError: if the tokenizer has none.
        """
        vocabulary = self.tokenizer.get_vocab()
        special = {token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special}
        known = [vocabulary[name] for name in DOCUMENT_ENDS if name in special]
        found = known[0] if known else self.tokenizer.eos_token_id
        if found is None:
            raise ModelError(
                "This model's tokenizer has no token that ends a document (eos_token), so the model could not learn to "
                "end. Choose another --model."
            )
        return int(found)

    @cached_property
    def beginning(self) -> tuple[int, ...]:
        """The id before a document's first token."""
        bos = self.tokenizer.bos_token_id
        adds_one = bos is not None and self.tokenizer("x")["input_ids"][0] == bos
        return (int(bos) if adds_one else self.end,)

    @property
    def ending(self) -> tuple[int, ...]:
        """The id after a document's last token."""
        return (self.end,)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides the tokens."""
        return sha256_text(self.tokenizer.backend_tokenizer.to_str(), str(self.beginning), str(self.ending))

    @property
    def dtype(self) -> str:
        """The type that ids fit in."""
        return "<u2" if len(self.tokenizer) <= 1 << 16 else "<u4"

    def encode(self, texts: Sequence[str], before: Sequence[str]) -> list[list[int]]:
        """Tokenize pieces of documents, each as it stands in its document.

        Args:
            texts: The pieces.
            before: The character before each; empty where a document begins. Some tokenizers put a space before
                whatever they are given, which must not come into the middle of a document.
        """
        if not texts:
            return []
        ids = self._encode([last + text for last, text in zip(before, texts, strict=True)])
        for place, (last, text) in enumerate(zip(before, texts, strict=True)):
            if last:
                head = self._head(last)
                joined = ids[place][: len(head)] != head
                ids[place] = self._encode([text])[0] if joined else ids[place][len(head) :]
        return ids

    def _head(self, character: str) -> list[int]:
        return self._encode([character])[0]

    def _encode(self, texts: list[str]) -> list[list[int]]:
        found: list[list[int]] = self.tokenizer(
            texts, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False
        )["input_ids"]
        return found
