"""A tokenizer without transformers: the same backend, and the few facts that rendering and decoding ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class AddedToken:
    """A token that was added to the vocabulary."""

    content: str
    special: bool


@dataclass(frozen=True)
class PlainTokenizer:
    """What transformers' tokenizer was seen to be, under the same names.

    Attributes:
        backend_tokenizer: The tokenizer of the library `tokenizers`.
        chat_template: Its chat template.
        special_tokens_map: Special tokens by their role.
        bos_token_id, eos_token_id, pad_token_id: Ids, where there are any.
        added: `[id, text, whether it is special]` of every added token.
    """

    backend_tokenizer: Tokenizer
    chat_template: str
    special_tokens_map: Mapping[str, Any]
    bos_token_id: int | None
    eos_token_id: int | None
    pad_token_id: int | None
    added: Sequence[Sequence[Any]]

    @classmethod
    def facts_of(cls, tokenizer: Any) -> dict[str, Any]:
        """Return the facts of a transformers tokenizer, its backend apart, as JSON values."""
        return {
            "chat_template": tokenizer.get_chat_template(),
            "special_tokens_map": dict(tokenizer.special_tokens_map),
            **{name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")},
            "added": [[i, t.content, t.special] for i, t in sorted(tokenizer.added_tokens_decoder.items())],
        }

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
        """Return the ids of a text."""
        return {"input_ids": self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens).ids}

    def __len__(self) -> int:
        return int(self.backend_tokenizer.get_vocab_size(with_added_tokens=True))

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool, clean_up_tokenization_spaces: bool) -> str:
        """Return the text of ids; spaces are never cleaned up."""
        assert not clean_up_tokenization_spaces
        text: str = self.backend_tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return text

    def get_chat_template(self) -> str:
        """Return the chat template."""
        return self.chat_template

    @cached_property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Added tokens by id."""
        return {int(i): AddedToken(text, bool(special)) for i, text, special in self.added}
