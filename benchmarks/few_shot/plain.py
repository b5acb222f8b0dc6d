"""Few-shot answers and option scores with plain transformers, as a careful person writes them. No Luthier in here.

Batches are padded on the left, prompts of about one length together; only the logits that are read are computed; the
model is in fp32 with SDPA attention. Each prompt is computed whole: that is what `generate` and a forward do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

Conversation = Sequence[dict[str, str]]
"""Turns as chat templates take them: role and content."""


@dataclass(frozen=True)
class Text:
    """An answer and its ids, the one that ended it included."""

    text: str
    tokens: list[int]


class PlainModel:
    """A model and its tokenizer, loaded as anybody would.

    Args:
        folder: Weights, config, tokenizer with a chat template.
    """

    def __init__(self, folder: Path) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.pad_id = int(self.tokenizer.pad_token_id)

    def prompt(self, conversation: Conversation) -> list[int]:
        """Return the ids of a conversation up to where the assistant begins to speak."""
        text = self.tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    @torch.no_grad()
    def generate(
        self, conversations: Sequence[Conversation], stop_ids: Sequence[int], max_new_tokens: int, batch: int
    ) -> list[Text]:
        """Answer greedily, in batches, in the conversations' order."""
        prompts = [self.prompt(conversation) for conversation in conversations]
        answers: dict[int, Text] = {}
        for members in _batches(prompts, batch):
            ids, mask = self._padded([prompts[i] for i in members])
            out = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=False,
                max_new_tokens=max_new_tokens,
                eos_token_id=list(stop_ids),
                pad_token_id=self.pad_id,
            )
            for i, tokens in zip(members, out[:, ids.shape[1] :].tolist(), strict=True):
                ended = next((n + 1 for n, token in enumerate(tokens) if token in stop_ids), len(tokens))
                text = self.tokenizer.decode(tokens[:ended], skip_special_tokens=True)
                answers[i] = Text(text, tokens[:ended])
        return [answers[i] for i in range(len(prompts))]

    @torch.no_grad()
    def score(
        self, conversations: Sequence[Conversation], options: Sequence[str], batch: int
    ) -> list[tuple[float, ...]]:
        """Return the summed log-probability of each option after each conversation."""
        written = [self.tokenizer(option, add_special_tokens=False)["input_ids"] for option in options]
        prompts = [self.prompt(conversation) for conversation in conversations]
        rows = [(*prompt, *option) for prompt in prompts for option in written]
        lengths = [len(option) for _ in prompts for option in written]
        sums: dict[int, float] = {}
        for members in _batches(rows, batch):
            ids, mask = self._padded([rows[i] for i in members])
            kept = max(lengths[i] for i in members) + 1  # the position before an option predicts its first token
            logits = self.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
                logits_to_keep=kept,
                use_cache=False,
            ).logits  # [B, kept, V]
            logps = logits[:, :-1].log_softmax(-1).gather(2, ids[:, 1 - kept :, None])[..., 0]  # [B, kept - 1]
            for row, i in zip(logps, members, strict=True):
                sums[i] = float(row[len(row) - lengths[i] :].sum())
        found = [sums[i] for i in range(len(rows))]
        return [tuple(found[i : i + len(options)]) for i in range(0, len(found), len(options))]

    @torch.no_grad()
    def gap_after(self, tokens: Sequence[int]) -> float:
        """Return the distance of the two best logits of the token that follows."""
        best = self.model(input_ids=torch.tensor([list(tokens)]), use_cache=False, logits_to_keep=1).logits[0, -1]
        first, second = best.topk(2).values.tolist()
        return float(first - second)

    def count_tokens(self, count: Callable[[int], None]) -> Any:
        """Report the tokens of every forward, padding included; returns a handle to stop that."""

        def before(module: Any, arguments: Any, named: dict[str, Any]) -> None:
            count(int(named["input_ids"].numel()))

        return self.model.base_model.register_forward_pre_hook(before, with_kwargs=True)

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        longest = max(map(len, rows))
        ids = torch.tensor([[self.pad_id] * (longest - len(row)) + list(row) for row in rows])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        return ids, mask


def _batches(rows: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Yield the places of rows of about one length, so that little is padded."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    yield from (order[i : i + size] for i in range(0, len(order), size))
